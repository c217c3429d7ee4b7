"""A browser, as far as the server can tell: a collaborator on the room's websocket, with the shared document."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from urllib.parse import quote

import httpx
from jupyter_ydoc import YNotebook
from live import LiveServer
from pycrdt import (
    Awareness,
    Doc,
    YMessageType,
    create_awareness_message,
    create_sync_message,
    create_update_message,
    handle_sync_message,
    read_message,
)
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError


class Browser:
    """`async with Browser(live, "a.ipynb", "Ann") as tab:` — `tab.notebook` is its live copy."""

    def __init__(self, live: LiveServer, path: str, name: str = "Ann") -> None:
        self.live = live
        self.path = path
        self.name = name
        self.notebook = YNotebook(Doc())
        self.awareness = Awareness(self.notebook.ydoc)
        self.synced = asyncio.Event()
        self._socket: ClientConnection | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._remote = False

    async def __aenter__(self) -> Browser:
        self._subscription = self.notebook.ydoc.observe(self._updated)
        await self.connect()
        return self

    async def connect(self) -> None:
        """Connect, or connect again: what the tab has is joined with what the server has."""
        async with httpx.AsyncClient() as http:
            answer = await http.put(
                f"{self.live.url}api/collaboration/session/{quote(self.path)}",
                headers=self.live.headers,
                json={"format": "json", "type": "notebook"},
            )
        session = answer.raise_for_status().json()
        room = f"json:notebook:{session['fileId']}"
        url = f"ws{self.live.url[4:]}api/collaboration/room/{room}?sessionId={session['sessionId']}"
        self.synced.clear()
        self._socket = await connect(url, additional_headers=self.live.headers, max_size=None)
        self._spawn(self._listen())
        await self._socket.send(create_sync_message(self.notebook.ydoc))
        self.awareness.set_local_state({"user": {"username": self.name.lower(), "name": self.name}})
        await self._say_hello()
        await asyncio.wait_for(self.synced.wait(), 20)

    async def vanish(self) -> None:
        """The window is closed, or the network is gone: no goodbye."""
        assert self._socket is not None
        await self._socket.close()

    async def __aexit__(self, *_: object) -> None:
        assert self._socket is not None
        await self._socket.close()
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _say_hello(self) -> None:
        assert self._socket is not None
        state = self.awareness.encode_awareness_update([self.awareness.client_id])
        await self._socket.send(create_awareness_message(state))

    async def tell_all(self) -> None:
        """Pass on every state that the tab knows, as browsers do."""
        assert self._socket is not None
        state = self.awareness.encode_awareness_update(list(self.awareness.states))
        await self._socket.send(create_awareness_message(state))

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _updated(self, event: Any) -> None:
        if not self._remote:
            assert self._socket is not None
            self._spawn(self._socket.send(create_update_message(event.update)))

    async def _listen(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(ConnectionClosedError):
            await self._take(self._socket)

    async def _take(self, socket: ClientConnection) -> None:
        async for message in socket:
            assert isinstance(message, bytes)
            if message[0] == YMessageType.SYNC:
                self._remote = True
                try:
                    reply = handle_sync_message(message[1:], self.notebook.ydoc)
                finally:
                    self._remote = False
                if reply is not None:
                    await socket.send(reply)
                if message[1] == 1:
                    self.synced.set()
            elif message[0] == YMessageType.AWARENESS:
                self.awareness.apply_awareness_update(read_message(message[1:]), "server")

    # -- what a person does and sees --------------------------------------------------------------------------------

    @property
    def sources(self) -> list[str]:
        return [cell["source"] for cell in self.notebook.get()["cells"]]

    @property
    def names(self) -> set[str]:
        """Who the tab shows as collaborators."""
        states = self.awareness.states.values()
        return {state["user"]["name"] for state in states if state and "user" in state}

    def type(self, position: int, text: str) -> None:
        """Type at the end of a cell."""
        source = self.notebook.ycells[position]["source"]
        source += text

    async def until(self, condition: Any, seconds: float = 10) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        while not condition():
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"not within {seconds} s; sources {self.sources}, names {self.names}")
            await asyncio.sleep(0.005)
