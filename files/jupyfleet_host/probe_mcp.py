"""The checks of the MCP server: it answers, with the documented tools, and one of them works to its end."""

from __future__ import annotations

from typing import Any

from jupyfleet_host.probe_common import CheckError, Probe, first_line, parse_json
from jupyfleet_host.probe_mcp_client import REVISION, Mcp, McpError
from jupyfleet_host.probe_service import patiently

_MOST_PAGES = 20


def check_ping(probe: Probe) -> str:
    """Prove that the MCP server is there and speaks the revision that agents use."""
    try:
        with Mcp(probe) as mcp:
            patiently(probe, lambda: mcp.call("ping"))
    except McpError:
        raise
    except CheckError as error:
        raise CheckError(str(error), gone=True) from error
    return f"{probe.url('mcp')} answers, revision {REVISION}"


def check_tools(probe: Probe) -> str:
    """Prove that agents get every documented tool, and none of those that would bypass a notebook's room."""
    with Mcp(probe) as mcp:
        names = _tools(mcp)
    missing = [name for name in probe.tools if name not in names]
    forbidden = [name for name in probe.forbidden_tools if name in names]
    if missing or forbidden:
        parts = [f"missing: {', '.join(missing)}"] if missing else []
        parts += [f"must not be there: {', '.join(forbidden)}"] if forbidden else []
        todo = "run jupyfleet up, which installs the MCP extension that belongs to it"
        raise CheckError(f"tools/list names {len(names)} tools; {'; '.join(parts)}: {todo}")
    return f"{len(names)} tools, all {len(probe.tools)} documented ones among them"


def _tools(mcp: Mcp) -> set[str]:
    """The names of every page of tools/list."""
    names: set[str] = set()
    params: dict[str, Any] = {}
    for _ in range(_MOST_PAGES):
        result = mcp.call("tools/list", params)
        tools = result.get("tools")
        if not isinstance(tools, list):
            raise CheckError("tools/list was answered without a list of tools")
        names |= {str(tool.get("name")) for tool in tools if isinstance(tool, dict)}
        if result.get("nextCursor") is None:
            return names
        params = {"cursor": result["nextCursor"]}
    raise CheckError(f"tools/list does not come to an end: there is one more page after {_MOST_PAGES}")


def check_call(probe: Probe) -> str:
    """Prove that a tool works to its end: notebook_list reads the workspace and answers in the documented shape."""
    with Mcp(probe) as mcp:
        result = mcp.call("tools/call", {"name": "notebook_list", "arguments": {}})
    content = result.get("content")
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    texts = [str(block.get("text")) for block in blocks if block.get("type") == "text"]
    if result.get("isError"):
        said = first_line("\n".join(texts)) or f"it gave no reason, see {probe.log}"
        raise CheckError(f"notebook_list failed: {said}")
    # What a tool returns is structured content, or else the first text; either may have it as "result".
    value = result.get("structuredContent")
    if value is None and texts:
        value = parse_json(texts[0])
    notebooks = value.get("result") if isinstance(value, dict) else value
    if not isinstance(notebooks, list):
        raise CheckError(f"notebook_list did not answer with a list but {type(notebooks).__name__}")
    for number, entry in enumerate(notebooks):
        if not (isinstance(entry, dict) and isinstance(entry.get("path"), str) and isinstance(entry.get("name"), str)):
            raise CheckError(f"notebook_list's entry {number} of {len(notebooks)} is not {{path, name}}")
    return f"notebook_list answers with a list of {len(notebooks)}"
