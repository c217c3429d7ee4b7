"""Two people and two agents at work in one notebook for a minute: nothing is lost, nothing is doubled, all four agree.

Everybody makes cells with a mark that nobody else uses, changes and deletes only these, and writes into one cell that
all four share. So what must be there in the end follows from what each of them did, in whatever order it happened.
"""

from __future__ import annotations

import itertools
import random
import re
import string
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.browser.jupyterlab import Agent, NotebookTab, on_disk
from tests.local_site import LocalSite

SECONDS = 60
#: Cells that one of them has at most, so that the page draws all of them.
CELLS = 3


class Person:
    """Somebody who works in a tab with the keyboard, one small step at a time."""

    def __init__(self, name: str, tab: NotebookTab) -> None:
        self.name = name
        self.cells: list[str] = []
        self.typed = 0
        self._tab = tab
        self._letter = name[0]
        self._numbers = itertools.count()
        self._chance = random.Random(name)
        # The page draws only what is in sight.
        tab.page.set_viewport_size({"width": 1200, "height": 3000})

    def step(self) -> None:
        steps = [self._write_into_the_shared_cell]
        if len(self.cells) < CELLS:
            steps.append(self._insert)
        if self.cells:
            steps += [self._change, self._delete]
        self._chance.choice(steps)()

    def _own(self, mark: str) -> Any:
        return self._tab.cells.filter(has_text=re.compile(rf"\b{mark}\b")).locator(".cm-content")

    def _write_into_the_shared_cell(self) -> None:
        self._tab.cells.filter(has_text="shared").locator(".cm-content").click()
        self._tab.page.keyboard.press("Control+Home")
        self._tab.page.keyboard.type(self._letter * 3)
        self.typed += 3

    def _insert(self) -> None:
        mark = f"{self.name}_{next(self._numbers)}"
        self._tab.cells.filter(has_text="shared").locator(".cm-content").click()
        self._tab.page.keyboard.press("Escape")
        self._tab.page.keyboard.press("b")
        self._tab.page.keyboard.press("Enter")
        self._tab.page.keyboard.type(f"{mark} = 0")
        self.cells.append(mark)

    def _change(self) -> None:
        self._own(self._chance.choice(self.cells)).click()
        self._tab.page.keyboard.press("Control+End")
        self._tab.page.keyboard.type(self._chance.choice(string.digits))

    def _delete(self) -> None:
        self._own(self.cells.pop(self._chance.randrange(len(self.cells)))).click()
        self._tab.page.keyboard.press("Escape")
        self._tab.page.keyboard.press("d")
        self._tab.page.keyboard.press("d")


class Program:
    """An agent that works through MCP and knows its cells by their ids."""

    def __init__(self, name: str, site: LocalSite, path: str, shared: str) -> None:
        self.name = name
        self.cells: dict[str, str] = {}
        self.lines: list[str] = []
        self._site = site
        self._path = path
        self._shared = shared
        self._numbers = itertools.count()
        self._chance = random.Random(name)

    def work_until(self, end: float) -> int:
        """How many steps were made before that moment of `time.monotonic()`."""
        done = 0
        while time.monotonic() < end:
            steps = [self._write_into_the_shared_cell]
            if len(self.cells) < CELLS:
                steps.append(self._insert)
            if self.cells:
                steps += [self._change, self._move, self._execute, self._delete]
            self._chance.choice(steps)()
            done += 1
        return done

    def _call(self, tool: str, **arguments: Any) -> Any:
        return self._site.mcp(tool, path=self._path, **arguments)

    def _some_mark(self) -> str:
        return self._chance.choice(sorted(self.cells))

    def _write_into_the_shared_cell(self) -> None:
        line = f"{self.name}_line_{next(self._numbers)}"
        while True:
            cell = self._call("cell_get", cell_id=self._shared)
            try:
                self._call(
                    "cell_update",
                    cell_id=self._shared,
                    source=f"{cell['source']}\n# {line}",
                    expected_source_hash=cell["source_hash"],
                )
            except Exception as error:
                # Told that somebody was quicker, an agent reads again.
                if "is not what you expect" not in str(error):
                    raise
            else:
                self.lines.append(line)
                return

    def _insert(self) -> None:
        mark = f"{self.name}_{next(self._numbers)}"
        self._call("cell_insert", index=-1, source=f"{mark} = 0")
        [made] = [cell for cell in self._call("notebook_get")["cells"] if cell["source"] == f"{mark} = 0"]
        self.cells[mark] = made["id"]

    def _change(self) -> None:
        mark = self._some_mark()
        self._call("cell_update", cell_id=self.cells[mark], source=f"{mark} = {self._chance.randrange(100)}")

    def _move(self) -> None:
        self._call("cell_move", cell_id=self.cells[self._some_mark()], to=0)

    def _execute(self) -> None:
        self._call("cell_execute", cell_id=self.cells[self._some_mark()], timeout=60)

    def _delete(self) -> None:
        self._call("cell_delete", cell_id=self.cells.pop(self._some_mark()))


def test_two_people_and_two_agents_for_a_minute(
    site: LocalSite, agent: Agent, open_tab: Callable[..., NotebookTab]
) -> None:
    path = agent.notebook("minute.ipynb", "# shared")
    [shared] = [cell["id"] for cell in agent("notebook_get", path=path)["cells"]]
    tabs = [open_tab(path), open_tab(path)]
    people = [Person(name, tab) for name, tab in zip(("ada", "bob"), tabs, strict=True)]
    programs = [Program(name, site, path, shared) for name in ("xenia", "yuri")]

    end = time.monotonic() + SECONDS
    working = [agent.run(lambda program=program: program.work_until(end)) for program in programs]  # type: ignore[misc]
    rounds = 0
    while time.monotonic() < end:
        for person in people:
            person.step()
        rounds += 1
    steps = [work.result(timeout=120) for work in working]
    assert rounds > 10
    assert all(done > 10 for done in steps)

    marks = sorted(mark for worker in (*people, *programs) for mark in worker.cells)
    tabs[0].wait_until(lambda: _marks(agent.sources(path)) == marks, f"exactly these cells are there: {marks}")
    cells = agent("notebook_get", path=path)["cells"]
    sources = [cell["source"] for cell in cells]
    for tab in tabs:
        tab.shows(*sources)
    tabs[0].wait_until(lambda: on_disk(site, path) == sources, "the file agrees")
    assert agent.sources(path) == sources
    assert len({cell["id"] for cell in cells}) == len(cells) == len(marks) + 1

    [text] = [cell["source"] for cell in cells if cell["id"] == shared]
    head, *lines = text.split("\n")
    assert sorted(lines) == sorted(f"# {line}" for program in programs for line in program.lines)
    assert Counter(head.removesuffix("# shared")) == Counter({person.name[0]: person.typed for person in people})
    assert [tab.dialogs() for tab in tabs] == [[], []]


def _marks(sources: list[str]) -> list[str]:
    return sorted(source.split(" ")[0] for source in sources if "shared" not in source)
