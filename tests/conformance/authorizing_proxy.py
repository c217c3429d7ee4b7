"""Lets a client that cannot send a token talk to a server that wants one, on loopback, for as long as a test runs.

Every request gets the Authorization header and is otherwise passed on byte for byte, Host and Origin included: what
the server makes of a foreign name is part of what is tested. (It does not compare the port of a Host, and compares an
Origin with the Host, so that the proxy's own address is as good as the server's.) Answers are passed on as they come,
and a side that hangs up is hung up on the other side too. One request per connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

#: More than the suite sends as the head of a request.
_HEAD_LIMIT = 64 * 1024
_SET_HERE = (b"authorization", b"connection")


def authorized(head: bytes, token: str) -> bytes:
    """The head of an HTTP request with the token, and with the wish that the connection ends with the answer."""
    request, *headers = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    kept = [header for header in headers if header.split(b":")[0].strip().lower() not in _SET_HERE]
    added = [f"Authorization: Bearer {token}".encode(), b"Connection: close"]
    return b"\r\n".join([request, *kept, *added, b"", b""])


@contextlib.contextmanager
def authorizing_proxy(port: int, token: str) -> Iterator[int]:
    """The port of a proxy in front of 127.0.0.1:`port`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="authorizing-proxy", daemon=True)
    thread.start()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(_Proxy(port, token).serve, "127.0.0.1", 0, limit=_HEAD_LIMIT)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        asyncio.run_coroutine_threadsafe(_close(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _Proxy:
    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._token = token

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(to_client):
            head = await client.readuntil(b"\r\n\r\n")
            server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
            with contextlib.closing(to_server):
                to_server.write(authorized(head, self._token))
                directions = [
                    asyncio.create_task(_pass_on(client, to_server)),
                    asyncio.create_task(_pass_on(server, to_client)),
                ]
                try:
                    await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for direction in directions:
                        direction.cancel()
                    await asyncio.gather(*directions, return_exceptions=True)


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await source.read(_HEAD_LIMIT):
            target.write(piece)
            await target.drain()


async def _close(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
