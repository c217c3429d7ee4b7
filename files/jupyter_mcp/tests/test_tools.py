"""The tools through FastMCP's in-memory client, on a Jupyter Server in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jsonschema
import nbformat
import pytest
from conftest import write_notebook
from fastmcp import Client
from fastmcp.exceptions import ToolError

from jupyter_mcp.caller import Caller, current_caller
from jupyter_mcp.service import Service
from jupyter_mcp.tools import TOOLS, build_server


async def _allow(action: str, resource: str) -> bool:
    return True


class Tools:
    """A client whose calls carry a user. `service` and `root` are there to look behind the tools."""

    def __init__(self, client: Client[Any], service: Service, root: Path) -> None:
        self.client = client
        self.service = service
        self.root = root

    async def __call__(self, tool: str, **arguments: Any) -> Any:
        return (await self.client.call_tool(tool, arguments)).data

    async def raw(self, tool: str, **arguments: Any) -> Any:
        return await self.client.call_tool(tool, arguments, raise_on_error=False)

    def sources(self, path: str) -> list[str]:
        found = json.loads((self.root / path).read_text())
        nbformat.validate(found)
        return ["".join(cell["source"]) for cell in found["cells"]]


@asynccontextmanager
async def connected(serverapp: Any, root: Path) -> AsyncIterator[Tools]:
    current_caller.set(Caller("Test agent", _allow))
    service = Service.of_server(serverapp, serverapp.log)
    async with Client(build_server(service)) as client:
        yield Tools(client, service, root)
    await service.close()


async def test_names_descriptions_schemas(jp_serverapp: Any, jp_root_dir: Path) -> None:
    async with connected(jp_serverapp, jp_root_dir) as tools:
        listed = await tools.client.list_tools()
        assert tuple(tool.name for tool in listed) == TOOLS
        assert [tool.name for tool in await tools.client.list_tools()] == list(TOOLS)
        for tool in listed:
            assert tool.description, tool.name
            assert tool.annotations is not None and tool.annotations.title
            assert tool.output_schema is not None and tool.output_schema["type"] == "object"
            jsonschema.Draft202012Validator.check_schema(tool.input_schema)
            jsonschema.Draft202012Validator.check_schema(tool.output_schema)
            for name, schema in tool.input_schema.get("properties", {}).items():
                assert schema.get("description"), (tool.name, name)


async def test_a_call_without_a_user_is_refused(jp_serverapp: Any, jp_root_dir: Path) -> None:
    service = Service.of_server(jp_serverapp, jp_serverapp.log)
    current_caller.set(None)
    async with Client(build_server(service)) as client:
        for tool in ("notebook_list", "room_list"):
            with pytest.raises(ToolError, match="no user"):
                await client.call_tool(tool)


async def test_list_and_create(jp_serverapp: Any, jp_root_dir: Path) -> None:
    async with connected(jp_serverapp, jp_root_dir) as tools:
        assert await tools("notebook_list") == []
        assert await tools("notebook_create", path="x/y/b.ipynb") == {"path": "x/y/b.ipynb", "name": "b.ipynb"}
        assert await tools("notebook_create", path="/a.ipynb") == {"path": "a.ipynb", "name": "a.ipynb"}
        assert await tools("notebook_list") == [
            {"path": "a.ipynb", "name": "a.ipynb"},
            {"path": "x/y/b.ipynb", "name": "b.ipynb"},
        ]
        created = nbformat.read(jp_root_dir / "a.ipynb", as_version=nbformat.NO_CONVERT)
        nbformat.validate(created)
        assert created.cells == []


async def test_hidden_and_linked_are_not_listed(jp_serverapp: Any, jp_root_dir: Path, tmp_path: Path) -> None:
    write_notebook(tmp_path / "outside" / "o.ipynb")
    write_notebook(jp_root_dir / "real" / "a.ipynb")
    write_notebook(jp_root_dir / ".hidden" / "a.ipynb")
    write_notebook(jp_root_dir / ".h.ipynb")
    write_notebook(jp_root_dir / "__pycache__" / "a.ipynb")
    (jp_root_dir / "folder.ipynb").mkdir()
    (jp_root_dir / "out").symlink_to(tmp_path / "outside")
    (jp_root_dir / "out.ipynb").symlink_to(tmp_path / "outside" / "o.ipynb")
    (jp_root_dir / "loop").symlink_to(".")
    (jp_root_dir / "broken.ipynb").symlink_to("nowhere.ipynb")
    async with connected(jp_serverapp, jp_root_dir) as tools:
        assert [found["path"] for found in await tools("notebook_list")] == ["real/a.ipynb"]


@pytest.mark.parametrize("taken", ["a.ipynb", "folder.ipynb", "link.ipynb", "dangling.ipynb"])
async def test_create_never_overwrites(jp_serverapp: Any, jp_root_dir: Path, taken: str) -> None:
    (jp_root_dir / "a.ipynb").write_text("precious")
    (jp_root_dir / "folder.ipynb").mkdir()
    (jp_root_dir / "link.ipynb").symlink_to("a.ipynb")
    (jp_root_dir / "dangling.ipynb").symlink_to("nowhere.ipynb")
    (jp_root_dir / "nowhere.ipynb").write_text("precious too")
    async with connected(jp_serverapp, jp_root_dir) as tools:
        with pytest.raises(ToolError, match="exists already"):
            await tools("notebook_create", path=taken)
    assert (jp_root_dir / "a.ipynb").read_text() == "precious"
    assert (jp_root_dir / "nowhere.ipynb").read_text() == "precious too"
    assert not list(jp_root_dir.glob(".*saving"))


async def test_create_below_a_file(jp_serverapp: Any, jp_root_dir: Path) -> None:
    (jp_root_dir / "plain.txt").write_text("precious")
    async with connected(jp_serverapp, jp_root_dir) as tools:
        with pytest.raises(ToolError, match="not created"):
            await tools("notebook_create", path="plain.txt/a.ipynb")
        for path in ("plain.txt", "run.sh", "../a.ipynb", ".a.ipynb"):
            with pytest.raises(ToolError):
                await tools("notebook_create", path=path)
    assert (jp_root_dir / "plain.txt").read_text() == "precious"


async def test_edits_are_on_disk_when_answered(jp_serverapp: Any, jp_root_dir: Path) -> None:
    write_notebook(jp_root_dir / "a.ipynb", "one", "two")
    async with connected(jp_serverapp, jp_root_dir) as tools:
        assert await tools("cell_update", path="a.ipynb", index=0, source="ONE") == "Cell 0 updated"
        assert tools.sources("a.ipynb") == ["ONE", "two"]
        assert await tools("cell_insert", path="a.ipynb", index=1, source="new") == "Cell inserted at index 1"
        assert tools.sources("a.ipynb") == ["ONE", "new", "two"]
        assert await tools("cell_insert", path="a.ipynb", index=-1, source="end") == "Cell inserted at index 3"
        assert tools.sources("a.ipynb") == ["ONE", "new", "two", "end"]
        assert await tools("cell_delete", path="a.ipynb", index=1) == "Cell 1 deleted"
        assert tools.sources("a.ipynb") == ["ONE", "two", "end"]
        assert await tools("cell_move", path="a.ipynb", index=-1, to=0) == "Cell 2 moved to index 0"
        assert tools.sources("a.ipynb") == ["end", "ONE", "two"]
        assert await tools("cell_update", path="a.ipynb", index=0, source="# t", cell_type="markdown")
        assert json.loads((jp_root_dir / "a.ipynb").read_text())["cells"][0]["cell_type"] == "markdown"


async def test_structured_answers_name_the_cell(jp_serverapp: Any, jp_root_dir: Path) -> None:
    write_notebook(jp_root_dir / "a.ipynb", "one")
    async with connected(jp_serverapp, jp_root_dir) as tools:
        inserted = (await tools.raw("cell_insert", path="a.ipynb", index=-1, source="x")).structured_content
        cell = await tools("cell_get", path="a.ipynb", index=1)
        assert inserted == {
            "result": "Cell inserted at index 1",
            "index": 1,
            "cell_id": cell["id"],
            "source_hash": cell["source_hash"],
        }


async def test_get_is_valid_nbformat(jp_serverapp: Any, jp_root_dir: Path) -> None:
    write_notebook(jp_root_dir / "a.ipynb", "one", "two")
    async with connected(jp_serverapp, jp_root_dir) as tools:
        found = await tools("notebook_get", path="a.ipynb")
        nbformat.validate(found)
        assert [cell["source"] for cell in found["cells"]] == ["one", "two"]
        assert found["metadata"]["jupyter_mcp"]["cell_count"] == 2
        page = await tools("notebook_get", path="a.ipynb", start=1, limit=5)
        assert [cell["source"] for cell in page["cells"]] == ["two"]


async def test_one_room_for_every_spelling(jp_serverapp: Any, jp_root_dir: Path) -> None:
    write_notebook(jp_root_dir / "x" / "a.ipynb", "one")
    (jp_root_dir / "alias.ipynb").symlink_to("x/a.ipynb")
    (jp_root_dir / "y").symlink_to("x")
    spellings = ["x/a.ipynb", "./x/a.ipynb", "/x//a.ipynb", "x/../x/a.ipynb", "alias.ipynb", "y/a.ipynb"]
    async with connected(jp_serverapp, jp_root_dir) as tools:
        await asyncio.gather(*(tools("cell_get", path=path, index=0) for path in spellings * 4))
        assert [room["path"] for room in await tools("room_list")] == ["x/a.ipynb"]
        for number, path in enumerate(spellings):
            await tools("cell_update", path=path, index=0, source=str(number))
        assert tools.sources("x/a.ipynb") == ["5"]


async def test_a_new_notebook_has_no_cell_of_its_own(jp_serverapp: Any, jp_root_dir: Path) -> None:
    async with connected(jp_serverapp, jp_root_dir) as tools:
        await tools("notebook_create", path="a.ipynb")
        assert (await tools("notebook_get", path="a.ipynb"))["cells"] == []
        await tools("cell_insert", path="a.ipynb", index=0, source="only")
        assert tools.sources("a.ipynb") == ["only"]


async def test_old_format_is_upgraded_by_the_first_write(jp_serverapp: Any, jp_root_dir: Path) -> None:
    write_notebook(jp_root_dir / "a.ipynb", "one", "two", minor=2)
    before = (jp_root_dir / "a.ipynb").read_bytes()
    async with connected(jp_serverapp, jp_root_dir) as tools:
        await tools("cell_get", path="a.ipynb", index=0)
        assert (jp_root_dir / "a.ipynb").read_bytes() == before, "reading changes nothing"
        await tools("cell_update", path="a.ipynb", index=0, source="ONE")
        first = json.loads((jp_root_dir / "a.ipynb").read_text())
        assert (first["nbformat"], first["nbformat_minor"]) == (4, 5)
        ids = [cell["id"] for cell in first["cells"]]
        await tools("cell_update", path="a.ipynb", index=1, source="TWO")
        assert [cell["id"] for cell in json.loads((jp_root_dir / "a.ipynb").read_text())["cells"]] == ids


async def test_ids_survive_everything(jp_serverapp: Any, jp_root_dir: Path) -> None:
    write_notebook(jp_root_dir / "a.ipynb", "one", "two", "three")
    async with connected(jp_serverapp, jp_root_dir) as tools:
        await tools("cell_update", path="a.ipynb", index=0, source="x", cell_type="raw")
        await tools("cell_update", path="a.ipynb", index=0, source="x", cell_type="code")
        await tools("cell_move", path="a.ipynb", index=0, to=2)
        await tools("cell_delete", path="a.ipynb", index=0)
        assert [cell["id"] for cell in (await tools("notebook_get", path="a.ipynb"))["cells"]] == ["cell-2", "cell-0"]


async def test_addressing_by_id_and_hash(jp_serverapp: Any, jp_root_dir: Path) -> None:
    write_notebook(jp_root_dir / "a.ipynb", "one", "two")
    async with connected(jp_serverapp, jp_root_dir) as tools:
        seen = await tools("cell_get", path="a.ipynb", index=1)
        await tools("cell_insert", path="a.ipynb", index=0, source="zero")
        await tools("cell_update", path="a.ipynb", index=1, cell_id=seen["id"], source="TWO")
        assert tools.sources("a.ipynb") == ["zero", "one", "TWO"]
        for tool, more in (
            ("cell_update", {"source": "x"}),
            ("cell_delete", {}),
            ("cell_move", {"to": 0}),
            ("cell_execute", {}),
        ):
            with pytest.raises(ToolError, match=r"(?s)source hash.*TWO"):
                await tools(tool, path="a.ipynb", cell_id=seen["id"], expected_source_hash=seen["source_hash"], **more)
            with pytest.raises(ToolError, match="no cell with id"):
                await tools(tool, path="a.ipynb", cell_id="gone", **more)
            with pytest.raises(ToolError, match="index or its cell_id"):
                await tools(tool, path="a.ipynb", **more)
        assert tools.sources("a.ipynb") == ["zero", "one", "TWO"]
        now = await tools("cell_get", path="a.ipynb", cell_id=seen["id"])
        assert now["index"] == 2
        await tools("cell_delete", path="a.ipynb", cell_id=seen["id"], expected_source_hash=now["source_hash"])
        assert tools.sources("a.ipynb") == ["zero", "one"]


@pytest.mark.parametrize("index", [2, -3, 10**9])
async def test_indices_out_of_range(jp_serverapp: Any, jp_root_dir: Path, index: int) -> None:
    write_notebook(jp_root_dir / "a.ipynb", "one", "two")
    async with connected(jp_serverapp, jp_root_dir) as tools:
        for tool, more in (
            ("cell_get", {}),
            ("cell_update", {"source": "x"}),
            ("cell_delete", {}),
            ("cell_execute", {}),
        ):
            with pytest.raises(ToolError, match="2 cells"):
                await tools(tool, path="a.ipynb", index=index, **more)
        assert tools.sources("a.ipynb") == ["one", "two"]


async def test_bad_arguments(jp_serverapp: Any, jp_root_dir: Path) -> None:
    write_notebook(jp_root_dir / "a.ipynb", "one")
    async with connected(jp_serverapp, jp_root_dir) as tools:
        for arguments in (
            {"index": 0, "source": "x", "cell_type": "heading"},
            {"index": "zero", "source": "x"},
            {"index": 0.5, "source": "x"},
            {"index": 0},
            {"index": 0, "source": 5},
        ):
            with pytest.raises(ToolError):
                await tools("cell_update", path="a.ipynb", **arguments)
        assert tools.sources("a.ipynb") == ["one"]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"cells": 5}', '{"nbformat": 4}', "\x00\xff"])
async def test_a_broken_file_is_reported_and_leaves_no_room(jp_serverapp: Any, jp_root_dir: Path, content: str) -> None:
    (jp_root_dir / "a.ipynb").write_text(content)
    async with connected(jp_serverapp, jp_root_dir) as tools:
        for _ in range(2):
            with pytest.raises(ToolError, match="cannot be read"):
                await tools("cell_get", path="a.ipynb", index=0)
        assert await tools("room_list") == []
        assert (jp_root_dir / "a.ipynb").read_text() == content
        write_notebook(jp_root_dir / "a.ipynb", "repaired")
        assert (await tools("cell_get", path="a.ipynb", index=0))["source"] == "repaired"


async def test_a_missing_file_leaves_no_room(jp_serverapp: Any, jp_root_dir: Path) -> None:
    async with connected(jp_serverapp, jp_root_dir) as tools:
        for tool, more in (
            ("notebook_get", {}),
            ("cell_insert", {"index": 0, "source": "x"}),
            ("notebook_list_users", {}),
        ):
            with pytest.raises(ToolError, match=r"no notebook.*notebook_create"):
                await tools(tool, path="none.ipynb", **more)
        assert await tools("room_list") == []
        write_notebook(jp_root_dir / "none.ipynb", "now")
        assert (await tools("cell_get", path="none.ipynb", index=0))["source"] == "now"


async def test_watch(jp_serverapp: Any, jp_root_dir: Path) -> None:
    write_notebook(jp_root_dir / "a.ipynb", "one")
    async with connected(jp_serverapp, jp_root_dir) as tools:
        quiet = await tools("notebook_watch", path="a.ipynb", timeout=0.05)
        assert quiet["changed"] is False and "cell_count" not in quiet
        watchers = [asyncio.create_task(tools("notebook_watch", path="a.ipynb", timeout=20)) for _ in range(10)]
        await asyncio.sleep(0.3)
        assert not any(watcher.done() for watcher in watchers)
        await tools("cell_insert", path="a.ipynb", index=0, source="x")
        answers = await asyncio.wait_for(asyncio.gather(*watchers), 5)
        assert all(answer["changed"] is True and answer["cell_count"] == 2 for answer in answers)
        missed = await tools("notebook_watch", path="a.ipynb", timeout=20, since=quiet["version"])
        assert missed["changed"] is True
        quiet = await tools("notebook_watch", path="a.ipynb", timeout=0.05, since=missed["version"])
        assert quiet["changed"] is False


async def test_many_edits_at_once_share_saves(jp_serverapp: Any, jp_root_dir: Path, monkeypatch: Any) -> None:
    write_notebook(jp_root_dir / "a.ipynb", *["x"] * 40)
    async with connected(jp_serverapp, jp_root_dir) as tools:
        await tools("cell_update", path="a.ipynb", index=0, source="first")
        store = tools.service.rooms._store
        writes: list[int] = []
        write = store.write

        async def counted(path: str, data: bytes, known: Any) -> Any:
            writes.append(len(data))
            return await write(path, data, known)

        monkeypatch.setattr(store, "write", counted)
        await asyncio.gather(
            *(tools("cell_update", path="a.ipynb", index=index, source=f"edit {index}") for index in range(40))
        )
        assert tools.sources("a.ipynb") == [f"edit {index}" for index in range(40)]
        assert 1 <= len(writes) < 20


async def test_an_answer_waits_for_the_disk(jp_serverapp: Any, jp_root_dir: Path, monkeypatch: Any) -> None:
    write_notebook(jp_root_dir / "a.ipynb", "one")
    async with connected(jp_serverapp, jp_root_dir) as tools:
        store = tools.service.rooms._store
        write = store.write
        finished: list[bytes] = []

        async def slow(path: str, data: bytes, known: Any) -> Any:
            await asyncio.sleep(0.4)
            state = await write(path, data, known)
            finished.append(data)
            return state

        monkeypatch.setattr(store, "write", slow)
        edits = [
            ("cell_update", {"index": 0, "source": "UPDATED"}),
            ("cell_insert", {"index": 0, "source": "INSERTED"}),
            ("cell_move", {"index": 0, "to": 1}),
            ("cell_delete", {"index": 0}),
            ("cell_execute", {"index": 0}),
        ]
        for number, (tool, arguments) in enumerate(edits, 1):
            await tools(tool, path="a.ipynb", **arguments)
            assert len(finished) >= number, f"{tool} answered before its save was through"


async def test_a_cancelled_caller_leaves_the_save_running(
    jp_serverapp: Any, jp_root_dir: Path, monkeypatch: Any
) -> None:
    write_notebook(jp_root_dir / "a.ipynb", "one")
    async with connected(jp_serverapp, jp_root_dir) as tools:
        await tools("cell_get", path="a.ipynb", index=0)
        store = tools.service.rooms._store
        write = store.write

        async def slow(path: str, data: bytes, known: Any) -> Any:
            await asyncio.sleep(0.4)
            return await write(path, data, known)

        monkeypatch.setattr(store, "write", slow)
        edit = asyncio.create_task(tools.service.cell_update("a.ipynb", 0, "two", None, None, None))
        await asyncio.sleep(0.2)
        edit.cancel()
        await asyncio.sleep(0.6)
        assert tools.sources("a.ipynb") == ["two"]


async def test_a_save_that_does_not_arrive_is_noticed(jp_serverapp: Any, jp_root_dir: Path, monkeypatch: Any) -> None:
    """A disk that swallows a write: the read-back finds out."""
    from jupyter_mcp.file_store import FileStore

    write_notebook(jp_root_dir / "a.ipynb", "one")
    async with connected(jp_serverapp, jp_root_dir) as tools:
        await tools("cell_get", path="a.ipynb", index=0)
        monkeypatch.setattr(FileStore, "_replace", lambda self, target, data: True)
        with pytest.raises(ToolError, match="read back"):
            await tools("cell_update", path="a.ipynb", index=0, source="two")
        monkeypatch.undo()
        assert await tools("cell_update", path="a.ipynb", index=0, source="three")
        assert tools.sources("a.ipynb") == ["three"]


async def test_writing_what_is_there_writes_nothing(jp_serverapp: Any, jp_root_dir: Path) -> None:
    write_notebook(jp_root_dir / "a.ipynb", "one")
    async with connected(jp_serverapp, jp_root_dir) as tools:
        await tools("cell_update", path="a.ipynb", index=0, source="two")
        before = (jp_root_dir / "a.ipynb").stat()
        await tools("cell_update", path="a.ipynb", index=0, source="two")
        after = (jp_root_dir / "a.ipynb").stat()
        assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


async def test_closed_rooms_leave_nothing_behind(jp_serverapp: Any, jp_root_dir: Path) -> None:
    import gc

    from jupyter_server_ydoc.rooms import DocumentRoom

    def rooms_in_memory() -> int:
        gc.collect()
        return sum(isinstance(found, DocumentRoom) for found in gc.get_objects())

    async with connected(jp_serverapp, jp_root_dir) as tools:
        before = rooms_in_memory()
        for number in range(10):
            write_notebook(jp_root_dir / f"{number}.ipynb", "a")
            await tools("cell_update", path=f"{number}.ipynb", index=0, source="b")
        assert rooms_in_memory() == before + 10
        closed = [await tools.service.rooms.close(notebook) for notebook in tools.service.rooms.opened]
        assert closed == [True] * 10
        await asyncio.sleep(0.2)
        # One may still be held by the frame of the loop above.
        assert rooms_in_memory() <= before + 1
        assert await tools("room_list") == []
        assert (await tools("cell_get", path="0.ipynb", index=0))["source"] == "b"
