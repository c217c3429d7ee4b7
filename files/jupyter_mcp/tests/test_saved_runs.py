"""What `saved` means for a run, and that runs share saves: with a disk whose writes wait until the test lets them go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import write_notebook

from jupyter_mcp.execution import Execution
from jupyter_mcp.service import Service

PATH = "a.ipynb"


class SlowDisk:
    """Stands before a notebook's store. `written` holds the outputs of every cell, for every write that came through."""

    def __init__(self, store: Any) -> None:
        self._write = store.write
        self.open = asyncio.Event()
        self.waiting = 0
        self.written: list[list[str]] = []
        store.write = self.write

    async def write(self, path: str, data: bytes, known: Any) -> Any:
        self.waiting += 1
        await self.open.wait()
        self.waiting -= 1
        state = await self._write(path, data, known)
        cells = json.loads(data)["cells"]
        texts = [[line for output in cell["outputs"] for line in output["text"]] for cell in cells]
        self.written.append(["".join(lines) for lines in texts])
        return state


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def prepared(serverapp: Any, root: Path) -> tuple[Service, SlowDisk, Callable[[int], Any]]:
    write_notebook(root / PATH, *(f"n = globals().get('n', 0) + 1; print({cell}, n)" for cell in range(3)))
    service = Service.of_server(serverapp, serverapp.log)

    async def run(index: int) -> Execution:
        return (await service.cell_execute(PATH, index, None, None))[1]

    first = await run(0)
    await first.done.wait()
    assert (first.status, first.saved) == ("ok", True)
    return service, SlowDisk(service.rooms.opened[0].saver._store), run


def through(execution: Execution) -> bool:
    """Whether the kernel is through with it, and its outputs are being saved."""
    return execution.started_at is not None and not execution.in_kernel


async def test_the_next_run_does_not_wait_for_the_disk(jp_serverapp: Any, jp_root_dir: Path) -> None:
    service, disk, run = await prepared(jp_serverapp, jp_root_dir)
    runs = [await run(index) for index in range(3)]
    await until(lambda: through(runs[2]) and disk.waiting == 1)
    assert [execution.saved for execution in runs] == [None] * 3
    assert all(execution.running for execution in runs), "nobody is answered before it is true"
    disk.open.set()
    await asyncio.gather(*(execution.done.wait() for execution in runs))
    assert [execution.saved for execution in runs] == [True] * 3
    assert len(disk.written) == 2, "the second and the third shared a save"
    assert disk.written[-1] == ["0 2\n", "1 3\n", "2 4\n"]
    await service.close()


async def test_a_cell_is_run_again_when_its_outputs_are_on_their_way(jp_serverapp: Any, jp_root_dir: Path) -> None:
    """To run a cell takes its outputs away, from the document and not from what is being written: both are saved."""
    service, disk, run = await prepared(jp_serverapp, jp_root_dir)
    earlier, later = await run(0), await run(0)
    await until(lambda: through(later) and disk.waiting == 1)
    assert (earlier.saved, later.saved) == (None, None)
    disk.open.set()
    await asyncio.gather(earlier.done.wait(), later.done.wait())
    assert (earlier.saved, later.saved) == (True, True)
    assert [cells[0] for cells in disk.written] == ["0 2\n", "0 3\n"], "each was in the file before it was answered"
    await service.close()


async def test_a_cell_is_not_run_again_before(jp_serverapp: Any, jp_root_dir: Path) -> None:
    """A save that began before the run ended does not have its outputs; they wait for the next one, and so do we."""
    service, disk, run = await prepared(jp_serverapp, jp_root_dir)
    edit = asyncio.create_task(service.cell_update(PATH, 2, "edited", None, None, None))
    await until(lambda: disk.waiting == 1)
    earlier, later = await run(0), await run(0)
    await until(lambda: through(earlier))
    assert not earlier.captured.is_set() and later.status == "queued"
    disk.open.set()
    await asyncio.gather(edit, earlier.done.wait(), later.done.wait())
    assert (earlier.saved, later.saved) == (True, True)
    assert [cells[0] for cells in disk.written] == ["0 1\n", "0 2\n", "0 3\n"]
    await service.close()


async def test_an_interrupt_of_a_run_that_is_being_saved_reaches_no_other(jp_serverapp: Any, jp_root_dir: Path) -> None:
    service, disk, run = await prepared(jp_serverapp, jp_root_dir)
    notebook = service.rooms.opened[0]
    source = notebook.document.ycells[1]["source"]
    source.insert(0, "import time; time.sleep(1); ")
    ended, other = await run(0), await run(1)
    await until(lambda: through(ended) and other.in_kernel)
    await service.executions.stop(ended, "Interrupted.")
    disk.open.set()
    await asyncio.gather(ended.done.wait(), other.done.wait())
    assert (ended.status, ended.problem, other.status, other.problem) == ("ok", None, "ok", None)
    await service.close()
