"""What happens to open notebooks when nobody calls: saved in time, watched on disk, closed when they are idle.

One task for all notebooks, one look a second. It never closes a room that a browser or a running cell needs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from .errors import NotebookError
from .rooms import OpenNotebook, Rooms
from .ticking import Ticker
from .upstream import Collaboration

__all__ = ["Keeper"]

_TICK_SECONDS = 1.0
# The room saves people's edits after a second without any; who types without a pause is saved this often.
_MAX_UNSAVED_SECONDS = 5.0
_RETRY_SECONDS = 5.0


class Keeper:
    """`idle_timeout` in seconds, 0 for never. `busy` says whether a notebook's kernel is at work for it.

    `tidy` is called at every look.
    """

    def __init__(
        self,
        rooms: Rooms,
        collaboration: Collaboration,
        *,
        idle_timeout: float,
        busy: Callable[[str], bool],
        tidy: Callable[[], None] = lambda: None,
        log: logging.Logger,
        tick: float = _TICK_SECONDS,
    ) -> None:
        self._rooms = rooms
        self._collaboration = collaboration
        self._idle_timeout = idle_timeout
        self._busy = busy
        self._tidy = tidy
        self._log = log
        self._tried: dict[str, float] = {}
        self._ticker = Ticker(tick, self._look_around)
        self.start, self.stop = self._ticker.start, self._ticker.stop

    async def _look_around(self) -> None:
        self._tidy()
        for notebook in self._rooms.opened:
            try:
                await self.look_after(notebook)
            except NotebookError as error:
                self._log.debug("jupyter_mcp: %s: %s", notebook.room_id, error)
            except Exception:
                self._log.exception("jupyter_mcp: looking after %s", notebook.room_id)

    async def look_after(self, notebook: OpenNotebook) -> None:
        """One look at one notebook."""
        if self._rooms.peek(notebook.room_id) is not notebook:
            self._tried.pop(notebook.room_id, None)
            return
        await notebook.saver.look_at_disk()
        await self._save_in_time(notebook)
        await self._close_if_idle(notebook)

    async def _save_in_time(self, notebook: OpenNotebook) -> None:
        saver = notebook.saver
        if saver.dirty_for < _MAX_UNSAVED_SECONDS:
            return
        now = time.monotonic()
        if saver.last_error is not None and now - self._tried.get(notebook.room_id, 0.0) < _RETRY_SECONDS:
            return
        self._tried[notebook.room_id] = now
        await saver.commit()

    async def _close_if_idle(self, notebook: OpenNotebook) -> None:
        if not self._idle_timeout or not self._is_idle(notebook):
            return
        await notebook.saver.commit()
        # The save took time: somebody may have come.
        if self._is_idle(notebook) and not notebook.saver.dirty:
            await self._rooms.close(notebook)

    def _is_idle(self, notebook: OpenNotebook) -> bool:
        return (
            not notebook.room.clients
            and notebook.holds == 0
            and not self._busy(notebook.room_id)
            and time.monotonic() - notebook.last_used >= self._idle_timeout
        )
