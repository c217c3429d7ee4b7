"""Configurations of MCP clients for the servers of a site: pure data, and never a token in it.

Their formats, as of November 2026:

- Claude Code, <https://code.claude.com/docs/en/mcp>: `.mcp.json`, type `http`; ``${NAME}`` is expanded in headers, and
  left as it stands where there is no such variable.
- Cursor, <https://cursor.com/docs/mcp>: `mcp.json`, a `url`; ``${env:NAME}`` is expanded in headers.
- VS Code, <https://code.visualstudio.com/docs/copilot/reference/mcp-configuration>: `servers` of type `http`, `inputs`.
- Open WebUI, <https://docs.openwebui.com/features/mcp>, and `ToolServerConnection` in its `routers/configs.py`: the
  whole URL is in `url`; `path` and `key` have to be there, and `config` must be no null.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from deploy.settings import Settings


def reachable_address(bind: str) -> str:
    """Where a server that listens on `bind` is reached from its own host: a wildcard is no address to connect to."""
    address = ipaddress.ip_address(bind)
    if not address.is_unspecified:
        return bind
    return "127.0.0.1" if address.version == 4 else "::1"


def url_of(settings: Settings, address: str | None = None) -> str:
    """Where the server is reached, with its base URL: from its own host, or at another `address` that leads there."""
    found = address or reachable_address(settings.bind)
    return f"{settings.scheme}://{f'[{found}]' if ':' in found else found}:{settings.port}{settings.base_url}"


class Client(StrEnum):
    """Programs whose configuration we know, and the environment variable for agents on a host."""

    CLAUDE_CODE = "claude-code"
    CURSOR = "cursor"
    VSCODE = "vscode"
    OPEN_WEBUI = "open-webui"
    OV_MCP_SERVERS = "ov-mcp-servers"


#: Where each one's text belongs.
PLACES = {
    Client.CLAUDE_CODE: ".mcp.json of a project, or `claude mcp add-json`; tokens come from the environment",
    Client.CURSOR: "~/.cursor/mcp.json, or .cursor/mcp.json of a project; tokens come from the environment",
    Client.VSCODE: ".vscode/mcp.json of a workspace; VS Code asks for each token once and keeps it",
    Client.OPEN_WEBUI: "the environment variable TOOL_SERVER_CONNECTIONS of Open WebUI 0.6.31 or newer, with each "
    "key filled in; it reads it at its first start alone, afterwards it is under Admin Settings, External Tools. "
    "Until others are given access there, admins alone have its tools",
    Client.OV_MCP_SERVERS: "the environment variable OV_MCP_SERVERS of an agent",
}


@dataclass(frozen=True)
class Server:
    """One MCP server as a client reaches it; `variable` names what holds its token, or is None where there is none."""

    name: str
    url: str
    variable: str | None


def server_names(hosts: Sequence[str]) -> list[str]:
    """A name per host that every client takes; a single host is simply ``jupyfleet``."""
    if len(hosts) == 1:
        return ["jupyfleet"]
    return [f"jupyfleet-{re.sub('[^a-z0-9]+', '-', host.lower()).strip('-')}" for host in hosts]


def variable_of(name: str) -> str:
    """The environment variable of a server's token."""
    return f"{name.upper().replace('-', '_')}_TOKEN"


def configuration(client: Client, servers: Sequence[Server]) -> str:
    """The text to paste for a client."""
    return json.dumps(_DOCUMENTS[client](servers), indent=None if client is Client.OV_MCP_SERVERS else 2)


def ov_mcp_servers(servers: Sequence[Server]) -> list[dict[str, Any]]:
    """The array that agents read from OV_MCP_SERVERS."""
    return [{"name": server.name, "url": server.url, "transport": "streamable-http"} for server in servers]


def _claude_code(servers: Sequence[Server]) -> dict[str, Any]:
    return {"mcpServers": {s.name: {"type": "http", "url": s.url} | _headers(s, "${%s}") for s in servers}}


def _cursor(servers: Sequence[Server]) -> dict[str, Any]:
    return {"mcpServers": {s.name: {"url": s.url} | _headers(s, "${env:%s}") for s in servers}}


def _vscode(servers: Sequence[Server]) -> dict[str, Any]:
    asked = [server for server in servers if server.variable]
    inputs = [
        {"type": "promptString", "id": f"{s.name}-token", "description": f"Token of {s.url}", "password": True}
        for s in asked
    ]
    entries = {s.name: {"type": "http", "url": s.url} | _headers(s, f"${{input:{s.name}-token}}") for s in servers}
    return {"inputs": inputs, "servers": entries}


def _open_webui(servers: Sequence[Server]) -> list[dict[str, Any]]:
    return [
        {
            "type": "mcp",
            "url": s.url,
            "path": "",
            "auth_type": "bearer" if s.variable else "none",
            "key": f"${{{s.variable}}}" if s.variable else "",
            "config": {"enable": True},
            "info": {"id": s.name, "name": s.name, "description": "Notebooks on this JupyterLab, live"},
        }
        for s in servers
    ]


def _headers(server: Server, reference: str) -> dict[str, Any]:
    if not server.variable:
        return {}
    token = reference % server.variable if "%s" in reference else reference
    return {"headers": {"Authorization": f"Bearer {token}"}}


_DOCUMENTS = {
    Client.CLAUDE_CODE: _claude_code,
    Client.CURSOR: _cursor,
    Client.VSCODE: _vscode,
    Client.OPEN_WEBUI: _open_webui,
    Client.OV_MCP_SERVERS: ov_mcp_servers,
}
