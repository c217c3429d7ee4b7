"""Editing cells. Our answers count only when the file holds the edit at the moment of the answer."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable

from ..client import Tools, WrongAnswerError
from ..measure import Lane, Series, crowd, interleave
from ..notebooks import CASES, SIZES, code_cell, file_holds, read_notebook
from ..report import Goal, Outcome, Row
from ..servers import JupyterServer
from .bench import CROWD, Bench

__all__ = ["insert", "update", "update_crowd"]

_ON_DISK_SECONDS = 20.0
_marks = itertools.count(1)


def _mark() -> str:
    """A source that is in no file yet."""
    return f"edit_{next(_marks):06d} = 1"


def _update_call(
    server: JupyterServer, tools: Tools, path: str, index: int, *, durable: bool
) -> Callable[[int], Awaitable[float]]:
    file = server.workspace / path

    async def call(number: int) -> float:
        source = _mark()
        seconds = await tools.update(path, index, source)
        if durable and not file_holds(file, source):
            raise WrongAnswerError(
                f"{server.name} answered that cell {index} of {path} is updated; the file does not have it"
            )
        return seconds

    return call


async def _until_on_disk(server: JupyterServer, tools: Tools, path: str, index: int) -> float:
    source = _mark()
    started = time.perf_counter()
    await tools.update(path, index, source)
    while not file_holds(server.workspace / path, source):
        if time.perf_counter() - started > _ON_DISK_SECONDS:
            raise WrongAnswerError(f"{server.name} has not saved an edit of {path} after {_ON_DISK_SECONDS:g} s")
        await asyncio.sleep(0.002)
    return time.perf_counter() - started


async def update(bench: Bench) -> Outcome:
    """Ours answers when the edit is on disk, the peer when it is in memory; both are also timed until it is on disk."""
    outcome = Outcome()
    for case in CASES:
        path, index = case.path("update"), code_cell(case.count)
        async with bench.opened(case, "update") as clients:
            lanes = [
                Lane(
                    server.name,
                    _update_call(server, clients[server.name], path, index, durable=server is bench.ours),
                    server.pid,
                    bench.share(server, case),
                )
                for server in bench.servers
            ]
            results = await interleave(lanes, rounds=bench.rounds(10), block=10, aftermath=True)
            saved: dict[str, Series] = {server.name: Series() for server in bench.servers}
            for _ in range(bench.rounds(6)):
                for server in bench.servers:
                    seconds = await _until_on_disk(server, clients[server.name], path, index)
                    saved[server.name].latencies.append(seconds)
        ours, peer = bench.ours_of(results), bench.peer_of(results)
        outcome.rows.append(Row(f"cell_update, {case.name}, answered", ours, peer))
        outcome.rows.append(Row("  until it is on disk", bench.ours_of(saved), bench.peer_of(saved)))
        if case.count == SIZES[0]:
            what = f"cell_update on disk, p50, against the peer's answer, {case.name}"
            outcome.goals.append(Goal(what, 3, "×", bench.ratio(results)))
    return outcome


async def update_crowd(bench: Bench) -> Outcome:
    """Eight clients edit cells of one large notebook at once; each waits for its own answers."""
    count = SIZES[-1]
    path = "update-crowd.ipynb"
    bench.write(path, count)
    totals: dict[str, Series] = {server.name: Series() for server in bench.servers}
    async with contextlib.AsyncExitStack() as stack:
        calls = {}
        for server in bench.servers:
            tools = [await stack.enter_async_context(server.client()) for _ in range(CROWD)]
            await tools[0].use(path)
            calls[server.name] = [
                _update_call(server, one, path, code_cell(count, nth), durable=server is bench.ours)
                for nth, one in enumerate(tools)
            ]
            await crowd(calls[server.name], each=1)
        for _ in range(bench.rounds(4)):
            for server in bench.servers:
                each = 25 if server is bench.ours else 1
                totals[server.name].add(await crowd(calls[server.name], each, server.pid))
    _check_whole(bench.ours, path, count)
    ours = bench.ours_of(totals)
    return Outcome(
        [Row(f"cell_update, 2,000 cells, {CROWD} clients", ours, bench.peer_of(totals))],
        [Goal(f"cell_update on disk, 2,000 cells, {CROWD} clients", 60, "edits/s", ours.per_second, at_least=True)],
    )


def _check_whole(server: JupyterServer, path: str, count: int) -> None:
    found = len(read_notebook(server.workspace / path)["cells"])
    if found != count:
        raise WrongAnswerError(f"{path} has {found} cells instead of {count}")


async def insert(bench: Bench) -> Outcome:
    """A new cell in the middle; it is deleted again, without being measured."""
    outcome = Outcome()
    for count in SIZES:
        path, index = f"insert-{count}.ipynb", code_cell(count)
        bench.write(path, count)
        async with bench.clients(path) as clients:
            lanes = [
                Lane(server.name, _insert_call(server, clients[server.name], path, index, server is bench.ours))
                for server in bench.servers
            ]
            results = await interleave(lanes, rounds=bench.rounds(6), block=5)
        _check_whole(bench.ours, path, count)
        what = f"cell_insert, {count:,} cells, answered"
        outcome.rows.append(Row(what, bench.ours_of(results), bench.peer_of(results)))
    return outcome


def _insert_call(
    server: JupyterServer, tools: Tools, path: str, index: int, durable: bool
) -> Callable[[int], Awaitable[float]]:
    async def call(number: int) -> float:
        source = _mark()
        seconds = await tools.insert(path, index, source)
        if durable and not file_holds(server.workspace / path, source):
            raise WrongAnswerError(f"{server.name} answered that a cell is in {path}; the file does not have it")
        await tools.delete(path, index)
        return seconds

    return call
