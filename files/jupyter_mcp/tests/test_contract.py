"""The private names of other packages that jupyter_mcp leans on: an upgrade that takes one away fails here."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
from conftest import write_notebook
from fastmcp import FastMCP
from live import MODERN, request_of

from jupyter_mcp import protocol
from jupyter_mcp.service import Service
from jupyter_mcp.tools import TOOLS, build_server
from jupyter_mcp.upstream import PRIVATE_NAMES, Collaboration


async def test_private_names_exist(jp_serverapp: Any, jp_root_dir: Path) -> None:
    write_notebook(jp_root_dir / "a.ipynb", "1")
    collaboration = Collaboration(jp_serverapp.web_app.settings)
    room, _ = await collaboration.open(collaboration.room_id("a.ipynb"))
    extension = collaboration.extension
    objects = {
        "extension": extension,
        "server": extension.ywebsocket_server,
        "room": room,
        "loader": room._file,
    }
    missing = [f"{owner}.{name}" for owner, name in PRIVATE_NAMES if not hasattr(objects[owner], name)]
    assert missing == []
    # And they mean what we take them for.
    assert extension.ywebsocket_server.rooms[collaboration.room_id("a.ipynb")] is room
    assert collaboration.document(room).ydoc is room.ydoc
    assert not collaboration.is_dead(room)
    assert collaboration.file_lock(room) is room._file._lock
    assert room._file.last_modified is not None
    await room.stop()
    assert collaboration.is_dead(room)


async def test_a_room_passes_on_to_its_store_what_was_seen(jp_serverapp: Any, jp_root_dir: Path) -> None:
    """Every change once and to the letter: else the history would hold it twice."""
    write_notebook(jp_root_dir / "a.ipynb", "1")
    service = Service.of_server(jp_serverapp, jp_serverapp.log)
    notebook = await service.notebook("a.ipynb")
    history = service.collaboration._histories[notebook.room]
    for number in range(5):
        await service.cell_insert("a.ipynb", -1, f"cell {number}", "code")
        await service.cell_update("a.ipynb", 0, f"edit {number}", None, None, None)
    async with asyncio.timeout(10):
        while history._expected:
            await asyncio.sleep(0.01)
    await service.close()


async def test_the_room_still_saves_by_itself(jp_serverapp: Any, jp_root_dir: Path) -> None:
    """What people type is saved by the room's own observer; nothing of ours may take that away."""
    from jupyter_mcp.mirror import Mirror

    path = write_notebook(jp_root_dir / "a.ipynb", "1")
    collaboration = Collaboration(jp_serverapp.web_app.settings)
    room, _ = await collaboration.open(collaboration.room_id("a.ipynb"))
    mirror = Mirror(collaboration.document(room))
    mirror.on_change(lambda: None)()
    text = collaboration.document(room).ycells[0]["source"]
    text += " # typed"
    for _ in range(60):
        if "typed" in path.read_text():
            break
        await asyncio.sleep(0.1)
    assert "1 # typed" in path.read_text()
    mirror.close()


def test_private_names_of_fastmcp_exist() -> None:
    inner = FastMCP("plain")._mcp_server
    assert [name for name in protocol.PRIVATE_NAMES if not hasattr(inner, name)] == []
    assert set(protocol.SERVED) <= set(inner._request_handlers)


async def test_a_call_lists_no_tools() -> None:
    """The headers of a call are checked against the tool's schema; FastMCP would list all tools for that."""
    server = build_server(None)  # type: ignore[arg-type]
    listed = 0
    plain = server.list_tools

    async def counting(*args: Any, **kwargs: Any) -> Any:
        nonlocal listed
        listed += 1
        return await plain(*args, **kwargs)

    server.list_tools = counting  # type: ignore[method-assign]
    app = server.http_app(path="/mcp", stateless_http=True, json_response=True)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:

        async def ask(method: str, params: dict[str, Any]) -> Any:
            headers, body = request_of(method, params, MODERN)
            return (await http.post("http://localhost/mcp", headers=headers, json=body)).json()["result"]

        assert [tool["name"] for tool in (await ask("tools/list", {}))["tools"]] == list(TOOLS)
        before = listed
        assert before > 0
        answer = await ask("tools/call", {"name": "cell_get", "arguments": {"path": "a.ipynb", "index": 0}})
        assert "carries no user" in answer["content"][0]["text"]
        assert listed == before
