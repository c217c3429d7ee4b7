"""One kernel per notebook, shared with the browser, and one kept client per kernel.

The kernel belongs to a Jupyter session of the notebook's path, which is how JupyterLab finds it. A kernel that died or
was restarted has lost its variables, so the first call that meets the new one is told so instead of running.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from typing import Any

from jupyter_core.utils import ensure_async
from tornado.web import HTTPError

from .connection import Identity, KernelConnection, identity_of
from .errors import KernelDead, KernelFailed
from .joining import Joining

__all__ = ["Kernels"]


class Kernels:
    """The kernels of this server's notebooks. Rooms are named by their id, files by their canonical path."""

    def __init__(self, session_manager: Any, kernel_manager: Any, log: logging.Logger) -> None:
        self._sessions = session_manager
        self._kernels = kernel_manager
        self._log = log
        self._connections: dict[str, KernelConnection] = {}
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        # What each notebook's callers know: (kernel id, identity), or None after a loss that they were told of.
        self._known: dict[str, tuple[str, Identity] | None] = {}
        # The sessions that were found since the table of them last changed.
        self._table_changes: int | None = None
        self._current: dict[str, dict[str, Any]] = {}
        self._joining = Joining(session_manager, kernel_manager, self.session, log)

    async def session(self, path: str) -> dict[str, Any] | None:
        """The Jupyter session of a notebook, however the browser spells its path."""
        for spelling in (path, f"RTC:{path}"):
            try:
                session: dict[str, Any] = await ensure_async(self._sessions.get_session(path=spelling))
            except (HTTPError, KeyError):
                continue
            if session.get("kernel", {}).get("id") in self._kernels:
                return session
        return None

    async def _current_session(self, path: str) -> dict[str, Any] | None:
        """Like `session`, and from memory as long as nothing in the table of sessions has changed."""
        table = getattr(self._sessions, "connection", None)
        changes = getattr(table, "total_changes", None)
        if changes is None or changes != self._table_changes:
            self._table_changes = changes
            self._current.clear()
        session = self._current.get(path)
        if session is None or session["kernel"]["id"] not in self._kernels:
            session = await self.session(path)
            if session is not None and changes is not None:
                self._current[path] = session
        return session

    async def connect(self, room_id: str, path: str, kernel_name: str | None) -> KernelConnection:
        """A connection to the notebook's kernel, started when the notebook has none.

        Raises KernelFailed once after the kernel was lost, so that nobody goes on with variables that are gone.
        """
        async with self._locks[room_id]:
            session = await self._current_session(path)
            known = self._known.get(room_id)
            if session is None and known is not None:
                session = await self._follow_rename(known[0], path)
            if session is None:
                if known is not None:
                    self._known[room_id] = None
                    raise KernelFailed(
                        "The kernel of this notebook was shut down, so all its variables are gone. "
                        "Nothing was run; call cell_execute again to start a new kernel."
                    )
                async with self._joining.starting(path):
                    session = await self.session(path) or await self._start(path, kernel_name)
            kernel_id = session["kernel"]["id"]
            manager = self._kernels.get_kernel(kernel_id)
            connection = self._connections.get(kernel_id)
            try:
                if connection is not None and connection.usable and not await connection.alive():
                    await connection.wait_until_alive()
                if connection is None or not connection.usable or connection.is_outdated:
                    if connection is not None:
                        connection.stop()
                    connection = KernelConnection(kernel_id, manager, self._log)
                    await connection.start()
                    self._connections[kernel_id] = connection
                    self.drop_stale()
            except KernelDead:
                self.told_of_loss(room_id)
                raise
            found = (kernel_id, identity_of(manager))
            self._known[room_id] = found
            if known is not None and known != found:
                raise KernelFailed(
                    "The kernel of this notebook was restarted since it last ran a cell from here, so all its "
                    "variables are gone. Nothing was run; run the cells you depend on, then this one."
                )
            return connection

    async def _follow_rename(self, kernel_id: str, path: str) -> dict[str, Any] | None:
        """The notebook was renamed and its kernel lives on: let the session have the new name, as JupyterLab does."""
        if kernel_id not in self._kernels:
            return None
        try:
            session = await ensure_async(self._sessions.get_session(kernel_id=kernel_id))
            await ensure_async(self._sessions.update_session(session["id"], path=path, name=path.rsplit("/", 1)[-1]))
        except (HTTPError, KeyError):
            return None
        return await self.session(path)

    def told_of_loss(self, room_id: str) -> None:
        """The callers know that the variables are gone; the next kernel needs no second warning."""
        self._known[room_id] = None

    async def interrupt(self, path: str) -> None:
        session = await self._existing(path)
        await ensure_async(self._kernels.interrupt_kernel(session["kernel"]["id"]))

    async def restart(self, room_id: str, path: str) -> None:
        session = await self._existing(path)
        kernel_id = session["kernel"]["id"]
        connection = self._connections.get(kernel_id)
        if connection is not None:
            connection.fail_all("the kernel was restarted on request")
        self.told_of_loss(room_id)
        try:
            await ensure_async(self._kernels.restart_kernel(kernel_id))
        except Exception as error:
            raise KernelFailed(f"The kernel could not be restarted: {error}.") from error

    async def close(self) -> None:
        self._joining.close()
        for connection in self._connections.values():
            connection.stop()
        self._connections.clear()

    async def _existing(self, path: str) -> dict[str, Any]:
        session = await self.session(path)
        if session is None:
            raise KernelFailed(f"No kernel is running for {path!r}. cell_execute starts one.")
        return session

    async def _start(self, path: str, kernel_name: str | None) -> dict[str, Any]:
        specs = self._kernels.kernel_spec_manager
        available = await ensure_async(specs.get_all_specs())
        if kernel_name is not None and kernel_name not in available:
            raise KernelFailed(
                f"The notebook asks for the kernel {kernel_name!r}, which is not installed. "
                f"Installed are: {', '.join(sorted(available)) or 'none'}."
            )
        try:
            session: dict[str, Any] = await ensure_async(
                self._sessions.create_session(
                    path=path, name=path.rsplit("/", 1)[-1], type="notebook", kernel_name=kernel_name
                )
            )
        except Exception as error:
            self._log.exception("jupyter_mcp: no kernel for %s", path)
            raise KernelFailed(f"The kernel could not be started: {error}.") from error
        return session

    def drop_stale(self) -> None:
        """Let go of kernels that have been shut down."""
        for kernel_id in [kernel_id for kernel_id in self._connections if kernel_id not in self._kernels]:
            self._connections.pop(kernel_id).stop()
