"""Running cells: one client beside a bare kernel client, and eight clients on one kernel."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from ..client import Tools, WrongAnswerError
from ..measure import Lane, Series, crowd, interleave
from ..notebooks import CASES, code_cell, read_notebook
from ..report import Goal, Outcome, Row
from ..servers import JupyterServer
from .bench import CROWD, Bench

__all__ = ["execute", "execute_crowd"]

_RAW = "jupyter_client"
_SECONDS = 60.0


@contextlib.asynccontextmanager
async def _bare_kernel(server: JupyterServer) -> AsyncIterator[AsyncKernelClient]:
    """A kernel of the server's environment, and a client that is kept."""
    manager = AsyncKernelManager()
    assert manager.kernel_spec is not None
    manager.kernel_spec.argv = [str(server.python), *manager.kernel_spec.argv[1:]]
    await manager.start_kernel(env=server.environment)
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=_SECONDS)
        yield client
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


async def _round_trip(client: AsyncKernelClient, code: str, result: str) -> float:
    """Until both the reply and the last output are through, as every front end waits."""
    started = time.perf_counter()
    message_id = client.execute(code)
    found = ""
    while True:
        message = await client.get_iopub_msg(timeout=_SECONDS)
        if message["parent_header"].get("msg_id") != message_id:
            continue
        if message["msg_type"] == "execute_result":
            found = message["content"]["data"]["text/plain"]
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            break
    while (await client.get_shell_msg(timeout=_SECONDS))["parent_header"].get("msg_id") != message_id:
        pass
    seconds = time.perf_counter() - started
    if found != result:
        raise WrongAnswerError(f"the bare kernel answered {found!r}")
    return seconds


def _execute_call(
    server: JupyterServer, tools: Tools, path: str, index: int, result: str, *, durable: bool
) -> Callable[[int], Awaitable[float]]:
    seen = -1

    async def call(number: int) -> float:
        nonlocal seen
        seconds = await tools.execute(path, index, result)
        if durable:
            cell = read_notebook(server.workspace / path)["cells"][index]
            count, outputs = cell["execution_count"], cell["outputs"]
            if count is None or count <= seen or not outputs or "".join(outputs[0]["data"]["text/plain"]) != result:
                raise WrongAnswerError(f"{server.name} answered that cell {index} of {path} was run; the file: {cell}")
            seen = count
        return seconds

    return call


async def execute(bench: Bench) -> Outcome:
    """`1+1`: beside the kernel's own round trip, and beside the peer. Our outputs are in the file with the answer."""
    outcome = Outcome()
    async with _bare_kernel(bench.ours) as kernel:
        for case in CASES:
            path, index = case.path("execute"), code_cell(case.count)
            async with bench.opened(case, "execute", {index: "1+1"}) as clients:
                lanes = [
                    Lane(
                        server.name,
                        _execute_call(server, clients[server.name], path, index, "2", durable=server is bench.ours),
                        server.pid,
                        bench.share(server, case),
                    )
                    for server in bench.servers
                ]
                # Short calls, so more of them for a steady median.
                lanes.append(Lane(_RAW, lambda number: _round_trip(kernel, "1+1", "2"), share=3))
                results = await interleave(lanes, rounds=bench.rounds(8), block=5)
            raw = results[_RAW]
            ours, peer = bench.ours_of(results), bench.peer_of(results)
            outcome.rows.append(Row(f"cell_execute 1+1, {case.name}, answered", ours, peer))
            outcome.rows.append(Row("  a bare kernel client meanwhile", raw, ""))
            what = f"cell_execute p50 against a bare kernel client, {case.name}"
            remark = "" if isinstance(peer, str) else f"the peer: {peer.p50 / raw.p50:.1f} ×"
            outcome.goals.append(Goal(what, 4, "×", ours.p50 / raw.p50, remark=remark))
    return outcome


async def execute_crowd(bench: Bench) -> Outcome:
    """Eight clients run cells of one notebook, so of one kernel. Every answer must be that of the client's own cell."""
    outcome = Outcome()
    for case in CASES:
        count, path = case.count, case.path("execute-crowd")
        # Ten cells have seven of code, of which clients share some; what they expect is the cell's own result.
        indices = [index for index in (code_cell(count, nth) for nth in range(CROWD)) if index < count]
        totals: dict[str, Series] = {server.name: Series() for server in bench.servers}
        failures = dict.fromkeys(totals, 0)
        async with contextlib.AsyncExitStack() as stack:
            sources = {index: f"{index}*1000" for index in indices}
            await stack.enter_async_context(bench.opened(case, "execute-crowd", sources))
            calls = {}
            for server in bench.servers:
                tools = [await stack.enter_async_context(server.client()) for _ in range(CROWD)]
                await tools[0].use(path)
                await tools[0].execute(path, indices[0], f"{indices[0] * 1000}")
                calls[server.name] = [
                    _counting(
                        _execute_call(server, one, path, index, f"{index * 1000}", durable=False),
                        failures,
                        server.name,
                    )
                    for one, index in zip(tools, (indices * CROWD)[:CROWD], strict=True)
                ]
                await crowd(calls[server.name], each=1)
            failures.update(dict.fromkeys(failures, 0))
            for _ in range(bench.rounds(3)):
                for server in bench.servers:
                    each = 15 if server is bench.ours else 5
                    if bench.share(server, case) < 1:
                        each = 1
                    totals[server.name].add(await crowd(calls[server.name], each, server.pid))
        _check_outputs(bench.ours, path, indices)
        ours, peer = bench.ours_of(totals), bench.peer_of(totals)
        outcome.rows.append(Row(f"cell_execute, {case.name}, {CROWD} clients", ours, peer))
        found = None
        remark = f"our errors: {failures[bench.ours.name]}"
        if not isinstance(peer, str):
            assert bench.peer is not None
            assert ours.per_second is not None
            assert peer.per_second is not None
            # A peer that gives no right answer at all is beaten by any.
            found = ours.per_second / max(peer.per_second, 0.001)
            remark += f", the peer's: {failures[bench.peer.name]} of {len(peer.latencies) + failures[bench.peer.name]}"
        if failures[bench.ours.name]:
            # "No error" is a part of the goal.
            found = 0.0
        what = f"{CROWD} clients on one kernel, throughput against the peer, {case.name}"
        outcome.goals.append(Goal(what, 2, "×", found, at_least=True, remark=remark))
    return outcome


def _counting(
    call: Callable[[int], Awaitable[float]], failures: dict[str, int], name: str
) -> Callable[[int], Awaitable[float | None]]:
    """Count wrong answers instead of ending. None for one: it is no part of what the server got done."""

    async def counting(number: int) -> float | None:
        try:
            return await call(number)
        except WrongAnswerError:
            failures[name] += 1
            return None

    return counting


def _check_outputs(server: JupyterServer, path: str, indices: list[int]) -> None:
    cells = read_notebook(server.workspace / path)["cells"]
    for index in indices:
        outputs = cells[index]["outputs"]
        if len(outputs) != 1 or "".join(outputs[0]["data"]["text/plain"]) != f"{index * 1000}":
            raise WrongAnswerError(f"cell {index} of {path} has the outputs {outputs}")
