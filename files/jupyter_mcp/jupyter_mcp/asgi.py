"""A bridge from a tornado request to an ASGI application that runs in the same event loop.

Only what FastMCP needs: one HTTP request with its body at hand, a response in pieces. Credentials stay behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

__all__ = ["ASGIApp", "serve"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
ASGIApp = Callable[[Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

PATH = "/mcp"
_KEPT_BACK = {"authorization", "cookie"}
# tornado frames the response itself.
_HOP_HEADERS = {"content-length", "transfer-encoding", "connection", "date", "server"}


def _scope(handler: RequestHandler) -> Scope:
    request = handler.request
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in request.headers.get_all()
        if name.lower() not in _KEPT_BACK
    ]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.protocol,
        "path": PATH,
        "raw_path": PATH.encode(),
        "root_path": "",
        # Nothing of MCP is in a query, and a token may be.
        "query_string": b"",
        "headers": headers,
        "client": (request.remote_ip, 0),
        "server": ("localhost", None),
        "state": {},
    }


async def serve(handler: RequestHandler, app: ASGIApp, body: bytes) -> None:
    """Run `app` for the handler's request and write its response through the handler."""
    sent = False
    gone = asyncio.Event()

    async def receive() -> Message:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        # The handler cancels the call when the client leaves; until then nothing else arrives.
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            handler.set_status(message["status"])
            handler.clear_header("Content-Type")
            for raw_name, raw_value in message.get("headers", ()):
                name = raw_name.decode("latin-1")
                if name.lower() not in _HOP_HEADERS:
                    handler.set_header(name, raw_value.decode("latin-1"))
            if handler._headers.get("Content-Type", "").startswith("text/event-stream"):
                # A proxy that collects the answer would hold back progress.
                handler.set_header("X-Accel-Buffering", "no")
        elif message["type"] == "http.response.body":
            if message.get("body"):
                handler.write(message["body"])
            if message.get("more_body"):
                try:
                    await handler.flush()
                except StreamClosedError:
                    gone.set()

    await app(_scope(handler), receive, send)
    gone.set()
    if not handler._finished:
        await handler.finish()
