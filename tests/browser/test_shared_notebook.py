"""People in JupyterLab and agents through MCP, in one notebook at the same time.

Everything is real: a deployed site, Chromium, and an MCP client. Each story waits for what must come true.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import nbformat
import pytest
from playwright.sync_api import BrowserContext, Route, WebSocketRoute, expect

from tests.browser.jupyterlab import Agent, NotebookTab, on_disk
from tests.local_site import LocalSite

OpenTab = Callable[..., NotebookTab]


def test_an_agents_edits_appear_in_the_open_tab(agent: Agent, open_tab: OpenTab) -> None:
    path = agent.notebook("edits.ipynb", "first = 1", "second = 2")
    tab = open_tab(path)
    tab.shows("first = 1", "second = 2")
    tab.page.evaluate("window.neverReloaded = true")

    agent("cell_update", path=path, index=0, source="first = 'one'\nfirst")
    tab.shows("first = 'one'\nfirst", "second = 2")
    agent("cell_insert", path=path, index=1, source="between")
    tab.shows("first = 'one'\nfirst", "between", "second = 2")
    agent("cell_move", path=path, index=2, to=0)
    tab.shows("second = 2", "first = 'one'\nfirst", "between")
    agent("cell_delete", path=path, index=1)
    tab.shows("second = 2", "between")
    agent("cell_update", path=path, index=1, source="# A title", cell_type="markdown")
    expect(tab.cells.nth(1)).to_have_class(re.compile("jp-MarkdownCell"))
    tab.shows("second = 2", "# A title")

    assert tab.page.evaluate("window.neverReloaded") is True


def test_what_a_person_types_is_seen_by_an_agent_and_is_saved(site: LocalSite, agent: Agent, open_tab: OpenTab) -> None:
    path = agent.notebook("typing.ipynb", "a = 1", "b = 2")
    tab = open_tab(path)
    tab.type(1, " + 3  # größer 🙂")
    typed = "b = 2 + 3  # größer 🙂"
    tab.wait_until(lambda: agent("cell_get", path=path, index=1)["source"] == typed, "the agent sees what was typed")
    assert agent.sources(path) == ["a = 1", typed]
    tab.wait_until(lambda: on_disk(site, path) == ["a = 1", typed], "what was typed is on disk")


def test_an_agent_that_waits_is_woken_by_a_person(agent: Agent, open_tab: OpenTab) -> None:
    path = agent.notebook("waiting.ipynb", "a = 1")
    tab = open_tab(path)
    version = agent("notebook_watch", path=path, timeout=0)["version"]
    answer = agent.begin("notebook_watch", path=path, timeout=60, since=version)
    tab.type(0, "0")
    assert answer.result(timeout=30)["changed"] is True


def test_a_cell_run_by_an_agent_shows_its_output_in_the_tab(agent: Agent, open_tab: OpenTab) -> None:
    path = agent.notebook("run-by-agent.ipynb", "print('printed ' * 2)", "6 * 7", "1 / 0")
    tab = open_tab(path)
    agent("cell_execute", path=path, index=0)
    expect(tab.outputs(0)).to_have_text(re.compile(r"^\s*printed printed\s*$"))
    agent("cell_execute", path=path, index=1)
    expect(tab.outputs(1)).to_have_text(re.compile(r"^\s*42\s*$"))
    expect(tab.prompt(1)).to_have_text("[2]:")
    agent("cell_execute", path=path, index=2)
    expect(tab.outputs(2)).to_contain_text("ZeroDivisionError")


def test_output_arrives_in_the_tab_while_the_agents_cell_still_runs(agent: Agent, open_tab: OpenTab) -> None:
    """The cell ends only when it is interrupted, so what the tab shows before that was shown live."""
    path = agent.notebook("streaming.ipynb", "import time\nprint('under way', flush=True)\ntime.sleep(600)")
    tab = open_tab(path)
    running = agent("cell_execute", path=path, index=0, timeout=0)
    expect(tab.outputs(0).first).to_contain_text("under way")
    expect(tab.prompt(0)).to_have_text("[*]:")
    agent("kernel_interrupt", path=path)
    expect(tab.cells.nth(0)).to_contain_text("KeyboardInterrupt")
    expect(tab.prompt(0)).to_have_text("[1]:")
    [identifier] = [entry["content"]["execution_id"] for entry in running if entry["type"] == "status"]
    assert "KeyboardInterrupt" in json.dumps(agent("execution_get", execution_id=identifier, timeout=30))


def test_a_cell_run_by_a_person_is_seen_by_an_agent_and_the_kernel_is_one(
    site: LocalSite, agent: Agent, open_tab: OpenTab
) -> None:
    path = agent.notebook("one-kernel.ipynb", "theirs = 41", "theirs + 1", "mine = 'from the tab'", "mine.upper()")
    tab = open_tab(path)
    agent("cell_execute", path=path, index=0)
    tab.run(1)
    expect(tab.outputs(1)).to_have_text(re.compile(r"^\s*42\s*$"))
    tab.run(2)

    def ran() -> bool:
        cells = agent("notebook_get", path=path)["cells"]
        return [cell["execution_count"] for cell in cells] == [1, 2, 3, None]

    tab.wait_until(ran, "the agent sees that the person ran two cells")
    [output] = agent("notebook_get", path=path)["cells"][1]["outputs"]
    assert "".join(output["data"]["text/plain"]) == "42"
    assert "FROM THE TAB" in json.dumps(agent("cell_execute", path=path, index=3))
    expect(tab.outputs(3)).to_have_text(re.compile(r"^\s*'FROM THE TAB'\s*$"))
    assert len(_kernels(tab, path)) == 1
    assert [len(cell.outputs) for cell in nbformat.read(site.workspace / path, as_version=4).cells] == [0, 1, 0, 1]


def test_a_person_who_comes_later_finds_the_agents_kernel_and_outputs(agent: Agent, open_tab: OpenTab) -> None:
    path = agent.notebook("later.ipynb", "found = 'in the kernel'\nfound", "found.title()")
    agent("cell_execute", path=path, index=0)
    tab = open_tab(path)
    expect(tab.outputs(0)).to_have_text(re.compile(r"^\s*'in the kernel'\s*$"))
    tab.run(1)
    expect(tab.outputs(1)).to_have_text(re.compile(r"^\s*'In The Kernel'\s*$"))
    assert len(_kernels(tab, path)) == 1


@pytest.mark.parametrize("head_start", [0, 0.05, 0.1, 0.15, 0.2])
def test_an_agent_runs_a_cell_in_the_moment_in_which_the_tab_starts_the_kernel(
    site: LocalSite, agent: Agent, person: Callable[[], BrowserContext], head_start: float
) -> None:
    """The tab's request for a kernel is sent on `head_start` seconds after the agent's: before it arrives, or after."""
    path = agent.notebook(f"same-moment-{head_start}.ipynb", "theirs = 41\n'run'", "theirs + 1")
    tab = NotebookTab(person(), site, path)
    answers: list[Future[Any]] = []

    def at_the_same_time(route: Route) -> None:
        if route.request.method == "POST" and not answers:
            answers.append(agent.begin("cell_execute", path=path, index=0, timeout=20))
            time.sleep(head_start)
        route.continue_()

    tab.page.route("**/api/sessions*", at_the_same_time)
    tab.open()
    [answer] = answers
    assert "'run'" in json.dumps(answer.result(timeout=30))
    assert len(_kernels(tab, path)) == 1
    tab.run(1)
    expect(tab.outputs(1)).to_have_text(re.compile(r"^\s*42\s*$"))


def test_asking_for_a_kernels_usage_takes_no_answer_away_from_an_agent(agent: Agent, open_tab: OpenTab) -> None:
    """JupyterLab asks so in every tab, by a kernel client of the server's own; here it asks all the time."""
    path = agent.notebook("usage.ipynb", "'run'")
    tab = open_tab(path)
    [kernel] = _kernels(tab, path)
    tab.page.evaluate(
        """(kernel) => {
          window.asked = 0;
          (async () => {
            for (;;) window.asked += (await fetch(`/api/metrics/v1/kernel_usage/get_usage/${kernel}`)).ok;
          })();
        }""",
        kernel,
    )
    for _ in range(15):
        assert "'run'" in json.dumps(agent("cell_execute", path=path, index=0, timeout=10))
    assert tab.page.evaluate("window.asked") > 15


def test_two_people_and_an_agent_edit_different_cells(site: LocalSite, agent: Agent, open_tab: OpenTab) -> None:
    path = agent.notebook("three.ipynb", "ada = 1", "bob = 2", "agent = 3", "untouched = 4")
    ada, bob = open_tab(path), open_tab(path)
    ids = [cell["id"] for cell in agent("notebook_get", path=path)["cells"]]

    def edit() -> None:
        for number in range(8):
            site.mcp("cell_update", path=path, cell_id=ids[2], source=f"agent = {number}")
        site.mcp("cell_insert", path=path, index=-1, source="inserted by the agent")

    edits = agent.run(edit)
    ada.place_cursor(0)
    bob.place_cursor(1)
    for letter in " + ten plus eleven":
        # By turns, so that the two and the agent are at it in the same second.
        ada.page.keyboard.type(letter)
        bob.page.keyboard.type(letter)
    edits.result(timeout=60)
    expected = [
        "ada = 1 + ten plus eleven",
        "bob = 2 + ten plus eleven",
        "agent = 7",
        "untouched = 4",
        "inserted by the agent",
    ]
    ada.shows(*expected)
    bob.shows(*expected)
    ada.wait_until(lambda: agent.sources(path) == expected, "the agent sees all edits")
    ada.wait_until(lambda: on_disk(site, path) == expected, "all edits are on disk")
    saved = [cell.id for cell in nbformat.read(site.workspace / path, as_version=4).cells]
    assert saved[:4] == ids
    assert len(set(saved)) == 5
    assert (ada.dialogs(), bob.dialogs()) == ([], [])


def test_a_person_and_an_agent_in_the_same_cell_at_the_same_time(
    site: LocalSite, agent: Agent, open_tab: OpenTab
) -> None:
    """The agent writes lines at the tail, each based on what it has just read; a person types at the head."""
    path = agent.notebook("same-cell.ipynb", "head = 0\nmiddle = 1\ntail = 2")
    tab = open_tab(path)
    typing = threading.Event()

    def edit() -> int:
        number = 0
        while number < 5 or typing.is_set():
            cell = site.mcp("cell_get", path=path, index=0)
            source = f"{cell['source']}\nline_{number} = {number}"
            try:
                site.mcp("cell_update", path=path, index=0, source=source, expected_source_hash=cell["source_hash"])
            except Exception as error:
                # Told that somebody was quicker, an agent reads again.
                if "is not what you expect" not in str(error):
                    raise
            else:
                number += 1
        return number

    typing.set()
    edits = agent.run(edit)
    try:
        tab.type(0, "typed at the head while the agent edits the tail, ", at_end=False, delay=40)
    finally:
        typing.clear()
    lines = [f"line_{number} = {number}" for number in range(edits.result(timeout=60))]
    expected = "\n".join(
        ["typed at the head while the agent edits the tail, head = 0", "middle = 1", "tail = 2", *lines]
    )
    tab.shows(expected)
    tab.wait_until(lambda: agent.sources(path) == [expected], "the agent sees both texts")
    tab.wait_until(lambda: on_disk(site, path) == [expected], "both texts are on disk")
    assert tab.dialogs() == []


def test_a_person_goes_on_typing_in_the_same_cell_whatever_an_agent_does_around_it(
    agent: Agent, open_tab: OpenTab
) -> None:
    path = agent.notebook("around.ipynb", "a", "b", "c", "typed: ", "d", "e")
    tab = open_tab(path)
    tab.place_cursor(3)
    typed = "typed: "
    around: list[tuple[str, dict[str, Any]]] = [
        ("cell_move", {"index": 2, "to": 0}),
        ("cell_move", {"index": 0, "to": 2}),
        ("cell_move", {"index": 0, "to": -1}),
        ("cell_move", {"index": -1, "to": 0}),
        ("cell_update", {"index": 0, "source": "# Title", "cell_type": "markdown"}),
        ("cell_insert", {"index": 0, "source": "new"}),
        ("cell_delete", {"index": 0}),
    ]
    for number, (tool, arguments) in enumerate(around):
        agent(tool, path=path, **arguments)
        tab.shows(*agent.sources(path))
        tab.page.keyboard.type(f"{number} ")
        typed += f"{number} "
        what = f"all was typed into one cell after {tool} {arguments}"
        tab.wait_until(lambda typed=typed: typed in agent.sources(path), what)  # type: ignore[misc]


def test_edits_that_cross_on_the_way_are_merged(
    site: LocalSite, agent: Agent, person: Callable[[], BrowserContext]
) -> None:
    """What the person types is held back on its way to the server until the agent has edited the same cell."""
    path = agent.notebook("crossing.ipynb", "head = 0\ntail = 1")
    tab = NotebookTab(person(), site, path)
    held: list[str | bytes] = []
    holding = threading.Event()
    servers: list[WebSocketRoute] = []

    def between(browser_side: WebSocketRoute) -> None:
        server_side = browser_side.connect_to_server()
        servers.append(server_side)
        browser_side.on_message(lambda message: (held.append if holding.is_set() else server_side.send)(message))
        server_side.on_message(browser_side.send)

    tab.page.route_web_socket(re.compile(r"/api/collaboration/room/json"), between)
    tab.open().shows("head = 0\ntail = 1")
    [server] = servers

    holding.set()
    tab.type(0, "typed_", at_end=False)
    tab.shows("typed_head = 0\ntail = 1")
    agent("cell_update", path=path, index=0, source="head = 0\ntail = 'of the agent'")
    assert agent.sources(path) == ["head = 0\ntail = 'of the agent'"]
    assert held
    holding.clear()
    for message in held:
        server.send(message)

    merged = "typed_head = 0\ntail = 'of the agent'"
    tab.shows(merged)
    tab.wait_until(lambda: agent.sources(path) == [merged], "the agent sees both texts")
    tab.wait_until(lambda: on_disk(site, path) == [merged], "both texts are on disk")
    assert tab.dialogs() == []


def test_a_person_may_save_before_the_news_of_an_agents_save_has_come(
    site: LocalSite, agent: Agent, person: Callable[[], BrowserContext]
) -> None:
    """JupyterLab takes a file that is newer than it knows for somebody else's; here the news are held back."""
    path = agent.notebook("early.ipynb", "a = 0")
    tab = NotebookTab(person(), site, path)
    held: list[Callable[[], None]] = []
    holding = threading.Event()

    def between(browser_side: WebSocketRoute) -> None:
        server_side = browser_side.connect_to_server()

        def to_browser(message: str | bytes) -> None:
            if holding.is_set():
                held.append(lambda: browser_side.send(message))
            else:
                browser_side.send(message)

        server_side.on_message(to_browser)
        browser_side.on_message(server_side.send)

    tab.page.route_web_socket(re.compile(r"/api/collaboration/room/json"), between)
    tab.open().shows("a = 0")

    holding.set()
    agent("cell_update", path=path, index=0, source="a = 1")
    with tab.page.expect_response(re.compile(r"/api/contents/early.ipynb\?.*hash=1")):
        tab.save()
    tab.shows("a = 0")
    holding.clear()
    for send in held:
        send()
    tab.shows("a = 1")
    # The first save has ended, so a second one is not taken for the same.
    with tab.page.expect_response(re.compile(r"/api/contents/early.ipynb\?.*hash=1")):
        tab.save()
    assert tab.dialogs() == []


def test_saving_by_person_and_agent_raises_no_dialog(site: LocalSite, agent: Agent, open_tab: OpenTab) -> None:
    path = agent.notebook("saving.ipynb", "a = 0", "b = 0")
    tab = open_tab(path)
    for number in range(1, 6):
        agent("cell_update", path=path, index=0, source=f"a = {number}")
        tab.type(1, str(number))
        tab.save()
        agent("cell_execute", path=path, index=0)
        tab.save()
        expected = [f"a = {number}", "b = 0" + "".join(map(str, range(1, number + 1)))]
        tab.wait_until(lambda expected=expected: on_disk(site, path) == expected, f"{expected} is on disk")  # type: ignore[misc]
    tab.shows(*expected)
    assert tab.dialogs() == []
    assert not [text for text in tab.notifications() if re.search("disk|revert|overwrite|reload|save", text, re.I)]
    # Dialogs are noticed when there are any: JupyterLab asks before it restarts a kernel.
    tab.page.keyboard.press("Escape")
    tab.page.keyboard.press("0")
    tab.page.keyboard.press("0")
    expect(tab.page.locator(".jp-Dialog")).to_be_visible()
    assert "Restart" in tab.dialogs()[0]


def test_nobody_is_asked_about_news(open_tab: OpenTab, agent: Agent) -> None:
    """Servers without internet have no news, and a person's first minute has better uses."""
    tab = open_tab(agent.notebook("news.ipynb", "a = 1"))
    # It asks as soon as it has started, before anything that comes over the network from here.
    agent("cell_insert", path="news.ipynb", index=1, source="b = 2")
    tab.shows("a = 1", "b = 2")
    assert tab.notifications() == []


def test_a_person_is_listed_as_long_as_the_notebook_is_open(agent: Agent, open_tab: OpenTab) -> None:
    path = agent.notebook("people.ipynb", "a = 1")
    assert _people(agent("notebook_list_users", path=path)) == []
    tab = open_tab(path)
    identity = tab.person()
    user = {"id": identity["username"], "name": identity["display_name"]}
    tab.wait_until(lambda: _people(agent("notebook_list_users", path=path)) == [user], f"{user} is listed")
    room = _room(agent, path)
    assert _people(room["users"]) == [user]
    assert room["user_count"] == len(room["users"])
    assert room["has_kernel"] is True

    other = open_tab(path)
    both = {user["id"], other.person()["username"]}

    def listed() -> set[str]:
        return {found["id"] for found in _people(agent("notebook_list_users", path=path))}

    tab.wait_until(lambda: listed() == both, "both people are listed")
    other.close_notebook()
    tab.wait_until(lambda: listed() == {user["id"]}, "who has closed the notebook is not listed")


def test_a_person_who_closes_the_window_is_soon_not_listed(agent: Agent, open_tab: OpenTab) -> None:
    """The window says no farewell, so the server has to notice."""
    path = agent.notebook("gone.ipynb", "a = 1")
    watching, tab = open_tab(agent.notebook("elsewhere.ipynb", "b = 1")), open_tab(path)
    watching.wait_until(lambda: len(_people(agent("notebook_list_users", path=path))) == 1, "the person is listed")
    tab.close()
    watching.wait_until(lambda: _people(agent("notebook_list_users", path=path)) == [], "nobody is listed", seconds=60)
    assert _people(_room(agent, path)["users"]) == []


def _kernels(tab: NotebookTab, path: str) -> set[str]:
    """The kernels of a notebook, by the server's own account."""
    sessions = tab.page.evaluate("async () => (await fetch('/api/sessions')).json()")
    return {session["kernel"]["id"] for session in sessions if session["path"] == path}


def _people(users: list[dict[str, str]]) -> list[dict[str, str]]:
    """Without the agents, which are listed too while they work."""
    return [user for user in users if not user["id"].startswith("mcp:")]


def _room(agent: Agent, path: str) -> dict[str, Any]:
    [room] = [room for room in agent("room_list") if room["path"] == path]
    return room
