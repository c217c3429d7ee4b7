"""Two hundred notebooks open, fifty clients: every answer is right, and none is lost."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from conftest import write_notebook
from live import LiveServer

NOTEBOOKS, CLIENTS = 200, 50


@pytest.fixture(scope="module")
def crowded(make_live: Callable[..., LiveServer]) -> LiveServer:
    return make_live()


def clients(server: LiveServer, work: Callable[[int, Callable[..., Any]], None]) -> None:
    """Every client does `work(its number, call)`, all at once, each with a connection of its own."""

    def client(number: int) -> None:
        with httpx.Client(timeout=120) as http:

            def call(tool: str, **arguments: Any) -> Any:
                headers, body = server.message("tools/call", {"name": tool, "arguments": arguments})
                result = http.post(server.mcp_url, headers=headers, json=body).json()["result"]
                assert not result.get("isError"), result
                return result["structuredContent"]

            work(number, call)

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(client, number) for number in range(CLIENTS)]:
            done.result()


@pytest.mark.timeout(600)
def test_two_hundred_notebooks_are_open(crowded: LiveServer) -> None:
    paths = [f"day {number // 20}/{number}.ipynb" for number in range(NOTEBOOKS)]
    for path in paths:
        write_notebook(crowded.workspace / path, "one", "two")

    def edit(number: int, call: Callable[..., Any]) -> None:
        for path in paths[number::CLIENTS]:
            call("cell_update", path=path, index=0, source=f"edited by {number}")
            assert crowded.sources(path) == [f"edited by {number}", "two"]

    clients(crowded, edit)
    assert sorted(room["path"] for room in crowded.call("room_list")) == sorted(paths)

    def edit_again(number: int, call: Callable[..., Any]) -> None:
        for path in paths[number::CLIENTS]:
            inserted = call("cell_insert", path=path, index=-1, source="and again")
            assert call("cell_get", path=path, index=2)["id"] == inserted["cell_id"]
            assert crowded.sources(path) == [f"edited by {number}", "two", "and again"]

    clients(crowded, edit_again)
    assert len(crowded.call("notebook_list")) == NOTEBOOKS
    crowded.kill()
    assert all(crowded.sources(path)[2] == "and again" for path in paths)
    crowded.start()


@pytest.mark.timeout(600)
def test_fifty_clients_work_in_one_notebook(crowded: LiveServer) -> None:
    crowded.call("notebook_create", path="one for all.ipynb")

    def work(number: int, call: Callable[..., Any]) -> None:
        cell = call("cell_insert", path="one for all.ipynb", index=-1, source=f"{number} * 1000")["cell_id"]
        answer = call("cell_execute", path="one for all.ipynb", cell_id=cell, timeout=110)
        assert answer["result"][0]["content"]["data"]["text/plain"] == str(number * 1000)
        assert answer["saved"] is True
        call("cell_update", path="one for all.ipynb", cell_id=cell, source=f"done {number}")

    clients(crowded, work)
    cells = crowded.on_disk("one for all.ipynb")["cells"]
    assert sorted(cell["source"] for cell in cells) == sorted(f"done {number}" for number in range(CLIENTS))
    for cell in cells:
        number = int(cell["source"].removeprefix("done "))
        assert cell["outputs"][0]["data"]["text/plain"] == [str(number * 1000)]
    assert sorted(cell["execution_count"] for cell in cells) == list(range(1, CLIENTS + 1)), "one kernel ran them all"
