"""The scenarios, by the names that `--only` takes, in the order in which they run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..report import Outcome
from . import collaborating, editing, executing, listing, memory, reading
from .bench import Bench

__all__ = ["SCENARIOS", "Bench"]

SCENARIOS: dict[str, Callable[[Bench], Awaitable[Outcome]]] = {
    "read": reading.read,
    "update": editing.update,
    "update-crowd": editing.update_crowd,
    "insert": editing.insert,
    "execute": executing.execute,
    "execute-crowd": executing.execute_crowd,
    "browser": collaborating.browser,
    "list": listing.list_notebooks,
    "memory": memory.memory,
}
