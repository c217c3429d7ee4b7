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
import uuid
from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import Any

from jupyter_ydoc import YNotebook
from pycrdt import Map

from . import cells
from .area import Area, Operation
from .connection import Request
from .errors import CellNotFound, ChangedOnDisk, ExecutionNotFound, NotebookError, SaveFailed
from .kernels import Kernels
from .rooms import OpenNotebook, Rooms

__all__ = ["Execution", "Executions"]

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

FINAL = ("ok", "error", "failed")


@dataclass(eq=False)
class Execution:
    """One run of one cell.

    `status`: queued, running, ok, error (the code raised) or failed (`problem` says why it did not finish).
    `saved`: whether the outputs are proven to be in the file; None while it runs. Times are of `time.time`.
    `in_kernel`: whether the kernel is at work for it now; it is not before its turn, and not while outputs are saved.
    `begun`: the cell shows this run, and nothing of the one before.
    `captured`: the outputs are in what is being written, or the execution has ended.
    """

    room_id: str
    path: str
    cell_id: str
    code: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    status: str = "queued"
    in_kernel: bool = False
    begun: bool = False
    problem: str | None = None
    area: Area = field(default_factory=Area)
    execution_count: int | None = None
    queued_at: float = field(default_factory=time.time)
    started_at: float | None = None
    finished_at: float | None = None
    saved: bool | None = None
    kept_bytes: int = 0
    captured: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def outputs(self) -> list[dict[str, Any]]:
        return self.area.outputs

    @property
    def running(self) -> bool:
        return self.status not in FINAL


class Executions:
    """Every execution that this server knows of. `changed` is called when one makes progress."""

    def __init__(self, rooms: Rooms, kernels: Kernels, log: logging.Logger) -> None:
        self._rooms = rooms
        self._kernels = kernels
        self._log = log
        self._known: OrderedDict[str, Execution] = OrderedDict()
        # What those that have ended hold, in bytes of output; and how many go on, per room.
        self._kept_bytes = 0
        self._active: Counter[str] = Counter()
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()
        # display_id -> the areas that show it, per room.
        self._displays: dict[str, dict[str, list[tuple[Execution, int]]]] = defaultdict(dict)
        self._latest: dict[tuple[str, str], Execution] = {}

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
        key = (execution.room_id, execution.cell_id)
        if self._latest.get(key) is execution:
            del self._latest[key]
        displays = self._displays.get(execution.room_id, {})
        for display_id in list(displays):
            displays[display_id] = [shown for shown in displays[display_id] if shown[0] is not execution]
            if not displays[display_id]:
                del displays[display_id]

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
        earlier = self._latest.get((execution.room_id, execution.cell_id))
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
        self._latest[execution.room_id, execution.cell_id] = execution
        request = await connection.execute(execution.code, execution.cell_id)
        begin = asyncio.get_running_loop().call_later(_BEGIN_SECONDS, self._write, execution, [])
        last: list[Operation] = []
        try:
            last = await self._collect(execution, request)
        finally:
            begin.cancel()
            execution.in_kernel = False
            self._close_cell(execution, request, last)
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
                    operations += self._take(execution, *message)
            if None in batch:
                if request.failure is not None:
                    operations += execution.area.take("error", _death_notice(request.failure))
                return operations
            if operations:
                self._write(execution, operations)
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

    def _take(self, execution: Execution, msg_type: str, content: dict[str, Any]) -> list[Operation]:
        if msg_type == "execute_input":
            execution.execution_count = content.get("execution_count")
            return []
        if msg_type == "update_display_data":
            return self._update_displays(execution, content)
        operations = execution.area.take(msg_type, content)
        display_id = (content.get("transient") or {}).get("display_id")
        if display_id and msg_type in ("display_data", "execute_result"):
            shown = self._displays[execution.room_id].setdefault(display_id, [])
            shown.append((execution, len(execution.area.outputs) - 1))
        return operations

    def _update_displays(self, execution: Execution, content: dict[str, Any]) -> list[Operation]:
        """Show the new state wherever the display is shown, in this cell and in others."""
        display_id = (content.get("transient") or {}).get("display_id")
        own: list[Operation] = []
        for shown, index in self._displays[execution.room_id].get(display_id or "", ()):
            if self._latest.get((shown.room_id, shown.cell_id)) is not shown:
                continue
            operations = shown.area.update(index, content)
            if shown is execution:
                own += operations
            else:
                self._write(shown, operations)
        return own

    def _write(self, execution: Execution, operations: list[Operation]) -> None:
        """Apply to the cell in the live document; a cell that was deleted meanwhile just does not show it."""
        if execution.begun and not operations:
            return
        shown = self._shown_in(execution)
        if shown is not None:
            document, ycell = shown
            with document.ydoc.transaction():
                if not execution.begun:
                    ycell["execution_count"] = None
                    ycell["execution_state"] = "running"
                self._write_outputs(execution, document, ycell, operations)

    @staticmethod
    def _write_outputs(execution: Execution, document: YNotebook, ycell: Map[Any], operations: list[Operation]) -> None:
        outputs = cells.youtputs(ycell)
        if not execution.begun:
            execution.begun = True
            outputs.clear()
        Area.write(document, outputs, operations)

    def _shown_in(self, execution: Execution) -> tuple[YNotebook, Map[Any]] | None:
        """The live document and the code cell that shows this execution; None when there is no such cell any more."""
        notebook = self._rooms.peek(execution.room_id)
        if notebook is None or self._latest.get((execution.room_id, execution.cell_id)) is not execution:
            return None
        try:
            position = cells.first_position(notebook.mirror.ids, execution.cell_id)
        except CellNotFound:
            return None
        ycell = cells.shared_cell(notebook.document, position)
        return (notebook.document, ycell) if ycell.get("cell_type") == "code" else None

    def _close_cell(self, execution: Execution, request: Request, last: list[Operation]) -> None:
        if request.reply is not None and isinstance(request.reply.get("execution_count"), int):
            execution.execution_count = request.reply["execution_count"]
        shown = self._shown_in(execution)
        if shown is not None:
            document, ycell = shown
            with document.ydoc.transaction():
                self._write_outputs(execution, document, ycell, last)
                ycell["execution_count"] = execution.execution_count
                ycell["execution_state"] = "idle"
                # What a user of this server ran may be shown, as when run from the browser.
                ycell["metadata"]["trusted"] = True

    def _print_late(self, execution: Execution, msg_type: str, content: dict[str, Any]) -> None:
        """What threads of a cell print when the cell has ended."""
        self._write(execution, self._take(execution, msg_type, content))
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
