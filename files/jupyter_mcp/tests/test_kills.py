"""Servers that are killed at any moment: what was answered is on disk, the file is whole, and a tab comes back to it.

`JUPYTER_MCP_KILLS` says how often.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time

import httpx
import nbformat
import pytest
from conftest import write_notebook
from forking import QuickServer
from live import LiveServer
from peer import Browser

KILLS = int(os.environ.get("JUPYTER_MCP_KILLS", "50"))
_WORKERS = 3


class Worker(threading.Thread):
    """Inserts cells and edits each of them, until the server is gone. `answered`: cell id to its source."""

    def __init__(self, server: LiveServer, path: str, number: int) -> None:
        super().__init__()
        self.answered: dict[str, str] = {}
        self.asked: dict[str, str] = {}
        self.refused: list[str] = []
        self._server, self._path, self._number = server, path, number

    def run(self) -> None:
        with httpx.Client(timeout=20) as self._http:
            try:
                for number in range(10**6):
                    source = f"worker {self._number} cell {number}"
                    cell = self._call("cell_insert", index=-1, source=source)
                    self.answered[cell] = source
                    self.asked[cell] = f"{source}, edited"
                    self._call("cell_update", cell_id=cell, source=self.asked[cell])
                    self.answered[cell] = self.asked[cell]
            except (httpx.HTTPError, ValueError):
                # Killed.
                return

    def _call(self, tool: str, **arguments: object) -> str:
        message = {"name": tool, "arguments": {"path": self._path, **arguments}}
        headers, body = self._server.message("tools/call", message)
        result = self._http.post(self._server.mcp_url, headers=headers, json=body).json()["result"]
        if result.get("isError"):
            self.refused.append(result["content"][0]["text"])
            raise ValueError
        return str(result["structuredContent"]["cell_id"])


@pytest.mark.timeout(3600)
def test_nothing_answered_is_lost_by_a_kill(quick_server: QuickServer) -> None:
    """Kill the server at random moments under load: every edit that was answered is in the file, which is whole."""
    server = quick_server
    rng = random.Random(7)
    for round_number in range(KILLS):
        path = f"killed-{round_number}.ipynb"
        server.call("notebook_create", path=path)
        workers = [Worker(server, path, number) for number in range(_WORKERS)]
        for worker in workers:
            worker.start()
        while sum(len(worker.answered) for worker in workers) < 5:
            assert any(worker.is_alive() for worker in workers), [worker.refused for worker in workers]
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.3))
        server.kill()
        for worker in workers:
            worker.join()
        on_disk = server.on_disk(path)
        nbformat.validate(on_disk)
        found = {cell["id"]: cell["source"] for cell in on_disk["cells"]}
        assert len(found) == len(on_disk["cells"]), "nothing is doubled"
        for worker in workers:
            assert worker.refused == []
            for cell, source in worker.answered.items():
                # An edit that was under way may have come through, answered or not.
                assert found.get(cell) in (source, worker.asked[cell]), (round_number, cell)
        server.start()
        shown = server.call("notebook_get", path=path)["cells"]
        assert {cell["id"]: cell["source"] for cell in shown} == found


@pytest.mark.timeout(1800)
async def test_a_tab_that_outlives_the_server(quick_server: QuickServer) -> None:
    """The tab comes back with its copy: nothing that was answered is missing in it, and nothing is there twice."""
    server, path = quick_server, "outlived.ipynb"
    write_notebook(server.workspace / path, "start")
    rng = random.Random(11)
    async with Browser(server, path) as tab:
        for kill in range(max(KILLS // 5, 1)):
            expected = server.sources(path)
            for number in range(rng.randrange(1, 4)):
                server.call("cell_insert", path=path, index=-1, source=f"cell {kill}.{number}")
                expected.append(f"cell {kill}.{number}")
            server.call("cell_update", path=path, index=0, source=f"start {kill}")
            expected[0] = f"start {kill}"
            # The tab may have heard of all of it, or of a part.
            if rng.random() < 0.7:
                await tab.until(lambda expected=expected: tab.sources == expected)
            server.kill()
            assert server.sources(path) == expected
            server.start()
            await tab.connect()
            await tab.until(lambda expected=expected: tab.sources == expected)
            shown = [cell["source"] for cell in server.call("notebook_get", path=path)["cells"]]
            assert shown == expected, kill
    assert server.sources(path) == expected


async def test_sigterm_saves_what_people_typed(quick_server: QuickServer) -> None:
    """Asked to stop, the server saves what is not saved yet, and only then ends."""
    server, path = quick_server, "stopped.ipynb"
    write_notebook(server.workspace / path, "one")
    server.call("cell_update", path=path, index=0, source="two")
    async with Browser(server, path) as tab:
        await tab.until(lambda: tab.sources == ["two"])
        tab.type(0, " typed")
        await tab.until(lambda: server.call("cell_get", path=path, index=0)["source"] == "two typed")
        assert server.process is not None
        server.process.terminate()
        await asyncio.to_thread(server.process.wait)
    assert server.sources(path) == ["two typed"]
    server.start()
    assert [cell["source"] for cell in server.call("notebook_get", path=path)["cells"]] == ["two typed"]
