"""Memory: what a server holds after a long day must be what it held in the morning."""

from __future__ import annotations

import asyncio
import time

from ..client import MCPConnection, Tools
from ..measure import Series, resident_bytes
from ..notebooks import code_cell, write_notebook
from ..report import Goal, Outcome, Row
from ..servers import JupyterServer, our_server
from .bench import Bench

__all__ = ["memory"]

_IDLE_SECONDS = 2.0
_CLOSE_SECONDS = 120.0
_CELLS = 50
_KERNELS = 4
_MIB = 1024 * 1024
_RESULT = repr("x" * 2000)


async def _work(server: JupyterServer, tools: Tools, executions: int, notebooks: range) -> Series:
    """Run a cell `executions` times; then open, edit and leave `notebooks`, until all of them are closed."""
    series = Series()
    for number in range(executions):
        # In turns: the thousandth result of one kernel comes with a warning about the kernel's own cache.
        path = f"run-{number % _KERNELS}.ipynb"
        series.latencies.append(await tools.execute(path, code_cell(_CELLS), _RESULT))
    for number in notebooks:
        path = f"day-{number}.ipynb"
        write_notebook(server.workspace / path, _CELLS)
        await tools.use(path)
        await tools.update(path, code_cell(_CELLS), f"edited_{number} = 1")
    return series


async def _closed(server: JupyterServer) -> None:
    async with MCPConnection(f"{server.url}mcp", server.token) as connection:
        deadline = time.monotonic() + _CLOSE_SECONDS
        while time.monotonic() < deadline:
            answer = await connection.call("room_list")
            if not answer.structured["result"]:
                return
            await asyncio.sleep(0.5)
    raise RuntimeError(f"notebooks are open {_CLOSE_SECONDS:g} s after their last use")


async def memory(bench: Bench) -> Outcome:
    """A server of its own, which closes notebooks after seconds instead of minutes, does the same work twice.

    After the first time it holds what it once needed at the most: caches, the executions that it remembers, and memory
    that the allocator keeps for the next time. What it holds more after the second time, it would hold more after every
    time: that is the growth. Both are measured when all notebooks are closed, as the system sees the process, with
    nothing collected or returned on request. The peer is not measured: the goal is none against it.
    """
    share = 4 if bench.quick else 1
    executions, notebooks = 1000 // share, 200 // share
    server = our_server(bench.scratch / "memory", source=bench.source, idle_timeout=_IDLE_SECONDS)
    for number in range(_KERNELS):
        write_notebook(server.workspace / f"run-{number}.ipynb", _CELLS, {code_cell(_CELLS): "'x' * 2000"})
    server.start()
    held, series, busy = [], Series(), 0
    try:
        async with server.client() as tools:
            await tools.use("run-0.ipynb")
            held.append(resident_bytes(server.pid))
            for turn in range(2):
                done = range(turn * notebooks, (turn + 1) * notebooks)
                series.add(await _work(server, tools, executions, done))
                busy = max(busy, resident_bytes(server.pid))
                await _closed(server)
                held.append(resident_bytes(server.pid))
    finally:
        server.stop()
    start, once, twice = (f"{found / _MIB:.0f}" for found in held)
    remark = f"MiB at the start {start}, after the work {once}, after it again {twice}, at the most {busy / _MIB:.0f}"
    what = f"memory after {executions:,} executions and {notebooks} notebooks, done again"
    return Outcome(
        [Row(f"cell_execute, {2 * executions:,} times in turns", series, "not measured")],
        [Goal(what, 1.1, "×", held[2] / held[1], remark=remark)],
    )
