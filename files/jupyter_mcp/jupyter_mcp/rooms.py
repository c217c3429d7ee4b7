"""Notebooks that are open: one room, one mirror and one saver each, for whatever spelling of the path.

`Rooms.open` is the only way to a live document. It asks the room again on every call, for rooms come and go with
browser tabs; what it returns is good until the caller awaits something long.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_ydoc import YNotebook
from tornado.web import HTTPError

from .errors import NotebookNotFound, NotebookUnreadable
from .mirror import Mirror, Rendered
from .paths import canonical_path, check_regular_file
from .saving import Saver
from .storage import Store
from .upstream import Collaboration

__all__ = ["OpenNotebook", "Rooms"]


@dataclass(eq=False)
class OpenNotebook:
    """A live notebook. `last_used` is a time of `time.monotonic`, `holds` counts what must keep the room open."""

    room_id: str
    path: str
    room: Any
    document: YNotebook
    mirror: Mirror
    saver: Saver
    last_used: float = field(default_factory=time.monotonic)
    holds: int = 0

    @property
    def file_id(self) -> str:
        return self.room_id.split(":", 2)[2]

    def close(self) -> None:
        """Let go of the room, which may live on."""
        self.saver.close()
        self.mirror.close()


class Rooms:
    """The open notebooks of one server. `root` is the workspace on disk, None when the contents are not files."""

    def __init__(
        self,
        *,
        collaboration: Collaboration,
        contents_manager: Any,
        store: Store,
        root: Path | None,
        log: logging.Logger,
        on_saved: Callable[[str, Rendered], None],
    ) -> None:
        self._collaboration = collaboration
        self._contents = contents_manager
        self._store = store
        self.root = root
        self._log = log
        self._on_saved = on_saved
        self._open: dict[str, OpenNotebook] = {}
        self._opening: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.on_forget: Callable[[OpenNotebook], None] = lambda notebook: None

    @property
    def opened(self) -> list[OpenNotebook]:
        return list(self._open.values())

    def canonical(self, path: str) -> str:
        return canonical_path(path, self.root)

    async def open(self, path: str, *, edit: bool) -> OpenNotebook:
        """The live notebook at `path`, in whatever spelling.

        With `edit`, a change of the file from outside is refused once (ChangedOnDisk): the caller's positions may be
        wrong. Without, the caller is taken to see the new state.
        """
        canonical = self.canonical(path)
        await self._check(canonical)
        room_id = self._collaboration.room_id(canonical)
        notebook = self._current(room_id)
        if notebook is None or self._collaboration.closing(notebook.room):
            async with self._opening[room_id]:
                notebook = await self._attach(room_id, canonical)
        await notebook.saver.look_at_disk()
        if edit:
            notebook.saver.refuse_after_outside_change()
        else:
            notebook.saver.acknowledge()
        notebook.last_used = time.monotonic()
        # A rename through Jupyter moves the file, and keeps the room.
        notebook.path = canonical
        return notebook

    def peek(self, room_id: str) -> OpenNotebook | None:
        """The open notebook of a room, if it is still the live one."""
        return self._current(room_id)

    async def reopen(self, room_id: str) -> OpenNotebook:
        """The live notebook of a room that may have been closed meanwhile, wherever its file is now."""
        path = self._collaboration.file_path(room_id)
        if path is None:
            raise NotebookNotFound("The notebook was deleted.")
        notebook = self._current(room_id)
        if notebook is not None:
            notebook.path = path
            return notebook
        return await self.open(path, edit=False)

    async def close(self, notebook: OpenNotebook) -> bool:
        """Close the room of a saved notebook, unless a browser has come meanwhile; whether it was closed."""
        async with self._opening[notebook.room_id]:
            if self._current(notebook.room_id) is not notebook or notebook.holds:
                return False
            if not await self._collaboration.close(notebook.room_id, notebook.room):
                return False
            self.forget(notebook)
        self._log.info("jupyter_mcp: closed %s, which nobody used", notebook.path)
        return True

    def forget(self, notebook: OpenNotebook) -> None:
        if self._open.get(notebook.room_id) is notebook:
            del self._open[notebook.room_id]
        self.on_forget(notebook)
        notebook.close()

    def _current(self, room_id: str) -> OpenNotebook | None:
        notebook = self._open.get(room_id)
        room = self._collaboration.find(room_id)
        if notebook is None or room is None:
            return None
        if notebook.room is not room:
            # The room was closed and made anew; what observed the old document is of no use.
            self.forget(notebook)
            return None
        return notebook

    async def _check(self, path: str) -> None:
        if self.root is not None:
            check_regular_file(path, self.root)
            return
        try:
            model = await ensure_async(self._contents.get(path, content=False))
        except HTTPError as error:
            raise _explained(path, error) from error
        if model["type"] != "notebook":
            raise NotebookUnreadable(f"{path!r} is a {model['type']}, not a notebook.")

    async def _attach(self, room_id: str, path: str) -> OpenNotebook:
        for _ in range(5):
            before = await self._store.state(path)
            try:
                room, created = await self._collaboration.open(room_id)
            except HTTPError as error:
                raise _explained(path, error) from error
            except (OSError, UnicodeError, ValueError, KeyError, TypeError) as error:
                raise NotebookUnreadable(f"{path!r} cannot be read as a notebook: {error}.") from error
            if await self._store.unchanged(path, before):
                break
            self._log.info("jupyter_mcp: %s changed while it was opened; looking again", path)
        old = self._open.get(room_id)
        if old is not None and old.room is room:
            return old
        if old is not None:
            self.forget(old)
        document = self._collaboration.document(room)
        if created:
            await self._drop_default_cell(room, document, path)
        # A save of the room's own may be on its way; with the lock it has ended, and none begins.
        async with self._collaboration.file_lock(room):
            now = await self._store.state(path)
            when = self._store.last_modified(now)
            if when is None or when == self._collaboration.last_modified(room):
                # What the room itself has written meanwhile is nobody else's change.
                before = now
            mirror = Mirror(document)
            saver = Saver(
                collaboration=self._collaboration,
                room_id=room_id,
                room=room,
                mirror=mirror,
                store=self._store,
                baseline=before,
                log=self._log,
                on_saved=self._on_saved,
            )
        notebook = OpenNotebook(room_id, path, room, document, mirror, saver)
        self._open[room_id] = notebook
        return notebook

    async def _drop_default_cell(self, room: Any, document: YNotebook, path: str) -> None:
        """A notebook without cells is loaded with one empty cell; it is not in the file, so take it out again."""
        if len(document.ycells) != 1 or (await self._store.content(path)).get("cells"):
            return
        cell = document.ycells[0]
        if cell.get("cell_type") == "code" and not str(cell.get("source")):
            await self._collaboration.quietly(room, lambda: document.ycells.clear())


def _explained(path: str, error: HTTPError) -> Exception:
    if error.status_code == 404:
        return NotebookNotFound(f"There is no notebook {path!r}. Call notebook_list to see those that exist.")
    return NotebookUnreadable(f"{path!r} cannot be read as a notebook: {error.log_message or error.reason}.")
