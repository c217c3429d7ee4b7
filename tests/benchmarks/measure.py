"""Measuring: the CPU of a process, percentiles, and lanes whose calls take turns. Nothing here knows of MCP.

Other programs share the machine, so the lanes that are compared run in turns, a block of calls each: a slow minute
is slow for all of them, and their ratio stands.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Lane", "Series", "cpu_seconds", "crowd", "interleave", "percentile", "resident_bytes"]

_SETTLE_SECONDS = 2.5


def cpu_seconds(pid: int) -> float:
    """CPU that the process has used so far, all threads and without its children.

    It is utime + stime of /proc/PID/stat, read from the process's CPU clock: stat counts in hundredths of a second,
    which is more than most calls take, the clock in nanoseconds.
    """
    return time.clock_gettime((~pid << 3) | 2)


def resident_bytes(pid: int) -> int:
    """What the process holds in memory (VmRSS)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of all values do not exceed."""
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


@dataclass
class Series:
    """What a lane measured. Times in seconds; `cpu` is None where the server's CPU says nothing."""

    latencies: list[float] = field(default_factory=list)
    cpu: float | None = None
    elapsed: float | None = None

    @property
    def p50(self) -> float:
        return percentile(self.latencies, 0.5)

    @property
    def p95(self) -> float:
        return percentile(self.latencies, 0.95)

    @property
    def cpu_per_call(self) -> float | None:
        return self.cpu / len(self.latencies) if self.cpu is not None and self.latencies else None

    @property
    def per_second(self) -> float | None:
        """Calls per second, where many clients called at once."""
        return None if self.elapsed is None else len(self.latencies) / self.elapsed

    def add(self, other: Series) -> None:
        self.latencies += other.latencies
        if other.cpu is not None:
            self.cpu = (self.cpu or 0.0) + other.cpu
        if other.elapsed is not None:
            self.elapsed = (self.elapsed or 0.0) + other.elapsed


@dataclass(frozen=True)
class Lane:
    """One side of a comparison. `call` gets the number of the call and returns how many seconds it took.

    With a `share` below 1 the lane makes that part of a block's calls: for calls that take much longer than others.
    What `call` does beside (checking the answer, say) is in no figure but the driver's own time.
    """

    name: str
    call: Callable[[int], Awaitable[float]]
    pid: int | None = None
    share: float = 1.0


async def interleave(
    lanes: Sequence[Lane], *, rounds: int, block: int, warm_up: int = 2, aftermath: bool = False
) -> dict[str, Series]:
    """Let the lanes take turns, `rounds` times `block` calls each, in an order that is reversed every time.

    With `aftermath` the CPU counts from the first call of all until a while after the last: what a server puts off
    (saving) counts as well. Then every lane needs a server of its own.
    """
    results = {lane.name: Series() for lane in lanes}
    number = 0
    for lane in lanes:
        for _ in range(warm_up):
            await lane.call(number)
            number += 1
    if aftermath:
        pids = [lane.pid for lane in lanes if lane.pid is not None]
        assert len(set(pids)) == len(pids), "two lanes share a server"
        await asyncio.sleep(_SETTLE_SECONDS)
    before = {lane.name: cpu_seconds(lane.pid) for lane in lanes if lane.pid is not None}
    for turn in range(rounds):
        for lane in lanes if turn % 2 == 0 else reversed(lanes):
            series = results[lane.name]
            used = cpu_seconds(lane.pid) if lane.pid is not None else 0.0
            for _ in range(max(round(block * lane.share), 1)):
                series.latencies.append(await lane.call(number))
                number += 1
            if lane.pid is not None and not aftermath:
                series.cpu = (series.cpu or 0.0) + cpu_seconds(lane.pid) - used
    if aftermath:
        await asyncio.sleep(_SETTLE_SECONDS)
        for lane in lanes:
            if lane.pid is not None:
                results[lane.name].cpu = cpu_seconds(lane.pid) - before[lane.name]
    return results


async def crowd(calls: Sequence[Callable[[int], Awaitable[float | None]]], each: int, pid: int | None = None) -> Series:
    """Every one of `calls` is a client; all at once, each makes `each` calls, one after the other.

    A call that failed returns None: it costs time and is none of the calls that the rate counts.
    """
    series = Series()

    async def client(call: Callable[[int], Awaitable[float | None]]) -> None:
        for number in range(each):
            seconds = await call(number)
            if seconds is not None:
                series.latencies.append(seconds)

    used = cpu_seconds(pid) if pid is not None else 0.0
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(client(call))
    series.elapsed = time.perf_counter() - started
    if pid is not None:
        series.cpu = cpu_seconds(pid) - used
    return series
