"""Agents and people in one notebook: edits both ways, presence, saving while somebody types, idle rooms."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import write_notebook
from live import LiveServer
from peer import Browser


async def call(live: LiveServer, tool: str, **arguments: Any) -> Any:
    return await asyncio.to_thread(live.call, tool, **arguments)


@pytest.fixture(scope="session")
def impatient(make_live: Callable[..., LiveServer]) -> LiveServer:
    """A server that closes idle rooms after two seconds."""
    return make_live(MCP_ROOM_IDLE_TIMEOUT_SEC="2")


async def test_edits_appear_both_ways(live: LiveServer) -> None:
    write_notebook(live.workspace / "both.ipynb", "one")
    async with Browser(live, "both.ipynb") as tab:
        assert tab.sources == ["one"]
        await call(live, "cell_insert", path="both.ipynb", index=-1, source="by the agent")
        await tab.until(lambda: tab.sources == ["one", "by the agent"])
        tab.type(0, " typed")
        await asyncio.sleep(0.2)
        assert (await call(live, "cell_get", path="both.ipynb", index=0))["source"] == "one typed"
        await call(live, "cell_execute", path="both.ipynb", index=0)
        await tab.until(lambda: tab.notebook.get()["cells"][0]["outputs"])


async def test_typing_and_an_agents_edit_of_the_same_cell_merge(live: LiveServer) -> None:
    write_notebook(live.workspace / "merge.ipynb", "first\nmiddle\nlast")
    async with Browser(live, "merge.ipynb") as tab:
        tab.type(0, " line")
        while not (await call(live, "cell_get", path="merge.ipynb", index=0))["source"].endswith("last line"):
            await asyncio.sleep(0.02)
        await call(live, "cell_update", path="merge.ipynb", index=0, source="FIRST\nmiddle\nlast line")
        tab.type(0, "!")
        await tab.until(lambda: tab.sources == ["FIRST\nmiddle\nlast line!"])
        await asyncio.sleep(0.2)
        assert (await call(live, "cell_get", path="merge.ipynb", index=0))["source"] == "FIRST\nmiddle\nlast line!"


async def test_two_tabs_and_two_agents_agree_in_the_end(live: LiveServer) -> None:
    write_notebook(live.workspace / "four.ipynb", "start")
    async with Browser(live, "four.ipynb", "Ann") as ann, Browser(live, "four.ipynb", "Bob") as bob:

        async def agent(name: str) -> None:
            for number in range(15):
                await call(live, "cell_insert", path="four.ipynb", index=0, source=f"{name} {number}")

        async def person(tab: Browser) -> None:
            for number in range(15):
                tab.type(len(tab.notebook.ycells) - 1, f" {tab.name}{number}")
                await asyncio.sleep(0.02)

        await asyncio.gather(agent("x"), agent("y"), person(ann), person(bob))
        await ann.until(lambda: ann.sources == bob.sources and len(ann.sources) == 31)
        agent_view = [cell["source"] for cell in (await call(live, "notebook_get", path="four.ipynb"))["cells"]]
        assert agent_view == ann.sources
        assert len(set(agent_view)) == 31
        for name in ("Ann", "Bob"):
            assert all(f" {name}{number}" in agent_view[-1] for number in range(15))
        await ann.until(lambda: live.sources("four.ipynb") == ann.sources)


async def test_the_agent_is_shown_and_leaves(live: LiveServer) -> None:
    write_notebook(live.workspace / "who.ipynb", "one")
    async with Browser(live, "who.ipynb", "Ann") as tab:
        await tab.until(lambda: "Ann" in tab.names)
        assert "AI agent" not in tab.names
        await call(live, "cell_get", path="who.ipynb", index=0)
        await tab.until(lambda: tab.names == {"Ann", "AI agent"}, seconds=3)
        users = await call(live, "notebook_list_users", path="who.ipynb")
        assert {user["name"] for user in users} == {"Ann", "AI agent"}
        assert {"id": "ann", "name": "Ann"} in users
        room = next(room for room in await call(live, "room_list") if room["path"] == "who.ipynb")
        assert room["user_count"] == 2
        assert room["users"] == users


async def names(live: LiveServer, path: str) -> set[str]:
    return {user["name"] for user in await call(live, "notebook_list_users", path=path)}


async def test_who_closes_the_window_has_left(live: LiveServer) -> None:
    """Without a goodbye, which a closed window may not get to say; and who comes back is there again at once."""
    write_notebook(live.workspace / "window.ipynb", "one")
    async with Browser(live, "window.ipynb", "Ann") as ann, Browser(live, "window.ipynb", "Bob") as bob:
        await call(live, "cell_get", path="window.ipynb", index=0)
        everybody = {"Ann", "Bob", "AI agent"}
        await ann.until(lambda: ann.names == everybody)
        # A browser passes on what it hears: that does not make it the one who says it.
        await ann.tell_all()
        await bob.until(lambda: bob.names == everybody)
        await bob.tell_all()
        await bob.vanish()
        await ann.until(lambda: ann.names == {"Ann", "AI agent"}, seconds=5)
        assert await names(live, "window.ipynb") == {"Ann", "AI agent"}
        room = next(room for room in await call(live, "room_list") if room["path"] == "window.ipynb")
        assert {user["name"] for user in room["users"]} == {"Ann", "AI agent"}
        await bob.connect()
        await ann.until(lambda: ann.names == everybody, seconds=5)
        assert await names(live, "window.ipynb") == everybody
        await ann.vanish()
        await bob.until(lambda: bob.names == {"Bob", "AI agent"}, seconds=5)
        await bob.vanish()
        async with asyncio.timeout(5):
            while await names(live, "window.ipynb") != {"AI agent"}:
                await asyncio.sleep(0.02)


async def test_a_client_gives_its_own_name(live: LiveServer) -> None:
    write_notebook(live.workspace / "named.ipynb", "one")
    async with Browser(live, "named.ipynb", "Ann") as tab:
        arguments = {"name": "cell_get", "arguments": {"path": "named.ipynb", "index": 0}}
        await asyncio.to_thread(live.request, "tools/call", arguments, "2026-07-28")
        await tab.until(lambda: "tests" in tab.names)


@pytest.mark.parametrize("link", ["alias.ipynb", "linked folder/real.ipynb", "./real folder/real.ipynb"])
async def test_a_tab_at_a_link_is_in_the_targets_room(live: LiveServer, link: str) -> None:
    real = write_notebook(live.workspace / "real folder/real.ipynb", "one")
    for name, target in (("alias.ipynb", real), ("linked folder", real.parent)):
        if not (live.workspace / name).exists():
            (live.workspace / name).symlink_to(target)
    await call(live, "notebook_get", path="real folder/real.ipynb")
    async with Browser(live, link) as tab:
        assert tab.sources == ["one"]
        await call(live, "cell_update", path="real folder/real.ipynb", index=0, source="by the agent")
        await tab.until(lambda: tab.sources == ["by the agent"])
        tab.type(0, " and by a person")
        await tab.until(lambda: live.sources("real folder/real.ipynb") == ["by the agent and by a person"])
        assert (await call(live, "cell_get", path=link, index=0))["source"] == "by the agent and by a person"
        paths = [room["path"] for room in await call(live, "room_list")]
        assert paths.count("real folder/real.ipynb") == 1 and "alias.ipynb" not in paths
    assert (live.workspace / "alias.ipynb").is_symlink()


async def test_watch_hears_a_person(live: LiveServer) -> None:
    write_notebook(live.workspace / "watched.ipynb", "one")
    async with Browser(live, "watched.ipynb") as tab:
        watching = asyncio.create_task(call(live, "notebook_watch", path="watched.ipynb", timeout=20))
        await asyncio.sleep(0.5)
        assert not watching.done()
        tab.type(0, "x")
        answer = await asyncio.wait_for(watching, 3)
        assert answer["changed"] is True and answer["cell_count"] == 1
        # And people's edits are saved as before.
        await tab.until(lambda: live.sources("watched.ipynb") == ["onex"])


async def test_a_stream_of_edits_does_not_put_off_saving(live: LiveServer) -> None:
    write_notebook(live.workspace / "stream.ipynb", "#")
    async with Browser(live, "stream.ipynb") as tab:
        await call(live, "cell_get", path="stream.ipynb", index=0)
        started = time.monotonic()
        while time.monotonic() - started < 12:
            tab.type(0, "x")
            await asyncio.sleep(0.1)
            if len(live.sources("stream.ipynb")[0]) > 1:
                break
        assert len(live.sources("stream.ipynb")[0]) > 1
        assert time.monotonic() - started < 10


async def test_both_save_and_nothing_counts_as_a_stranger(live: LiveServer) -> None:
    """The room's own saves and the agent's, interleaved for a while: no false alarm, nothing lost."""
    write_notebook(live.workspace / "inter.ipynb", "a", "b")
    # From an agent's first look on, the room's own saves replace the file in one step.
    await call(live, "notebook_get", path="inter.ipynb")
    async with Browser(live, "inter.ipynb") as tab:
        for number in range(24):
            tab.type(0, f" {number}")
            # Every fourth time the room's own save, a second after the typing, comes first.
            if number % 4 == 0:
                await tab.until(lambda: live.sources("inter.ipynb") == tab.sources)
            else:
                await asyncio.sleep(0.1)
            await call(live, "cell_update", path="inter.ipynb", index=1, source=f"agent {number}")
            assert live.sources("inter.ipynb")[1] == f"agent {number}"
        await tab.until(lambda: live.sources("inter.ipynb") == tab.sources)
    assert not list(live.workspace.glob("inter-unsaved*"))


async def test_an_idle_room_is_saved_and_closed(impatient: LiveServer) -> None:
    live = impatient
    write_notebook(live.workspace / "idle.ipynb", "one")
    await call(live, "cell_update", path="idle.ipynb", index=0, source="two")

    def open_paths() -> list[str]:
        return [room["path"] for room in live.call("room_list")]

    assert "idle.ipynb" in open_paths()
    deadline = time.monotonic() + 15
    while "idle.ipynb" in open_paths() and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    assert "idle.ipynb" not in open_paths()
    assert live.sources("idle.ipynb") == ["two"]
    assert (await call(live, "cell_get", path="idle.ipynb", index=0))["source"] == "two"


async def test_a_room_with_a_tab_stays_open(impatient: LiveServer) -> None:
    live = impatient
    write_notebook(live.workspace / "tab.ipynb", "one")
    async with Browser(live, "tab.ipynb") as tab:
        await call(live, "cell_update", path="tab.ipynb", index=0, source="two")
        await asyncio.sleep(5)
        assert "tab.ipynb" in [room["path"] for room in await call(live, "room_list")]
        await call(live, "cell_update", path="tab.ipynb", index=0, source="three")
        await tab.until(lambda: tab.sources == ["three"])


async def test_a_running_cell_keeps_its_room(impatient: LiveServer) -> None:
    live = impatient
    write_notebook(live.workspace / "busy.ipynb", "import time\ntime.sleep(5)\nprint('done')")
    run = await asyncio.to_thread(live.structured, "cell_execute", path="busy.ipynb", index=0, timeout=0)
    await asyncio.sleep(3.5)
    assert "busy.ipynb" in [room["path"] for room in await call(live, "room_list")]
    await asyncio.to_thread(live.structured, "execution_get", execution_id=run["execution_id"], timeout=20)
    assert "done" in json.dumps(live.on_disk("busy.ipynb")["cells"][0]["outputs"])
