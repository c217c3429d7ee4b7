"""An answer means it is on disk: saves that are shared, proven, and never postponed.

Every edit waits for one save that began after it. While one save runs, all edits that arrive share the next one
(group commit), so a stream of edits costs a stream of saves, one at a time, and never waits for a quiet moment.
The room's own saves, for what people type, go through here as well. The file is only ever written over content that
this server knows; anything else is a change from outside.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from tornado.web import HTTPError

from .errors import ChangedOnDisk, NotebookError, NotebookUnreadable, SaveFailed
from .mirror import Mirror, Rendered
from .storage import DiskState, Store
from .upstream import Collaboration

__all__ = ["Saver"]

_TURNS_OF_BROWSERS = 3


class Saver:
    """Saves one live notebook. One per open room.

    `on_saved` is called with the path and what was written after every save. `last_error` says why the latest save
    failed, None when it did not.
    """

    def __init__(
        self,
        *,
        collaboration: Collaboration,
        room_id: str,
        room: Any,
        mirror: Mirror,
        store: Store,
        baseline: DiskState,
        log: logging.Logger,
        on_saved: Callable[[str, Rendered], None],
    ) -> None:
        self._collaboration = collaboration
        self._room_id = room_id
        self._room = room
        self._mirror = mirror
        self._store = store
        # What the file held when it was last known to agree with the document, and the document's version then.
        self._baseline = baseline
        self._clean_version = mirror.version
        self._dirty_since: float | None = None
        self._log = log
        self._on_saved = on_saved
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._captured: list[Callable[[], None]] = []
        self._outside_change: str | None = None
        self.last_error: str | None = None
        self._stop_listening = mirror.on_change(self._changed)
        self._give_back = collaboration.take_over_saving(room, self._save_for_room, self.look_at_disk)

    def close(self) -> None:
        self._stop_listening()
        self._give_back()

    @property
    def path(self) -> str:
        path = self._collaboration.file_path(self._room_id)
        if path is None:
            raise SaveFailed("the file was deleted through Jupyter")
        return path

    @property
    def dirty(self) -> bool:
        """Whether the live document may hold something that the file does not."""
        return self._mirror.version != self._clean_version

    @property
    def dirty_for(self) -> float:
        """Seconds since the oldest edit that is not on disk; 0 when all are."""
        return time.monotonic() - self._dirty_since if self.dirty and self._dirty_since is not None else 0.0

    def _changed(self) -> None:
        if self._dirty_since is None:
            self._dirty_since = time.monotonic()

    # -- saving ---------------------------------------------------------------------------------------------------

    async def commit(self, captured: Callable[[], None] | None = None) -> None:
        """Return when everything that is in the document now is proven to be in the file.

        `captured` is called when what will be written has been taken from the document, which may change then.

        Raises SaveFailed or ChangedOnDisk; the edits stay in the live document. A caller that is cancelled leaves the
        save running.
        """
        if captured is not None:
            self._captured.append(captured)
        task = self._next
        if task is None:
            task = self._next = asyncio.create_task(self._round())
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(task)

    async def _round(self) -> None:
        async with self._turn:
            # Browsers are told of an edit in the next turns of the loop: before the disk, which takes longer.
            for _ in range(_TURNS_OF_BROWSERS):
                await asyncio.sleep(0)
            # Edits from here on may miss this save, so they get the next one.
            self._next = None
            waiting, self._captured = self._captured, []

            def captured() -> None:
                while waiting:
                    waiting.pop()()

            if not self.dirty and await self._store.unchanged(self.path, self._baseline):
                return
            try:
                async with self._collaboration.file_lock(self._room):
                    state, rendered = await self._write(captured)
                    if self._mirror.version == rendered.version:
                        # Under the lock the room's own save is waiting, never writing, so it can be called off.
                        self._collaboration.cancel_autosave(self._room)
            except ChangedOnDisk:
                raise ChangedOnDisk(await self._take_over(self.path)) from None
            await self._collaboration.mark_saved(self._room, state.digest)

    async def _write(self, captured: Callable[[], None] = lambda: None) -> tuple[DiskState, Rendered]:
        """Write the document as it is now over the baseline. The caller holds the file's lock."""
        path = self.path
        if self._mirror.duplicate_ids():
            # The document repairs this itself whenever it is read as a whole.
            self._collaboration.document(self._room).get()
        rendered = self._mirror.render()
        captured()
        await self._collaboration.keep_history(self._room)
        try:
            state = await self._store.write(path, rendered.data, self._baseline)
        except (SaveFailed, ChangedOnDisk) as error:
            self.last_error = str(error)
            self._log.warning("jupyter_mcp: %s was not saved: %s", path, error)
            raise
        self.last_error = None
        self._baseline = state
        self._clean_version = rendered.version
        # Edits that came while the file was written have been waiting since now, at the longest.
        self._dirty_since = time.monotonic() if self._mirror.version != rendered.version else None
        self._collaboration.set_last_modified(self._room, self._store.last_modified(state))
        self._on_saved(path, rendered)
        return state, rendered

    async def _save_for_room(self) -> dict[str, Any]:
        """A save that the room asked for, with the file's lock held."""
        try:
            state, _ = await self._write()
        except ChangedOnDisk:
            # The room answers this by reading the file.
            await self._keep_unsaved(self.path, self._mirror.render().data)
            raise self._collaboration.outside_change() from None
        except SaveFailed as error:
            raise HTTPError(500, str(error)) from error
        return {"last_modified": self._store.last_modified(state), "hash": state.digest, "path": self.path}

    # -- changes from outside -------------------------------------------------------------------------------------

    async def look_at_disk(self) -> None:
        """Notice a change from outside before a call works on the document. One stat when there is none."""
        path = self.path
        if await self._store.unchanged(path, self._baseline):
            return
        async with self._turn:
            async with self._collaboration.file_lock(self._room):
                state = await self._store.state(path)
                if state.digest == self._baseline.digest:
                    # Touched, copied over itself, or replaced by the same.
                    self._baseline = state
                    return
            await self._take_over(path)

    def acknowledge(self) -> None:
        """The caller is about to see the current state: a change from outside is no news any more."""
        self._outside_change = None

    def refuse_after_outside_change(self) -> None:
        """Raise ChangedOnDisk once after a change from outside, for positions may have shifted."""
        message, self._outside_change = self._outside_change, None
        if message is not None:
            raise ChangedOnDisk(f"{message} Nothing was edited; call notebook_get and try again.")

    async def _take_over(self, path: str) -> str:
        """Make the live document what is on disk, unsaved live work a file of its own; says what happened."""
        try:
            content = await self._store.content(path)
        except Exception as error:
            # Half written, perhaps; the live document is all there is, so it stays as it is.
            raise NotebookUnreadable(
                f"{path!r} was changed on disk by another program and is no readable notebook now ({error}). "
                "The live notebook was left as it is and is not saved over it. Repair or remove the file."
            ) from error
        state = await self._store.state(path)
        kept = None
        if not _same(self._collaboration.document(self._room).get(), content):
            kept = await self._keep_unsaved(path, self._mirror.render().data)
            await self._collaboration.reload(self._room)
        self._baseline = state
        self._clean_version = self._mirror.version
        self._dirty_since = None
        message = f"{path!r} was changed on disk by another program; the live notebook now shows that version."
        if kept:
            message += f" What was not saved before is kept in {kept!r}."
        self._outside_change = message
        self._log.warning("jupyter_mcp: %s", message)
        return message

    async def _keep_unsaved(self, path: str, live: bytes) -> str | None:
        """Put live work that is in no file beside the notebook; the name, None when there is nothing to keep."""
        if not self.dirty or hashlib.sha256(live).hexdigest() == self._baseline.digest:
            return None
        name = f"{path.removesuffix('.ipynb')}-unsaved-{datetime.now():%Y%m%d-%H%M%S-%f}.ipynb"
        try:
            await self._store.create(name, live)
        except (NotebookError, OSError) as error:
            self._log.error("jupyter_mcp: the unsaved version of %s could not be kept: %s", path, error)
            return None
        return name


def _same(live: dict[str, Any], disk: dict[str, Any]) -> bool:
    """Whether the two notebooks are one, apart from trust marks and ids that an old format cannot hold."""
    return _essence(live) == _essence(disk)


def _essence(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    cells = []
    for cell in notebook.get("cells", ()):
        plain = {key: value for key, value in cell.items() if key not in ("metadata", "id")}
        plain["metadata"] = {key: value for key, value in cell.get("metadata", {}).items() if key != "trusted"}
        cells.append(plain)
    return cells
