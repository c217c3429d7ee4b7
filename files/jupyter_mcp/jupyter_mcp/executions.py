"""Executions that belong to the server: queued per notebook, written to the cell by id, independent of the caller.

A caller waits for an execution and may stop waiting; the cell runs on, its outputs go on arriving in the document, and
`Executions.get` finds it again by its id.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections import Counter, OrderedDict, defaultdict
from typing import Any

from . import cells
from .area import Operation
from .connection import Request
from .errors import CellNotFound, ChangedOnDisk, ExecutionNotFound, NotebookError, SaveFailed
from .execution import Execution
from .kernels import Kernels
from .rooms import OpenNotebook, Rooms
from .showing import Showing

__all__ = ["Executions"]

# How long a cell runs before it is shown as running. One that ends sooner changes in the document once, not twice.
_BEGIN_SECONDS = 0.01
# How long outputs wait for the end of their cell, to be written with it: one update for everybody instead of two.
_END_SECONDS = 0.002
# From then on outputs are written at once, unless this many came one upon the other.
_BURST = 3
_FLUSH_SECONDS = 0.03
_SAVE_SECONDS = 2.0
# Executions that `execution_get` still finds: so many, and so many bytes of their outputs.
_KEPT = 500
_KEPT_BYTES = 128 * 1024 * 1024


class Executions:
    """Every execution that this server knows of."""

    def __init__(self, rooms: Rooms, kernels: Kernels, log: logging.Logger) -> None:
        self._rooms = rooms
        self._kernels = kernels
        self._log = log
        self._showing = Showing(rooms)
        self._known: OrderedDict[str, Execution] = OrderedDict()
        # What those that have ended hold, in bytes of output; and how many go on, per room.
        self._kept_bytes = 0
        self._active: Counter[str] = Counter()
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, notebook: OpenNotebook, position: int) -> Execution:
        """Queue the cell's source as it is now, behind what is queued for the same notebook."""
        ycell = cells.shared_cell(notebook.document, position)
        execution = Execution(
            room_id=notebook.room_id,
            path=notebook.path,
            cell_id=notebook.mirror.ids[position],
            code=str(ycell["source"]),
        )
        self._remember(execution)
        notebook.holds += 1
        task = asyncio.create_task(self._run(execution, notebook))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return execution

    def get(self, execution_id: str) -> Execution:
        execution = self._known.get(execution_id)
        if execution is None:
            raise ExecutionNotFound(
                f"There is no execution {execution_id!r}: ids are given by cell_execute and are forgotten when the "
                f"server restarts or after {_KEPT} more executions. The cell itself still has its outputs: cell_get."
            )
        return execution

    async def stop(self, execution: Execution, why: str) -> None:
        """Interrupt this run, and no other: one that waits for its turn is taken out of the queue instead."""
        if execution.in_kernel:
            await self._kernels.interrupt(execution.path)
            execution.problem = why
        elif execution.status == "queued":
            self._finish(execution, "failed", f"{why} Its turn had not come, so nothing was run.")

    def running(self, room_id: str) -> bool:
        return self._active[room_id] > 0

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _remember(self, execution: Execution) -> None:
        self._known[execution.id] = execution
        self._active[execution.room_id] += 1
        while len(self._known) > _KEPT or self._kept_bytes > _KEPT_BYTES:
            oldest = next((known for known in self._known.values() if not known.running), None)
            if oldest is None:
                return
            self._forget(oldest)

    def _forget(self, execution: Execution) -> None:
        del self._known[execution.id]
        self._kept_bytes -= execution.kept_bytes
        self._showing.forget(execution)

    async def _run(self, execution: Execution, notebook: OpenNotebook) -> None:
        try:
            async with self._turns[execution.room_id]:
                outcome = await self._run_now(execution)
            if outcome is None:
                return
            # The next cell runs while this one's outputs are saved, so runs share saves as edits do.
            await self._save(execution)
            self._finish(execution, *outcome)
        except asyncio.CancelledError:
            self._finish(execution, "failed", "the server is shutting down")
            raise
        except NotebookError as error:
            self._finish(execution, "failed", str(error))
        except Exception as error:
            self._log.exception("jupyter_mcp: execution %s", execution.id)
            self._finish(execution, "failed", f"internal error: {error}")
        finally:
            notebook.holds -= 1

    async def _run_now(self, execution: Execution) -> tuple[str, str | None] | None:
        """Run the cell in its turn; the status and the problem to end with when its outputs are saved.

        None when it was taken out of the queue.
        """
        earlier = self._showing.latest(execution.room_id, execution.cell_id)
        if earlier is not None:
            # To run a cell again takes its outputs away: not before they are on their way to the file.
            await earlier.captured.wait()
        if not execution.running:
            return None
        notebook = await self._rooms.reopen(execution.room_id)
        name = cells.kernel_name(notebook.document)
        connection = await self._kernels.connect(execution.room_id, notebook.path, name)
        notebook = await self._rooms.reopen(execution.room_id)
        if not execution.running:
            return None
        if execution.cell_id not in notebook.mirror.ids:
            raise CellNotFound("The cell was deleted before its turn came; nothing was run.")
        execution.status = "running"
        execution.in_kernel = True
        execution.started_at = time.time()
        self._showing.expect(execution)
        request = await connection.execute(execution.code, execution.cell_id)
        begin = asyncio.get_running_loop().call_later(_BEGIN_SECONDS, self._showing.write, execution, [])
        last: list[Operation] = []
        try:
            last = await self._collect(execution, request)
        finally:
            begin.cancel()
            execution.in_kernel = False
            if request.reply is not None and isinstance(request.reply.get("execution_count"), int):
                execution.execution_count = request.reply["execution_count"]
            self._showing.end(execution, last)
        request.late = functools.partial(self._print_late, execution)
        status, problem = _outcome(request)
        if request.failure is not None:
            self._kernels.told_of_loss(execution.room_id)
        return status, problem

    async def _collect(self, execution: Execution, request: Request) -> list[Operation]:
        """Write outputs as they come; those that came with the end are returned, to be written with it."""
        last_save = last_write = time.monotonic()
        burst = 0
        while True:
            batch = [await request.messages.get()]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0 if burst else _END_SECONDS):
                    while batch[-1] is not None:
                        batch.append(await request.messages.get())
            operations: list[Operation] = []
            for message in batch:
                if message is not None:
                    operations += self._showing.take(execution, *message)
            if None in batch:
                if request.failure is not None:
                    operations += execution.area.take("error", _death_notice(request.failure))
                return operations
            if operations:
                self._showing.write(execution, operations)
            if time.monotonic() - last_save > _SAVE_SECONDS:
                # Outputs that keep coming would put off the room's own debounced save for as long as they come.
                last_save = time.monotonic()
                self._save_soon(execution)
            now = time.monotonic()
            burst = burst + 1 if operations and now - last_write < _FLUSH_SECONDS else 0
            last_write = now
            if burst >= _BURST:
                # Whatever arrives in the meantime is written together: a flood costs dozens of updates, not thousands.
                await asyncio.sleep(_FLUSH_SECONDS)

    def _print_late(self, execution: Execution, msg_type: str, content: dict[str, Any]) -> None:
        """What threads of a cell print when the cell has ended."""
        self._showing.write(execution, self._showing.take(execution, msg_type, content))
        if execution.id in self._known and not execution.running:
            self._count_bytes(execution)

    def _count_bytes(self, execution: Execution) -> None:
        self._kept_bytes += execution.area.size - execution.kept_bytes
        execution.kept_bytes = execution.area.size

    def _save_soon(self, execution: Execution) -> None:
        notebook = self._rooms.peek(execution.room_id)
        if notebook is not None:
            task = asyncio.create_task(self._save_quietly(notebook))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _save_quietly(self, notebook: OpenNotebook) -> None:
        with contextlib.suppress(NotebookError):
            await notebook.saver.commit()

    async def _save(self, execution: Execution) -> None:
        try:
            notebook = await self._rooms.reopen(execution.room_id)
            await notebook.saver.commit(execution.captured.set)
            execution.saved = True
        except (SaveFailed, ChangedOnDisk) as error:
            execution.saved = False
            execution.problem = f"The cell ran; its outputs are in the live document and not on disk: {error}."

    def _finish(self, execution: Execution, status: str, problem: str | None) -> None:
        if execution.running:
            execution.status = status
            execution.problem = problem or execution.problem
            execution.finished_at = time.time()
            self._count_bytes(execution)
            self._active[execution.room_id] -= 1
            if not self._active[execution.room_id]:
                del self._active[execution.room_id]
            execution.captured.set()
            execution.done.set()


def _outcome(request: Request) -> tuple[str, str | None]:
    if request.failure is not None:
        text = (
            f"Execution ended because {request.failure}; all variables are gone. "
            "What was printed before is kept. Run the cells you depend on again."
        )
        return "failed", text
    reply = request.reply or {}
    return ("ok", None) if reply.get("status") == "ok" else ("error", None)


def _death_notice(reason: str) -> dict[str, Any]:
    return {"ename": "KernelLost", "evalue": reason, "traceback": [f"KernelLost: {reason}"]}
