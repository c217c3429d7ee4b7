"""Waiting for a notebook to change, at no cost while nothing happens.

Watchers hang on the mirror's own observer. The document's `observe` is never used: a second call of it takes away the
room's subscription, and with that its autosave.
"""

from __future__ import annotations

import asyncio

from .mirror import Mirror

__all__ = ["wait_for_change"]


async def wait_for_change(mirror: Mirror, timeout: float, since: int | None = None) -> bool:
    """Whether the notebook changed within `timeout` seconds.

    With `since`, a version that an earlier answer gave, a change that happened in between counts at once.
    """
    if since is not None and since != mirror.version:
        return True
    changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not changed.done():
            changed.set_result(None)

    remove = mirror.on_change(wake)
    try:
        await asyncio.wait_for(changed, timeout)
    except TimeoutError:
        return False
    finally:
        remove()
    return True
