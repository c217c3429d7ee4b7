"""What the tools do, in plain Python: notebooks, cells, kernels and executions of one server.

Every method that changes a notebook answers after the change is proven to be on disk, or raises. Nothing here knows of
MCP or of HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from . import cells
from .aftersave import AfterSave
from .caller import current_caller
from .contents_store import make_store
from .errors import CellNotFound, CellRefused, ChangedOnDisk, SaveFailed
from .execution import Execution
from .executions import Executions
from .file_store import FileStore
from .keeper import Keeper
from .kernels import Kernels
from .mirror import Rendered
from .presence import Presence
from .rooms import OpenNotebook, Rooms
from .upstream import Collaboration
from .watch import wait_for_change
from .working_directory import WorkingDirectory
from .workspace import Workspace

__all__ = ["Service"]


class Service:
    """Built from a running Jupyter Server; see :meth:`of_server`."""

    def __init__(
        self,
        *,
        collaboration: Collaboration,
        rooms: Rooms,
        workspace: Workspace,
        kernels: Kernels,
        executions: Executions,
        keeper: Keeper,
        presence: Presence,
        kernel_spec_manager: Any,
        log: logging.Logger,
    ) -> None:
        self.collaboration = collaboration
        self.rooms = rooms
        self.workspace = workspace
        self.kernels = kernels
        self.executions = executions
        self.keeper = keeper
        self.presence = presence
        presence.busy = executions.running
        rooms.on_forget = presence.forget
        self._specs = kernel_spec_manager
        self._log = log

    @classmethod
    def of_server(cls, serverapp: Any, log: logging.Logger, *, idle_timeout: float = 600.0) -> Service:
        """The service of a Jupyter ServerApp whose extensions are loaded. Call `start` in the event loop."""
        contents = serverapp.contents_manager
        store = make_store(contents)
        root = Path(contents.root_dir) if isinstance(store, FileStore) else None
        collaboration = Collaboration(serverapp.web_app.settings, log)

        after_save = AfterSave(contents, log) if isinstance(store, FileStore) else None

        def on_saved(path: str, rendered: Rendered) -> None:
            # Other contents managers do this themselves.
            if after_save is not None:
                after_save(path, rendered)

        rooms = Rooms(
            collaboration=collaboration,
            contents_manager=contents,
            store=store,
            root=root,
            log=log,
            on_saved=on_saved,
        )
        kernels = Kernels(serverapp.session_manager, serverapp.kernel_manager, log)
        executions = Executions(rooms, kernels, log)
        working_directory = WorkingDirectory(root) if root is not None else None

        def tidy() -> None:
            kernels.drop_stale()
            if working_directory is not None:
                working_directory.look()

        return cls(
            collaboration=collaboration,
            rooms=rooms,
            workspace=Workspace(contents, store, root),
            kernels=kernels,
            executions=executions,
            keeper=Keeper(
                rooms,
                collaboration,
                idle_timeout=idle_timeout,
                busy=executions.running,
                tidy=tidy,
                log=log,
            ),
            presence=Presence(log),
            kernel_spec_manager=serverapp.kernel_spec_manager,
            log=log,
        )

    def start(self) -> None:
        self.keeper.start()
        self.presence.start()

    async def close(self) -> None:
        """Stop what runs, and save what is not saved."""
        await self.keeper.stop()
        await self.presence.stop()
        await self.executions.close()
        unsaved = [notebook for notebook in self.rooms.opened if notebook.saver.dirty]
        await asyncio.gather(*(notebook.saver.commit() for notebook in unsaved), return_exceptions=True)
        await self.kernels.close()

    async def _open(self, path: str, *, edit: bool) -> OpenNotebook:
        """The live notebook, with the calling agent shown as present in it."""
        notebook = await self.rooms.open(path, edit=edit)
        caller = current_caller.get()
        if caller is not None:
            self.presence.touch(notebook, caller.agent)
        return notebook

    # -- notebooks ------------------------------------------------------------------------------------------------

    async def notebook_list(self) -> list[dict[str, str]]:
        return await self.workspace.notebooks()

    async def notebook_create(self, path: str) -> dict[str, str]:
        canonical = self.rooms.canonical(path)
        await self.workspace.create(canonical, await self._default_kernelspec())
        return {"path": canonical, "name": canonical.rsplit("/", 1)[-1]}

    async def _default_kernelspec(self) -> dict[str, str] | None:
        try:
            specs = await asyncio.to_thread(self._specs.get_all_specs)
        except Exception:
            return None
        name = "python3" if "python3" in specs else next(iter(sorted(specs)), None)
        if name is None:
            return None
        spec = specs[name]["spec"]
        return {
            "name": name,
            "display_name": str(spec.get("display_name", name)),
            "language": str(spec.get("language", "")),
        }

    async def notebook(self, path: str) -> OpenNotebook:
        """A live notebook to read from."""
        return await self._open(path, edit=False)

    async def notebook_watch(self, path: str, timeout: float, since: int | None) -> dict[str, Any]:
        notebook = await self._open(path, edit=False)
        notebook.holds += 1
        try:
            changed = await wait_for_change(notebook.mirror, timeout, since)
        finally:
            notebook.holds -= 1
        if not changed:
            return {"changed": False, "version": notebook.mirror.version}
        return {"changed": True, "cell_count": len(notebook.mirror), "version": notebook.mirror.version}

    async def notebook_users(self, path: str) -> list[dict[str, str]]:
        notebook = await self.rooms.open(path, edit=False)
        return users_of(notebook.room)

    async def room_list(self) -> list[dict[str, Any]]:
        rooms = []
        for room_id, room in self.collaboration.notebook_rooms().items():
            path = self.collaboration.file_path(room_id) or room._document.path or ""
            users = users_of(room)
            rooms.append(
                {
                    "room_id": room_id,
                    "path": path,
                    "file_id": room_id.split(":", 2)[2],
                    "users": users,
                    "user_count": len(users),
                    "has_kernel": await self.kernels.session(path) is not None,
                }
            )
        return sorted(rooms, key=lambda room: str(room["path"]))

    # -- cells ----------------------------------------------------------------------------------------------------

    def locate(
        self,
        notebook: OpenNotebook,
        index: int | None,
        cell_id: str | None,
        expected_source_hash: str | None = None,
    ) -> int:
        """The position of the cell that a caller means. An id wins over an index that has become stale.

        With `expected_source_hash` the cell is refused, and shown, when its source is not what the caller knows.
        """
        if cell_id is not None:
            position = cells.first_position(notebook.mirror.ids, cell_id)
        elif index is not None:
            position = cells.resolve_index(len(notebook.mirror), index)
        else:
            raise CellNotFound("Say which cell: give its index or its cell_id.")
        if expected_source_hash is not None:
            source = str(cells.shared_cell(notebook.document, position)["source"])
            found = cells.source_hash(source)
            if found != expected_source_hash:
                raise CellRefused(
                    f"Cell {position} is not what you expect: its source hash is {found}, not {expected_source_hash}. "
                    f"Nothing was changed. Its source is now:\n{source}"
                )
        return position

    async def cell_get(self, path: str, index: int | None, cell_id: str | None) -> tuple[int, dict[str, Any]]:
        notebook = await self._open(path, edit=False)
        position = self.locate(notebook, index, cell_id)
        return position, cells.cell_dict(cells.shared_cell(notebook.document, position))

    async def cell_update(
        self,
        path: str,
        index: int | None,
        source: str,
        cell_type: str | None,
        cell_id: str | None,
        expected_source_hash: str | None,
    ) -> tuple[int, str]:
        if cell_type is not None:
            cells.check_cell_type(cell_type)
        notebook = await self._open(path, edit=True)
        position = self.locate(notebook, index, cell_id, expected_source_hash)
        with notebook.document.ydoc.transaction():
            cells.upgrade_nbformat(notebook.document)
            cells.set_source(notebook.document, cells.shared_cell(notebook.document, position), source)
        if cell_type is not None:
            cells.change_type(notebook.document, position, cell_type)
        changed = notebook.mirror.ids[position]
        await self._saved(notebook, f"Cell {position} was updated")
        return position, changed

    async def cell_insert(self, path: str, index: int, source: str, cell_type: str) -> tuple[int, str]:
        cells.check_cell_type(cell_type)
        notebook = await self._open(path, edit=True)
        position = cells.resolve_insert_index(len(notebook.mirror), index)
        with notebook.document.ydoc.transaction():
            cells.upgrade_nbformat(notebook.document)
            cell_id = cells.insert_cell(notebook.document, position, source, cell_type)
        await self._saved(notebook, f"The cell was inserted at index {position}")
        return position, cell_id

    async def cell_delete(
        self, path: str, index: int | None, cell_id: str | None, expected_source_hash: str | None
    ) -> tuple[int, str]:
        notebook = await self._open(path, edit=True)
        position = self.locate(notebook, index, cell_id, expected_source_hash)
        deleted = notebook.mirror.ids[position]
        with notebook.document.ydoc.transaction():
            cells.upgrade_nbformat(notebook.document)
            cells.delete_cell(notebook.document, position)
        await self._saved(notebook, f"Cell {position} was deleted")
        return position, deleted

    async def cell_move(
        self, path: str, index: int | None, to: int, cell_id: str | None, expected_source_hash: str | None
    ) -> tuple[int, int, str]:
        notebook = await self._open(path, edit=True)
        position = self.locate(notebook, index, cell_id, expected_source_hash)
        target = cells.resolve_index(len(notebook.mirror), to)
        moved = notebook.mirror.ids[position]
        cells.upgrade_nbformat(notebook.document)
        cells.move_cell(notebook.document, position, target)
        await self._saved(notebook, f"Cell {position} was moved to {target}")
        return position, target, moved

    async def _saved(self, notebook: OpenNotebook, done: str) -> None:
        """Wait for the proof that the edit is on disk; say clearly when it is not."""
        notebook.holds += 1
        try:
            await notebook.saver.commit()
        except ChangedOnDisk as error:
            notebook.saver.acknowledge()
            raise ChangedOnDisk(f"{done}, and was NOT saved: {error} Call notebook_get and do it again.") from error
        except SaveFailed as error:
            raise SaveFailed(
                f"{done} in the live notebook, but it is NOT saved: {error}. The edit is kept in the live notebook "
                "and saved as soon as that is possible; do not repeat it."
            ) from error
        finally:
            notebook.holds -= 1

    # -- kernels --------------------------------------------------------------------------------------------------

    async def cell_execute(
        self, path: str, index: int | None, cell_id: str | None, expected_source_hash: str | None
    ) -> tuple[int, Execution]:
        """Queue a cell; the execution goes on whatever becomes of the caller."""
        notebook = await self._open(path, edit=True)
        position = self.locate(notebook, index, cell_id, expected_source_hash)
        cell_type = cells.shared_cell(notebook.document, position).get("cell_type")
        if cell_type != "code":
            raise CellRefused(f"Cell {position} is a {cell_type} cell. Only code cells can be executed.")
        cells.upgrade_nbformat(notebook.document)
        return position, self.executions.submit(notebook, position)

    async def kernel_interrupt(self, path: str) -> None:
        canonical = await self._existing(path)
        await self.kernels.interrupt(canonical)

    async def kernel_restart(self, path: str) -> None:
        canonical = await self._existing(path)
        await self.kernels.restart(self.collaboration.room_id(canonical), canonical)

    async def _existing(self, path: str) -> str:
        canonical = self.rooms.canonical(path)
        if await self.kernels.session(canonical) is None:
            # A notebook that is not there deserves that answer, not "no kernel".
            await self.rooms._check(canonical)
        return canonical


def users_of(room: Any) -> list[dict[str, str]]:
    """Everyone who is in a room, as their client says: {"id", "name"}, once per user."""
    users: dict[str, dict[str, str]] = {}
    for client_id, state in room.awareness.states.items():
        user = (state or {}).get("user")
        if not isinstance(user, dict):
            continue
        user_id = str(user.get("username") or client_id)
        name = str(user.get("display_name") or user.get("name") or user_id)
        users.setdefault(user_id, {"id": user_id, "name": name})
    return sorted(users.values(), key=lambda user: (user["name"], user["id"]))
