"""From an agent's edit until a browser tab has it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from ..browser import Tab
from ..client import Tools
from ..measure import Lane, interleave
from ..notebooks import SIZES, code_cell
from ..report import Goal, Outcome, Row
from .bench import Bench

__all__ = ["browser"]

_SECONDS = 30.0


def _seen_call(tools: Tools, tab: Tab, path: str, index: int) -> Callable[[int], Awaitable[float]]:
    async def call(number: int) -> float:
        source = f"seen_{number:06d} = 1"
        arrived = tab.expect(index, source)
        started = time.perf_counter()
        answered = asyncio.create_task(tools.update(path, index, source))
        seconds = await asyncio.wait_for(arrived, _SECONDS) - started
        await answered
        return seconds

    return call


async def browser(bench: Bench) -> Outcome:
    """From before the client sends its call (so the whole way there is in it) until the tab's document has the edit."""
    outcome = Outcome()
    for count in SIZES:
        path, index = f"browser-{count}.ipynb", code_cell(count)
        bench.write(path, count)
        async with contextlib.AsyncExitStack() as stack:
            clients = await stack.enter_async_context(bench.clients(path))
            lanes = []
            for server in bench.servers:
                tab = await stack.enter_async_context(Tab(server, path))
                lanes.append(Lane(server.name, _seen_call(clients[server.name], tab, path, index)))
            results = await interleave(lanes, rounds=bench.rounds(10), block=10)
        ours = bench.ours_of(results)
        outcome.rows.append(Row(f"cell_update, {count:,} cells, until a browser has it", ours, bench.peer_of(results)))
        what = f"edit until a connected browser has it, p50, {count:,} cells"
        outcome.goals.append(Goal(what, 10, "ms", ours.p50 * 1000))
    return outcome
