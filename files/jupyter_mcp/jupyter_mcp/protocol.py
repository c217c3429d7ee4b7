"""What FastMCP says of this server, made exactly what it serves: tools, and nothing else.

FastMCP announces prompts, resources, logging, an extension for user interfaces, and news of changed lists, whatever is
registered. It also answers an unknown tool as if a tool had failed, and lists all tools for every call. The names that
are needed against that are private to it, and used here only; `PRIVATE_NAMES` lists them for the contract test.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastmcp import FastMCP
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools import ToolResult
from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS, CallToolRequestParams, ServerCapabilities, ToolsCapability

__all__ = ["PRIVATE_NAMES", "SERVED", "serve_only_tools"]

# What the low-level server of FastMCP must have. See tests/test_contract.py.
PRIVATE_NAMES = ("_request_handlers", "get_capabilities", "get_tool_input_schema")

SERVED = ("ping", "server/discover", "tools/list", "tools/call")


class _KnownTools(Middleware):
    """The protocol has an error of its own for a tool that does not exist."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    async def on_call_tool(
        self,
        context: MiddlewareContext[CallToolRequestParams],
        call_next: CallNext[CallToolRequestParams, ToolResult],
    ) -> ToolResult:
        name = context.message.name
        if name not in self._names:
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {name[:200]!r}. There are: {', '.join(self._names)}.")
        return await call_next(context)


def serve_only_tools(server: FastMCP[Any], schemas: Mapping[str, Mapping[str, Any]]) -> None:
    """Call it when all tools are registered. `schemas`: the input schema of every tool, by its name.

    The tools never change while the server runs, so no client is promised to be told.
    """
    server.add_middleware(_KnownTools(tuple(schemas)))
    inner: Any = server._mcp_server
    for method in [method for method in inner._request_handlers if method not in SERVED]:
        del inner._request_handlers[method]
    capabilities = ServerCapabilities(tools=ToolsCapability(list_changed=False))
    inner.get_capabilities = lambda *_, **__: capabilities
    # Without it, the headers of each call are checked against a complete tools/list, made for that call.
    inner.get_tool_input_schema = schemas.get
