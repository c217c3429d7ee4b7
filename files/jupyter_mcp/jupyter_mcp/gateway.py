"""The FastMCP applications of one server: built when they are first needed, run until the server stops.

FastMCP takes seconds to import, so that is done in a thread after the server has begun to answer. There are two
applications over the same tools: one answers with a JSON document, which costs least; the other with an event stream,
for calls that want to hear of progress.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .asgi import PATH, ASGIApp

if TYPE_CHECKING:
    from .service import Service

__all__ = ["Gateway"]


class Gateway:
    """`make_service` is called once, in the event loop, when the tools are first needed."""

    def __init__(self, make_service: Callable[[], Service], log: logging.Logger) -> None:
        self._make_service = make_service
        self._log = log
        self._starting: asyncio.Task[None] | None = None
        self._running: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._json: ASGIApp | None = None
        self._stream: ASGIApp | None = None
        self.service: Service | None = None

    async def application(self, body: bytes) -> ASGIApp:
        """The application that fits a request's body."""
        await self.start()
        wants_progress = b'"progressToken"' in body and (b'"cell_execute"' in body or b'"execution_get"' in body)
        app = self._stream if wants_progress or b'"subscriptions/listen"' in body else self._json
        assert app is not None
        return app

    async def start(self) -> None:
        """Build everything, once, whoever asks first."""
        if self._json is not None:
            return
        if self._starting is None or (self._starting.done() and self._json is None):
            self._starting = asyncio.create_task(self._start())
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        tools: Any = await asyncio.to_thread(importlib.import_module, "jupyter_mcp.tools")
        service = self._make_service()
        service.start()
        server = tools.build_server(service)
        # Host and Origin are checked by the handler, which knows what this server is called.
        options = {"path": PATH, "stateless_http": True, "host_origin_protection": False}
        document = server.http_app(json_response=True, **options)
        stream = server.http_app(json_response=False, **options)
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running = asyncio.create_task(self._run([document, stream], ready))
        await ready
        self.service = service
        self._json, self._stream = document, stream
        # What has been imported by now stays. Without this, every full collection walks through all of it, and nobody
        # is answered for a third of a second.
        gc.freeze()
        self._log.info("jupyter_mcp: ready")

    async def _run(self, apps: list[Any], ready: asyncio.Future[None]) -> None:
        """Hold the applications' lifespans open. Entered and left in one task, as their task groups demand."""
        try:
            async with apps[0].router.lifespan_context(apps[0]), apps[1].router.lifespan_context(apps[1]):
                ready.set_result(None)
                await self._stop.wait()
        except Exception as error:
            if not ready.done():
                ready.set_exception(error)
            else:
                self._log.exception("jupyter_mcp: the server of tools ended")

    async def stop(self) -> None:
        """Save what is unsaved, then end."""
        if self.service is not None:
            await self.service.close()
        self._stop.set()
        if self._running is not None:
            await asyncio.wait([self._running], timeout=3)
