"""A task that does one thing every so many seconds, from its start to its stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

__all__ = ["Ticker"]


class Ticker:
    """`work` sees to its own errors: one that gets out ends the ticking."""

    def __init__(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        self._seconds = seconds
        self._work = work
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            await self._work()
