"""What a contents manager does around a save, for saves that did not go through it.

Tell listeners; see that a checkpoint exists, so that "Revert" works; sign a notebook whose cells are all trusted, so
that its outputs are shown after the next opening as they are now. None of it delays an answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import Any

from jupyter_core.utils import ensure_async
from nbformat.v4 import to_notebook_json

from .mirror import Rendered

__all__ = ["AfterSave"]

# A burst of edits is signed once: when no save has followed for so long, and in a burst without end at times.
_QUIET_SECONDS = 1.0
_LONGEST_SECONDS = 15.0


@dataclass(frozen=True)
class _Burst:
    """Saves of one file, one upon the other: what was written last, and when the first was (by the loop's clock)."""

    rendered: Rendered
    began: float
    timer: asyncio.TimerHandle


class AfterSave:
    """Call it with a path and what was written there."""

    def __init__(self, contents_manager: Any, log: logging.Logger) -> None:
        self._contents = contents_manager
        self._log = log
        self._checked: set[str] = set()
        self._waiting: dict[str, _Burst] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, path: str, rendered: Rendered) -> None:
        self._contents.emit(data={"action": "save", "path": path})
        loop = asyncio.get_running_loop()
        earlier = self._waiting.get(path)
        if earlier is not None:
            earlier.timer.cancel()
        began = earlier.began if earlier else loop.time()
        due = min(loop.time() + _QUIET_SECONDS, began + _LONGEST_SECONDS)
        self._waiting[path] = _Burst(rendered, began, loop.call_at(due, self._due, path))

    def _due(self, path: str) -> None:
        task = asyncio.create_task(self._finish(path, self._waiting.pop(path).rendered))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, path: str, rendered: Rendered) -> None:
        try:
            await self._checkpoint(path)
            if rendered.trusted:
                await self._sign(rendered)
        except Exception as error:
            self._log.warning("jupyter_mcp: after the save of %s: %s", path, error)

    async def _checkpoint(self, path: str) -> None:
        if path in self._checked:
            return
        self._checked.add(path)
        if not await ensure_async(self._contents.checkpoints.list_checkpoints(path)):
            await ensure_async(self._contents.create_checkpoint(path))

    async def _sign(self, rendered: Rendered) -> None:
        notary = self._contents.notary
        signature = await asyncio.to_thread(lambda: notary.compute_signature(_as_read(rendered.data)))
        # The database belongs to this thread.
        notary.store.store_signature(signature, notary.algorithm)


def _as_read(data: bytes) -> Any:
    """The notebook as it will be read, which is what a signature is compared with."""
    return to_notebook_json(json.loads(data))  # type: ignore[no-untyped-call]
