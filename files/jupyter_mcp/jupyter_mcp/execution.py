"""One run of one cell: its state and its outputs. :mod:`jupyter_mcp.executions` makes it go on."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from .area import Area

__all__ = ["Execution"]

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
