"""A browser tab, as far as a server can tell: a collaborator on a notebook's websocket that notes when edits arrive."""

from __future__ import annotations

import asyncio
import contextlib
import time
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
from jupyter_ydoc import YNotebook
from pycrdt import Awareness, Doc, YMessageType, create_awareness_message, create_sync_message, handle_sync_message
from websockets.asyncio.client import ClientConnection, connect

from .servers import JupyterServer

__all__ = ["Tab"]

_SECONDS = 60.0


class Tab:
    """`async with Tab(server, path) as tab`: `tab.notebook` is its live copy."""

    def __init__(self, server: JupyterServer, path: str) -> None:
        self._server = server
        self._path = path
        self.notebook = YNotebook(Doc())
        self._synced = asyncio.Event()
        self._wanted: tuple[int, str, asyncio.Future[float]] | None = None
        self._socket: ClientConnection | None = None
        self._listener: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        async with httpx.AsyncClient() as http:
            answer = await http.put(
                f"{self._server.url}api/collaboration/session/{quote(self._path)}",
                headers=self._server.headers,
                json={"format": "json", "type": "notebook"},
            )
        session = answer.raise_for_status().json()
        room = f"json:notebook:{session['fileId']}"
        address = f"ws{self._server.url[4:]}api/collaboration/room/{room}?sessionId={session['sessionId']}"
        self._socket = await connect(address, additional_headers=self._server.headers, max_size=None, compression=None)
        self._listener = asyncio.create_task(self._listen(self._socket))
        await self._socket.send(create_sync_message(self.notebook.ydoc))
        awareness = Awareness(self.notebook.ydoc)
        awareness.set_local_state({"user": {"username": "tab", "name": "Tab"}, "autosave": True})
        state = awareness.encode_awareness_update([awareness.client_id])
        await self._socket.send(create_awareness_message(state))
        await asyncio.wait_for(self._synced.wait(), _SECONDS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._socket is not None
        assert self._listener is not None
        await self._socket.close()
        self._listener.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._listener

    async def _listen(self, socket: ClientConnection) -> None:
        async for message in socket:
            assert isinstance(message, bytes)
            if message[0] != YMessageType.SYNC:
                continue
            reply = handle_sync_message(message[1:], self.notebook.ydoc)
            if reply is not None:
                await socket.send(reply)
            if message[1] == 1:
                self._synced.set()
            self._look()

    def _look(self) -> None:
        if self._wanted is None:
            return
        index, source, arrived = self._wanted
        if str(self.source(index)) == source and not arrived.done():
            arrived.set_result(time.perf_counter())

    def source(self, index: int) -> Any:
        return self.notebook.ycells[index]["source"]

    def expect(self, index: int, source: str) -> asyncio.Future[float]:
        """When (by `time.perf_counter`) the cell has this source."""
        arrived: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._wanted = (index, source, arrived)
        return arrived
