"""The private names of other packages that jupyter_mcp leans on: an upgrade that takes one away fails here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conftest import write_notebook

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


async def test_the_room_still_saves_by_itself(jp_serverapp: Any, jp_root_dir: Path) -> None:
    """What people type is saved by the room's own observer; nothing of ours may take that away."""
    import asyncio

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
