"""The Jupyter Server extension: its settings, its endpoint, its start and its end."""

from __future__ import annotations

import asyncio
import functools
import os
from pathlib import Path
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.services.contents.filemanager import FileContentsManager
from traitlets import Bool, Float, Int, List, Unicode, default

from .access import HostPolicy, machine_names
from .contents import NOTEBOOK_CONTENTS, SharedContentsHandler
from .gateway import Gateway
from .handlers import MCPHandler
from .links import one_id_per_file

__all__ = ["JupyterMCP"]

ROOM_IDLE_TIMEOUT_ENV = "MCP_ROOM_IDLE_TIMEOUT_SEC"
ALLOWED_HOSTS_ENV = "MCP_ALLOWED_HOSTS"
ALLOWED_ORIGINS_ENV = "MCP_ALLOWED_ORIGINS"
_WARM_UP_SECONDS = 1.0


def _listed(variable: str) -> list[str]:
    return [part.strip() for part in os.environ.get(variable, "").split(",") if part.strip()]


class JupyterMCP(ExtensionApp):
    """MCP at `<base_url>mcp`, for agents that share this server's notebooks."""

    name = "jupyter_mcp"
    load_other_extensions = True

    room_idle_timeout = Float(
        config=True,
        help=f"""Seconds after which a notebook that no browser and no agent uses is saved and closed.
        0 keeps notebooks open for ever. Default: the environment variable {ROOM_IDLE_TIMEOUT_ENV}, or 600.""",
    )
    allow_without_auth = Bool(
        False,
        config=True,
        help="""Serve MCP although the server has neither token nor password. Only takes effect on a server that
        listens on a loopback address; Host and Origin are checked all the same.""",
    )
    allowed_hosts = List(
        Unicode(),
        config=True,
        help=f"""Host names, without port, by which clients may address this server, beside its own names and
        addresses; '*.example.org' is a pattern. Default: {ALLOWED_HOSTS_ENV}, separated by commas.""",
    )
    allowed_origins = List(
        Unicode(),
        config=True,
        help=f"""Origins ('https://host:port') of web pages, other than this server's own, that may call MCP.
        Default: {ALLOWED_ORIGINS_ENV}, separated by commas.""",
    )
    agent_name = Unicode(
        "AI agent",
        config=True,
        help="The name under which people see an agent in a notebook, when it does not give its own.",
    )
    body_limit = Int(4 * 1024 * 1024, config=True, help="The largest request that is accepted, in bytes.")

    @default("room_idle_timeout")
    def _room_idle_timeout(self) -> float:
        text = os.environ.get(ROOM_IDLE_TIMEOUT_ENV, "600")
        try:
            return max(float(text), 0.0)
        except ValueError:
            self.log.warning("%s is %r, which is no number; using 600", ROOM_IDLE_TIMEOUT_ENV, text)
            return 600.0

    @default("allowed_hosts")
    def _allowed_hosts(self) -> list[str]:
        return _listed(ALLOWED_HOSTS_ENV)

    @default("allowed_origins")
    def _allowed_origins(self) -> list[str]:
        return _listed(ALLOWED_ORIGINS_ENV)

    def initialize_settings(self) -> None:
        # The import of the service waits too: nothing of it is needed before the first call.
        def make_service() -> Any:
            from .service import Service

            return Service.of_server(self.serverapp, self.log, idle_timeout=self.room_idle_timeout)

        self.gateway = Gateway(make_service, self.log)
        self.settings["jupyter_mcp_gateway"] = self.gateway

    def initialize_handlers(self) -> None:
        options = {
            "gateway": self.gateway,
            "policy": HostPolicy.of(self.allowed_hosts, self.allowed_origins, machine_names()),
            "body_limit": self.body_limit,
            "allow_without_auth": self.allow_without_auth,
            "agent_name": self.agent_name,
        }
        self.handlers.append((r"/mcp/?", MCPHandler, options))
        # An extension's handlers come before the server's own.
        self.handlers.append((NOTEBOOK_CONTENTS, SharedContentsHandler))

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        await self._prepare_for_tabs(serverapp)
        self._warm_up = asyncio.create_task(self._warm())

    async def _prepare_for_tabs(self, serverapp: Any) -> None:
        """Before the first tab connects. jupyter-collaboration has imported what this needs."""
        settings, contents = serverapp.web_app.settings, serverapp.contents_manager
        if "jupyter_server_ydoc" in settings:
            from .history import prepare_stores
            from .tabs import drop_who_leaves

            collaboration = settings["jupyter_server_ydoc"]
            drop_who_leaves(collaboration.ywebsocket_server)
            make_store = functools.partial(collaboration.ystore_class, config=collaboration.config)
            await prepare_stores(make_store, self.log)
        if "file_id_manager" in settings and isinstance(contents, FileContentsManager):
            one_id_per_file(settings["file_id_manager"], Path(contents.root_dir))

    async def _warm(self) -> None:
        # JupyterLab's first page comes first.
        await asyncio.sleep(_WARM_UP_SECONDS)
        try:
            await self.gateway.start()
        except Exception:
            self.log.exception("jupyter_mcp: MCP could not be started")

    async def stop_extension(self) -> None:
        await self.gateway.stop()
