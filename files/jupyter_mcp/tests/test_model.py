"""Random tool calls, kills and restarts, compared with a plain list of cells after every step."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
from typing import Any, ClassVar

import httpx
import nbformat
import pytest
from forking import QuickServer
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from live import ToolFailed

SOURCES = st.text(alphabet="ab\n é😀#'\"\\\t", max_size=30)
TYPES = st.sampled_from(["code", "markdown", "raw"])
NUMBER = st.integers(-40, 40)


class Notebook(RuleBasedStateMachine):
    """`cells` is the model: [id, type, source] per cell."""

    server: ClassVar[QuickServer]
    numbers: ClassVar[Any] = itertools.count()
    kills: ClassVar[int] = int(os.environ.get("JUPYTER_MCP_MODEL_KILLS", "8"))

    def __init__(self) -> None:
        super().__init__()
        self.path = f"model/n{next(self.numbers)}.ipynb"
        self.cells: list[list[str]] = []
        self.killed = 0

    def position(self, index: int) -> int | None:
        """The documented meaning of an index, None when it is out of range."""
        count = len(self.cells)
        found = index + count if index < 0 else index
        return found if 0 <= found < count else None

    def edit(self, tool: str, **arguments: Any) -> dict[str, Any] | None:
        try:
            return self.server.structured(tool, path=self.path, **arguments)
        except ToolFailed as failed:
            assert "cell" in str(failed).lower(), failed
            return None

    @initialize()
    def create(self) -> None:
        assert self.server.call("notebook_create", path=self.path)["path"] == self.path

    @rule(index=NUMBER, source=SOURCES, cell_type=TYPES)
    def insert(self, index: int, source: str, cell_type: str) -> None:
        count = len(self.cells)
        position = index + count + 1 if index < 0 else index
        answer = self.edit("cell_insert", index=index, source=source, cell_type=cell_type)
        if not 0 <= position <= count:
            assert answer is None
            return
        assert answer is not None and answer["index"] == position
        self.cells.insert(position, [answer["cell_id"], cell_type, source])

    @rule(source=SOURCES)
    def append(self, source: str) -> None:
        self.insert(-1, source, "code")

    @rule(index=NUMBER, source=SOURCES, cell_type=st.none() | TYPES)
    def update(self, index: int, source: str, cell_type: str | None) -> None:
        position = self.position(index)
        answer = self.edit("cell_update", index=index, source=source, cell_type=cell_type)
        if position is None:
            assert answer is None
            return
        assert answer is not None and answer["result"] == f"Cell {position} updated"
        self.cells[position][1:] = [cell_type or self.cells[position][1], source]

    @precondition(lambda self: self.cells)
    @rule(number=st.integers(0, 1000), source=SOURCES, stale=st.booleans())
    def update_by_id(self, number: int, source: str, stale: bool) -> None:
        position = number % len(self.cells)
        seen = self.server.call("cell_get", path=self.path, cell_id=self.cells[position][0])
        expected = "0" * 16 if stale else seen["source_hash"]
        answer = self.edit("cell_update", cell_id=seen["id"], source=source, expected_source_hash=expected)
        if stale:
            assert answer is None
        else:
            self.cells[position][2] = source

    @rule(index=NUMBER)
    def delete(self, index: int) -> None:
        position = self.position(index)
        answer = self.edit("cell_delete", index=index)
        if position is None:
            assert answer is None
        else:
            assert answer is not None and answer["cell_id"] == self.cells.pop(position)[0]

    @rule(index=NUMBER, to=NUMBER)
    def move(self, index: int, to: int) -> None:
        position, target = self.position(index), self.position(to)
        answer = self.edit("cell_move", index=index, to=to)
        if position is None or target is None:
            assert answer is None
        else:
            self.cells.insert(target, self.cells.pop(position))

    @rule(texts=st.lists(SOURCES, min_size=2, max_size=6))
    def several_clients_at_once(self, texts: list[str]) -> None:
        """Each appends a cell of its own and updates another by id; no order between them, nothing lost or doubled."""
        known = [cell for cell in self.cells if cell]

        def one(number: int) -> tuple[list[str], tuple[int, str] | None]:
            with httpx.Client(timeout=60) as http:

                def ask(tool: str, **arguments: Any) -> dict[str, Any]:
                    message = {"name": tool, "arguments": {"path": self.path, **arguments}}
                    headers, body = self.server.message("tools/call", message)
                    result = http.post(self.server.mcp_url, headers=headers, json=body).json()["result"]
                    assert not result.get("isError"), result
                    structured: dict[str, Any] = result["structuredContent"]
                    return structured

                added = ask("cell_insert", index=-1, source=texts[number])
                changed = None
                if number < len(known):
                    ask("cell_update", cell_id=known[number][0], source=f"by {number}")
                    changed = (number, f"by {number}")
                return [added["cell_id"], "code", texts[number]], changed

        with concurrent.futures.ThreadPoolExecutor(len(texts)) as pool:
            results = list(pool.map(one, range(len(texts))))
        for _, changed in results:
            if changed is not None:
                known[changed[0]][2] = changed[1]
        added = {cell[0]: cell for cell, _ in results}
        ids = [cell["id"] for cell in self.server.on_disk(self.path)["cells"]]
        assert ids[: len(self.cells)] == [cell[0] for cell in self.cells]
        assert sorted(ids[len(self.cells) :]) == sorted(added)
        self.cells += [added[cell_id] for cell_id in ids[len(self.cells) :]]

    @precondition(lambda self: type(self).kills > 0 and len(self.cells) > 1)
    @rule(gently=st.booleans())
    def end_and_start(self, gently: bool) -> None:
        type(self).kills -= 1
        if gently:
            self.server.end()
        else:
            self.server.kill()
        self.on_disk_is_the_model()
        self.server.start()

    @invariant()
    def on_disk_is_the_model(self) -> None:
        if not (self.server.workspace / self.path).exists():
            assert not self.cells
            return
        found = self.server.on_disk(self.path)
        nbformat.validate(found)
        assert [[cell["id"], cell["cell_type"], cell["source"]] for cell in found["cells"]] == self.cells

    @precondition(lambda self: self.cells)
    @rule()
    def live_is_the_model(self) -> None:
        found = self.server.call("notebook_get", path=self.path)["cells"]
        assert [[cell["id"], cell["cell_type"], cell["source"]] for cell in found] == self.cells
        assert len([room for room in self.server.call("room_list") if room["path"] == self.path]) == 1


@pytest.mark.timeout(600)
def test_random_calls_agree_with_the_model(quick_server: QuickServer) -> None:
    Notebook.server = quick_server
    run_state_machine_as_test(
        Notebook,
        settings=settings(
            max_examples=int(os.environ.get("JUPYTER_MCP_EXAMPLES", "8")),
            stateful_step_count=25,
            deadline=None,
            # A failure names the steps; to shrink them would take a server per attempt.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
