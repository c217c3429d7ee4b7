"""An answer means it is on disk: saves that are shared, proven, and never postponed.

Every edit waits for one save that began after it. While one save runs, all edits that arrive share the next one
(group commit), so a stream of edits costs a stream of saves, one at a time, and never waits for a quiet moment.
The file is only ever written over content that this server knows; anything else is a change from outside.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from .errors import ChangedOnDisk, SaveFailed
from .mirror import Mirror
from .storage import DiskState, Store
from .upstream import Collaboration

__all__ = ["Saver"]


class Saver:
    """Saves one live notebook. One per open room.

    `baseline` is what the file held when the room was last known to agree with it.
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
        on_saved: Callable[[str], None],
    ) -> None:
        self._collaboration = collaboration
        self._room_id = room_id
        self._room = room
        self._mirror = mirror
        self._store = store
        self._baseline = baseline
        self._clean_version = mirror.version
        self._log = log
        self._on_saved = on_saved
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._outside_change: str | None = None
        self.last_error: str | None = None

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

    async def commit(self) -> None:
        """Return when everything that is in the document now is proven to be in the file.

        Raises SaveFailed or ChangedOnDisk; the edits stay in the live document. A caller that is cancelled leaves the
        save running.
        """
        task = self._next
        if task is None:
            task = self._next = asyncio.create_task(self._round())
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(task)

    async def _round(self) -> None:
        async with self._turn:
            # Edits from here on may miss this save, so they get the next one.
            self._next = None
            try:
                await self._save()
                self.last_error = None
            except (SaveFailed, ChangedOnDisk) as error:
                self.last_error = str(error)
                self._log.warning("jupyter_mcp: %s was not saved: %s", self._room_id, error)
                raise

    async def _save(self) -> None:
        path = self.path
        if not self.dirty and await self._store.unchanged(path, self._baseline):
            return
        async with self._collaboration.file_lock(self._room):
            await self._recognise_own_save(path)
            if self._mirror.duplicate_ids():
                # The document repairs this itself whenever it is read as a whole.
                self._collaboration.document(self._room).get()
            rendered = self._mirror.render()
            state: DiskState | None
            try:
                state = await self._store.write(path, rendered.data, self._baseline)
            except ChangedOnDisk:
                state = None
            if state is not None:
                self._baseline = state
                self._clean_version = rendered.version
                self._collaboration.set_last_modified(self._room, self._store.last_modified(state))
        if state is None:
            raise ChangedOnDisk(await self._take_over(path))
        await self._collaboration.mark_saved(self._room, state.digest)
        if self._mirror.version == rendered.version:
            self._collaboration.cancel_autosave(self._room)
        self._on_saved(path)

    async def _recognise_own_save(self, path: str) -> bool:
        """Whether the file holds what this server wrote or read; the room saves too, for people's edits."""
        if await self._store.unchanged(path, self._baseline):
            return True
        state = await self._store.state(path)
        if state.digest in (self._baseline.digest, self._collaboration.document(self._room).hash):
            self._baseline = state
            return True
        return False

    async def look_at_disk(self) -> None:
        """Notice a change from outside before a call works on the document. One stat when there is none."""
        path = self.path
        if await self._store.unchanged(path, self._baseline):
            return
        async with self._collaboration.file_lock(self._room):
            if await self._recognise_own_save(path):
                return
        async with self._turn:
            async with self._collaboration.file_lock(self._room):
                if await self._recognise_own_save(path):
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
        content = await self._store.content(path)
        state = await self._store.state(path)
        live = self._mirror.render()
        kept = None
        if not _same(self._collaboration.document(self._room).get(), content):
            if self._unsaved(live.data):
                kept = await self._keep_aside(path, live.data)
            await self._collaboration.reload(self._room)
        self._baseline = state
        self._clean_version = self._mirror.version
        message = f"{path!r} was changed on disk by another program; the live notebook now shows that version."
        if kept:
            message += f" What was not saved before is kept in {kept!r}."
        self._outside_change = message
        self._log.warning("jupyter_mcp: %s", message)
        return message

    def _unsaved(self, live: bytes) -> bool:
        if not self.dirty:
            return False
        digest = hashlib.sha256(live).hexdigest()
        return digest not in (self._baseline.digest, self._collaboration.document(self._room).hash)

    async def _keep_aside(self, path: str, data: bytes) -> str | None:
        stem = path.removesuffix(".ipynb")
        name = f"{stem}-unsaved-{datetime.now():%Y%m%d-%H%M%S-%f}.ipynb"
        try:
            await self._store.create(name, data)
        except (SaveFailed, OSError) as error:
            self._log.error("jupyter_mcp: the unsaved version of %s could not be kept: %s", path, error)
            return None
        return name


def _same(live: dict[str, Any], disk: dict[str, Any]) -> bool:
    """Whether the two notebooks are one, apart from trust marks and ids that an old format cannot hold."""
    return _essence(live) == _essence(disk)


def _essence(notebook: dict[str, Any]) -> tuple[Any, ...]:
    cells = []
    for cell in notebook.get("cells", ()):
        plain = {key: value for key, value in cell.items() if key not in ("metadata", "id")}
        plain["metadata"] = {key: value for key, value in cell.get("metadata", {}).items() if key != "trusted"}
        cells.append(plain)
    return (cells, notebook.get("nbformat"))
