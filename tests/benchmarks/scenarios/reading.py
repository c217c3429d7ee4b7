"""Reading one cell, of a small notebook and of a large one."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

from ..client import Tools
from ..measure import Lane, interleave
from ..notebooks import CASES, SIZES, Case, code_cell
from ..report import Goal, Outcome, Row
from .bench import Bench

__all__ = ["read"]

_SOURCE = "print('read me')"


def _call(tools: Tools, path: str, index: int) -> Callable[[int], Awaitable[float]]:
    async def call(number: int) -> float:
        return await tools.read(path, index, _SOURCE)

    return call


async def read(bench: Bench) -> Outcome:
    """CPU must not grow with the notebook, and the answer must come sooner than the peer's."""
    outcome = Outcome()
    lanes = []
    async with contextlib.AsyncExitStack() as stack:
        for case in CASES:
            index = code_cell(case.count)
            clients = await stack.enter_async_context(bench.opened(case, "read", {index: _SOURCE}))
            for server in bench.servers:
                call = _call(clients[server.name], case.path("read"), index)
                name = f"{server.name}, {case.name}"
                lanes.append(Lane(name, call, server.pid, bench.share(server, case)))
        results = await interleave(lanes, rounds=bench.rounds(10), block=20)
    for case in CASES:
        by_server = {server.name: results[f"{server.name}, {case.name}"] for server in bench.servers}
        outcome.rows.append(Row(f"cell_get, {case.name}", bench.ours_of(by_server), bench.peer_of(by_server)))
        outcome.goals.append(Goal(f"cell_get p50 against the peer, {case.name}", 0.7, "×", bench.ratio(by_server)))
    for tab in (True, False):
        small, large = (results[f"{bench.ours.name}, {Case(count, tab).name}"].cpu_per_call for count in SIZES)
        assert small is not None
        assert large is not None
        where = ", open in a tab" if tab else ""
        outcome.goals.insert(0, Goal(f"cell_get CPU, 2,000 cells against 10{where}", 1.2, "×", large / small))
    return outcome
