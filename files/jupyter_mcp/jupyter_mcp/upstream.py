"""Everything that is taken from inside jupyter-server-ydoc and pycrdt-websocket, in one place.

Their supported access is `settings["jupyter_server_ydoc"].get_document(...)`. It does not say whether a room is ready,
registers a dead room when a file cannot be read, and cannot save; so private names are used here, and only here.
`PRIVATE_NAMES` lists them for the contract test, which fails when an upgrade takes one away.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from weakref import WeakKeyDictionary

from jupyter_server_ydoc.rooms import DocumentRoom
from jupyter_server_ydoc.utils import OutOfBandChanges
from jupyter_ydoc import YNotebook

from .errors import CollaborationMissing
from .file_ids import FileIds
from .history import History

__all__ = ["PRIVATE_NAMES", "Collaboration"]

# (object, attribute): what the objects of a running server must have. See tests/test_contract.py.
PRIVATE_NAMES = (
    ("extension", "_room_locks"),
    ("extension", "ywebsocket_server"),
    ("extension", "file_loaders"),
    ("extension", "ystore_class"),
    ("server", "rooms"),
    ("server", "delete_room"),
    ("server", "serve"),
    ("room", "_document"),
    ("room", "_file"),
    ("room", "_update_lock"),
    ("room", "_saving_document"),
    ("room", "_task_group"),
    ("room", "_on_outofband_change"),
    ("room", "_on_filepath_change"),
    ("room", "_on_document_change"),
    ("room", "cleaner"),
    ("room", "clients"),
    ("room", "on_message"),
    ("room", "awareness"),
    ("room", "started"),
    ("room", "ydoc_observed"),
    ("loader", "_lock"),
    ("loader", "_save_content_at_path"),
    ("loader", "observe"),
    ("loader", "last_modified"),
    ("loader", "_subscriptions"),
    ("loader", "number_of_subscriptions"),
)

_FORMAT, _TYPE = "json", "notebook"
_OPEN_SECONDS = 60.0


class Collaboration:
    """The rooms of this server's jupyter-collaboration."""

    def __init__(self, settings: dict[str, Any], log: logging.Logger | None = None) -> None:
        self._settings = settings
        self._log = log or logging.getLogger(__name__)
        self._known_ids: FileIds | None = None
        self._histories: WeakKeyDictionary[DocumentRoom, History] = WeakKeyDictionary()

    @property
    def extension(self) -> Any:
        extension = self._required("jupyter_server_ydoc")
        self._configure_store(extension)
        return extension

    @property
    def _file_ids(self) -> FileIds:
        manager = self._required("file_id_manager")
        if self._known_ids is None or self._known_ids.manager is not manager:
            self._known_ids = FileIds(manager)
        return self._known_ids

    def _required(self, name: str) -> Any:
        if name not in self._settings:
            raise CollaborationMissing(
                "This server runs without jupyter-collaboration, so there are no shared notebooks. "
                "Enable the extensions jupyter_server_ydoc and jupyter_server_fileid."
            )
        return self._settings[name]

    @staticmethod
    def _configure_store(extension: Any) -> None:
        """Rooms that `get_document` makes ignore the configured place of the update store; bind the configuration."""
        plain = extension.ystore_class
        if getattr(plain, "jupyter_mcp_configured", False):
            return

        class ConfiguredStore(plain):  # type: ignore[misc, valid-type]
            jupyter_mcp_configured = True

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                kwargs.setdefault("config", extension.config)
                super().__init__(*args, **kwargs)

        ConfiguredStore.__name__ = plain.__name__
        ConfiguredStore.__qualname__ = plain.__qualname__
        extension.ystore_class = ConfiguredStore

    @property
    def available(self) -> bool:
        return "jupyter_server_ydoc" in self._settings and "file_id_manager" in self._settings

    def room_id(self, path: str) -> str:
        """The id of the room of a canonical path; makes a file id when there is none."""
        return f"{_FORMAT}:{_TYPE}:{self._file_ids.of(path)}"

    def known_room_id(self, path: str) -> str | None:
        """Like `room_id`, and None instead of making a file id."""
        file_id = self._file_ids.known(path)
        return f"{_FORMAT}:{_TYPE}:{file_id}" if file_id else None

    def file_path(self, room_id: str) -> str | None:
        """Where the file of a room is now; a rename through Jupyter changes it."""
        return self._file_ids.path(room_id.split(":", 2)[2])

    def notebook_rooms(self) -> dict[str, DocumentRoom]:
        """Every live room of a notebook, by id."""
        rooms = self.extension.ywebsocket_server.rooms
        return {
            room_id: room
            for room_id, room in rooms.items()
            if isinstance(room, DocumentRoom) and room_id.startswith(f"{_FORMAT}:{_TYPE}:") and not self.is_dead(room)
        }

    def find(self, room_id: str) -> DocumentRoom | None:
        """The room, if it is running and filled from its file."""
        room = self.extension.ywebsocket_server.rooms.get(room_id)
        if not isinstance(room, DocumentRoom) or not room.ready or self.is_dead(room):
            return None
        return room

    @staticmethod
    def closing(room: DocumentRoom) -> bool:
        """Whether the last browser has left and the room's clean-up is pending; `open` calls it off."""
        return room.cleaner is not None and not room.cleaner.done()

    @staticmethod
    def is_dead(room: DocumentRoom) -> bool:
        """Whether the room has been stopped: it would take edits and send them to nobody."""
        return bool(room.started.is_set() and room._task_group is None)

    async def open(self, room_id: str) -> tuple[DocumentRoom, bool]:
        """A room proven ready, and whether this call made it. Raises what reading the file raised.

        A pending clean-up (the last tab was closed a minute ago) is called off: the caller keeps the room from now on.
        """
        extension = self.extension
        server = extension.ywebsocket_server
        while True:
            lock = extension._room_locks[room_id]
            async with lock:
                if extension._room_locks.get(room_id) is not lock:
                    # A clean-up finished while we waited, and took its lock with it.
                    continue
                room = server.rooms.get(room_id)
                if room is not None and self.is_dead(room):
                    # Left behind by an earlier failure to read the file; it would stay empty for ever.
                    await self._forget(room_id, room)
                    room = None
                elif isinstance(room, DocumentRoom):
                    if room.cleaner is not None and not room.cleaner.done():
                        room.cleaner.cancel()
                    if not room.ready:
                        # Between a browser's connect and its first message the room exists and is empty.
                        await self._initialize(room_id, room)
                    # From here on edits reach the browsers.
                    await room.ydoc_observed.wait()
                    return room, False
            try:
                async with asyncio.timeout(_OPEN_SECONDS):
                    await extension.get_document(room_id=room_id, copy=False, create=True)
            except Exception as error:
                async with extension._room_locks[room_id]:
                    left = server.rooms.get(room_id)
                    # Whoever gets a room that was left like this gets an empty document, now or never.
                    if left is not None and (self.is_dead(left) or not left.ready):
                        await self._forget(room_id, left)
                if isinstance(error, TimeoutError):
                    raise TimeoutError("its document could not be loaded; the server's log says why") from error
                raise
            room = server.rooms.get(room_id)
            if isinstance(room, DocumentRoom) and room.ready and not self.is_dead(room):
                await room.ydoc_observed.wait()
                return room, True

    async def _initialize(self, room_id: str, room: DocumentRoom) -> None:
        try:
            await room.initialize()
        except Exception:
            if not room.clients:
                await self._forget(room_id, room)
            raise

    async def _forget(self, room_id: str, room: DocumentRoom) -> None:
        extension = self.extension
        if extension.ywebsocket_server.rooms.get(room_id) is room:
            del extension.ywebsocket_server.rooms[room_id]
        if not self.is_dead(room):
            await room.stop()
        await self.keep_history(room)
        if room.ystore is not None:
            # Rooms leave their update store running, with a task and a thread each.
            with contextlib.suppress(Exception):
                await room.ystore.stop()
        file_id = room_id.split(":", 2)[2]
        if file_id in extension.file_loaders:
            try:
                loader = extension.file_loaders[file_id]
            except RuntimeError:
                return
            if loader.number_of_subscriptions == 0:
                await extension.file_loaders.remove(file_id)

    async def close(self, room_id: str, room: DocumentRoom) -> bool:
        """Close a room that nobody has open; whether it was closed."""
        extension = self.extension
        lock = extension._room_locks[room_id]
        async with lock:
            if room.clients or extension.ywebsocket_server.rooms.get(room_id) is not room:
                return False
            await self._forget(room_id, room)
            if extension._room_locks.get(room_id) is lock:
                del extension._room_locks[room_id]
        return True

    # -- the parts of a room -------------------------------------------------------------------------------------

    @staticmethod
    def document(room: DocumentRoom) -> YNotebook:
        document: YNotebook = room._document
        return document

    @staticmethod
    def file_lock(room: DocumentRoom) -> asyncio.Lock:
        """Held while the room reads, polls or saves its file."""
        lock: asyncio.Lock = room._file._lock
        return lock

    @staticmethod
    def last_modified(room: DocumentRoom) -> Any:
        return room._file.last_modified

    @staticmethod
    def set_last_modified(room: DocumentRoom, when: Any) -> None:
        """Tell the room which modification it knows, so that it does not take our save for a stranger's."""
        if when is not None:
            room._file.last_modified = when

    async def keep_history(self, room: DocumentRoom) -> None:
        """Return when the room's update store has all changes of the document. To be called before a save."""
        history = self._histories.get(room)
        if history is not None:
            await history.flush()

    @staticmethod
    async def mark_saved(room: DocumentRoom, digest: str) -> None:
        """Publish that the document is saved, as the room's own save does (the lock keeps it from saving again)."""
        document = room._document
        async with room._update_lock:
            # One transaction: every one is sent to all clients and written to the update store.
            with document.ydoc.transaction():
                if document.dirty is not False:
                    document.dirty = False
                document.hash = digest

    @staticmethod
    def cancel_autosave(room: DocumentRoom) -> None:
        """Call off the debounced save that the room started for edits that are on disk already."""
        task = room._saving_document
        if task is not None and not task.done():
            task.cancel()

    def take_over_saving(
        self,
        room: DocumentRoom,
        save: Callable[[], Awaitable[dict[str, Any]]],
        changed_outside: Callable[[], Coroutine[Any, Any, None]],
    ) -> Callable[[], None]:
        """Let the room's own saves (people's edits, Ctrl+S) go through `save`; returns what undoes it.

        The room takes a snapshot, then waits for its turn to write it; by then it may be older than what is on disk,
        and its check compares times of modification only. `save` is called with the file's lock held, writes what the
        document holds at that moment, and returns a contents model with `last_modified` and `hash`. `changed_outside`
        is called when the room's watcher sees a newer file.
        """
        loader: Any = room._file
        plain = loader._save_content_at_path

        async def save_at_path(model: dict[str, Any], path: str) -> dict[str, Any]:
            if model.get("type") != _TYPE:
                # The same file opened as plain text shares the loader.
                result: dict[str, Any] = await plain(model, path)
                return result
            return await save()

        loader._save_content_at_path = save_at_path
        loader.observe(room.room_id, changed_outside, room._on_filepath_change)
        if room.ystore is not None:
            self._histories[room] = History(room.ystore, room.ydoc, self._log)

        def undo() -> None:
            history = self._histories.pop(room, None)
            if history is not None:
                history.close()
            if loader.__dict__.get("_save_content_at_path") is save_at_path:
                del loader._save_content_at_path
            if room.room_id in loader._subscriptions:
                loader.observe(room.room_id, room._on_outofband_change, room._on_filepath_change)

        return undo

    @staticmethod
    def outside_change() -> Exception:
        """What the room's save raises for a file that another program changed."""
        return OutOfBandChanges()

    @staticmethod
    async def quietly(room: DocumentRoom, change: Any) -> None:
        """Apply a change of the document that is not worth a save."""
        async with room._update_lock:
            change()

    @staticmethod
    async def reload(room: DocumentRoom) -> None:
        """Replace the live document by what is on disk, as the room does for a change from outside."""
        await room._on_outofband_change()
