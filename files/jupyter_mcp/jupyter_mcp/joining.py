"""A browser tab and an agent that start a notebook's kernel at the same moment end up with one.

JupyterLab starts a kernel for a session of a random path, and gives the session the notebook's path only afterwards
(PATCH). Until then nobody can know whose kernel it is. So the join is made at that moment: when the path has a kernel
by then, the tab's session gets that one, in the answer to its own request.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from jupyter_core.utils import ensure_async

__all__ = ["Joining"]

Session = dict[str, Any]

# A tab is still connecting to the kernel it asked for; without it, it would show an error.
_GRACE_SECONDS = 30.0


class Joining:
    """Orders the starts of kernels by path. `find` gives the session of a path that has a living kernel."""

    def __init__(
        self,
        sessions: Any,
        kernels: Any,
        find: Callable[[str], Awaitable[Session | None]],
        log: logging.Logger,
    ) -> None:
        self._sessions = sessions
        self._kernels = kernels
        self._find = find
        self._log = log
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._endings: set[asyncio.Task[None]] = set()
        self._update = sessions.update_session
        sessions.update_session = self._update_session

    def starting(self, path: str) -> asyncio.Lock:
        """Held by whoever looks for the kernel of a path and starts one when there is none."""
        return self._locks[path]

    def close(self) -> None:
        """Give Jupyter's own method back."""
        self._sessions.update_session = self._update
        for ending in self._endings:
            ending.cancel()

    async def _update_session(self, session_id: str, **changes: Any) -> None:
        path = changes.get("path")
        if path is None or "kernel_id" in changes:
            await ensure_async(self._update(session_id, **changes))
            return
        notebook = path.removeprefix("RTC:")
        async with self.starting(notebook):
            other = await self._find(notebook)
            own = await ensure_async(self._sessions.get_session(session_id=session_id))
            if other is None or other["id"] == session_id or other["kernel"]["id"] == own["kernel"]["id"]:
                await ensure_async(self._update(session_id, **changes))
                return
            await ensure_async(self._update(session_id, **changes, kernel_id=other["kernel"]["id"]))
            # Only the row: deleting the session would end the kernel that both have now.
            self._sessions.cursor.execute("DELETE FROM session WHERE session_id=?", (other["id"],))
        ending = asyncio.create_task(self._end_unused(own["kernel"]["id"]))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def _end_unused(self, kernel_id: str) -> None:
        """End the kernel that the tab started and has left, once nobody is connected to it."""
        while True:
            await asyncio.sleep(_GRACE_SECONDS)
            if kernel_id not in self._kernels:
                return
            if not self._kernels.kernel_model(kernel_id)["connections"]:
                break
        self._log.info("jupyter_mcp: ending kernel %s, which a tab started beside the notebook's own", kernel_id)
        await ensure_async(self._kernels.shutdown_kernel(kernel_id))
