"""A real server process: both revisions of the protocol, access over HTTP, and files after a kill."""

from __future__ import annotations

import concurrent.futures
import json
import subprocess
import sys
from collections.abc import Callable

import httpx
import pytest
from conftest import write_notebook
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from live import MODERN, REVISION, LiveServer, ToolFailed

from jupyter_mcp.tools import TOOLS

SPECIFIED = (
    "notebook_list",
    "notebook_create",
    "notebook_get",
    "notebook_watch",
    "notebook_list_users",
    "cell_get",
    "cell_update",
    "cell_insert",
    "cell_delete",
    "cell_execute",
    "room_list",
    "kernel_interrupt",
    "kernel_restart",
    "execution_get",
    "cell_move",
)


def test_ping_and_list_without_initialize(live: LiveServer) -> None:
    assert live.request("ping") == {}
    names = [tool["name"] for tool in live.request("tools/list")["tools"]]
    assert sorted(names) == sorted(SPECIFIED)
    assert names == list(TOOLS)
    assert not {"room_open", "room_close", "room_close_all", "room_pick"} & set(names)


@pytest.mark.parametrize("revision", [REVISION, MODERN])
def test_both_revisions(live: LiveServer, revision: str) -> None:
    write_notebook(live.workspace / "rev" / f"{revision}.ipynb", "one")
    tools = live.request("tools/list", revision=revision)["tools"]
    assert [tool["name"] for tool in tools] == list(TOOLS)
    path = f"rev/{revision}.ipynb"
    found = live.request("tools/call", {"name": "notebook_list", "arguments": {}}, revision)
    assert {"path": path, "name": f"{revision}.ipynb"} in found["structuredContent"]["result"]
    assert json.loads(found["content"][0]["text"]) == found["structuredContent"]["result"]
    arguments = {"path": path, "index": 0, "source": "two"}
    edited = live.request("tools/call", {"name": "cell_update", "arguments": arguments}, revision)
    assert edited["content"][0]["text"] == "Cell 0 updated"
    assert live.sources(path) == ["two"]


def test_initialize_and_discover(live: LiveServer) -> None:
    answer = live.request(
        "initialize",
        {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    )
    assert answer["protocolVersion"] == REVISION
    assert answer["serverInfo"]["name"] == "jupyter_mcp"
    assert answer["instructions"]
    discovered = live.request("server/discover", revision=MODERN)
    assert MODERN in discovered["supportedVersions"]
    # Neither announces what is not served, and what is not announced is not there.
    assert answer["capabilities"] == discovered["capabilities"] == {"tools": {"listChanged": False}}
    for method in ("prompts/list", "resources/list", "resources/templates/list"):
        for revision in (REVISION, MODERN):
            assert live.refusal(method, revision=revision)["code"] == -32601


@pytest.mark.parametrize("revision", [REVISION, MODERN])
def test_an_unknown_tool_is_an_error_of_the_protocol(live: LiveServer, revision: str) -> None:
    error = live.refusal("tools/call", {"name": "room_open", "arguments": {"path": "a.ipynb"}}, revision)
    assert error["code"] == -32602
    assert "Unknown tool: 'room_open'" in error["message"] and "notebook_list" in error["message"]


async def test_a_real_client(live: LiveServer) -> None:
    transport = StreamableHttpTransport(live.mcp_url, headers=live.headers)
    progress: list[float] = []

    async def heard(done: float, total: float | None, message: str | None) -> None:
        progress.append(done)

    async with Client(transport) as client:
        assert [tool.name for tool in await client.list_tools()] == list(TOOLS)
        await client.call_tool("notebook_create", {"path": "client.ipynb"})
        source = "import time\nfor i in range(5):\n    print(i, flush=True)\n    time.sleep(0.5)"
        await client.call_tool("cell_insert", {"path": "client.ipynb", "index": 0, "source": source})
        ran = await client.call_tool("cell_execute", {"path": "client.ipynb", "index": 0}, progress_handler=heard)
        assert "".join(part["content"]["text"] for part in ran.data) == "0\n1\n2\n3\n4\n"
        assert len(progress) >= 2
    assert live.on_disk("client.ipynb")["cells"][0]["execution_count"] == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Authorization": "Bearer wrong"}, 403),
        ({"Authorization": "Bearer"}, 403),
        ({"Authorization": ""}, 403),
        ({"Authorization": "Basic RIGHT"}, 403),
        ({"Authorization": "Bearer RIGHT", "Origin": "https://evil.example"}, 403),
        ({"Authorization": "Bearer RIGHT", "Host": "evil.example"}, 403),
        ({"Authorization": "Bearer RIGHT", "Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ({"Authorization": "Bearer RIGHT", "Origin": "http://localhost:1"}, 403),
        ({"Authorization": "Bearer RIGHT"}, 200),
        ({"Authorization": "Bearer RIGHT", "Host": "localhost"}, 200),
    ],
)
def test_access(live: LiveServer, headers: dict[str, str], status: int) -> None:
    sent, body = live.message("tools/list")
    del sent["Authorization"]
    sent |= {name: value.replace("RIGHT", live.token) for name, value in headers.items()}
    answer = httpx.post(live.mcp_url, headers=sent, json=body)
    assert answer.status_code == status
    assert ("tools" in answer.text) is (status == 200)
    if "Authorization" not in headers:
        refused = httpx.post(f"{live.mcp_url}?token={live.token}", headers=sent, json=body)
        assert refused.status_code == 403


def test_the_token_is_in_no_log(live: LiveServer) -> None:
    live.call("notebook_list")
    assert live.token not in live.log()


def test_another_base_url_from_start_to_stop(make_live: Callable[..., LiveServer]) -> None:
    server = make_live(base_url="/people/ann/")
    # The first call may come before the tools are loaded; it waits for them.
    assert server.call("notebook_list") == []
    assert server.request("ping") == {}
    assert httpx.post(f"http://127.0.0.1:{server.port}/mcp", headers=server.headers).status_code == 404
    server.call("notebook_create", path="a.ipynb")
    server.call("cell_insert", path="a.ipynb", index=0, source="kept")
    server.stop()
    assert server.sources("a.ipynb") == ["kept"]


def test_a_body_in_chunks_is_limited_too(live: LiveServer) -> None:
    headers, _ = live.message("ping")
    headers["Content-Type"] = "application/json"

    def endless() -> object:
        for _ in range(100):
            yield b" " * 100_000

    answer = httpx.post(live.mcp_url, headers=headers, content=endless())  # type: ignore[arg-type]
    assert answer.status_code == 413
    assert live.request("ping") == {}


def test_twenty_clients_open_at_once(live: LiveServer) -> None:
    write_notebook(live.workspace / "cold.ipynb", *(f"cell {number}" for number in range(20)))

    def edit(number: int) -> str:
        headers, body = live.message(
            "tools/call",
            {"name": "cell_update", "arguments": {"path": "cold.ipynb", "index": number, "source": f"edit {number}"}},
        )
        result = httpx.post(live.mcp_url, headers=headers, json=body, timeout=60).json()["result"]
        return str(result["content"][0]["text"])

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(edit, range(20)))
    assert answers == [f"Cell {number} updated" for number in range(20)]
    assert live.sources("cold.ipynb") == [f"edit {number}" for number in range(20)]
    assert [room["path"] for room in live.call("room_list")].count("cold.ipynb") == 1


def test_jupyterlab_starts_no_slower(make_live: Callable[..., LiveServer]) -> None:
    """What takes long to import is imported after the server answers."""
    probe = (
        "import sys, time; started = time.perf_counter(); import jupyter_mcp.extension, jupyter_mcp.handlers; "
        "print(time.perf_counter() - started, 'fastmcp' in sys.modules, 'mcp' in sys.modules)"
    )
    base = "import jupyter_server.serverapp, jupyter_server_ydoc.app; "
    answer = subprocess.run([sys.executable, "-c", base + probe], capture_output=True, text=True, check=True)
    seconds, fastmcp, mcp = answer.stdout.split()
    assert (fastmcp, mcp) == ("False", "False")
    assert float(seconds) < 0.25


def test_errors_say_what_to_do(live: LiveServer) -> None:
    for tool, arguments, hint in (
        ("cell_get", {"path": "none.ipynb", "index": 0}, "notebook_list"),
        ("cell_get", {"path": "../x.ipynb", "index": 0}, "relative to the workspace"),
        ("execution_get", {"execution_id": "x"}, "cell_get"),
        ("kernel_interrupt", {"path": "cold2.ipynb"}, "notebook_create"),
    ):
        with pytest.raises(ToolFailed, match=hint):
            live.call(tool, **arguments)
