"""What every scenario gets: the servers, how much to measure, and a few shorthands."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..browser import Tab
from ..client import Tools
from ..measure import Series
from ..notebooks import Case, write_notebook
from ..servers import JupyterServer

__all__ = ["CROWD", "Bench"]

CROWD = 8


@dataclass(frozen=True)
class Bench:
    """`peer` is None when only this server is measured. `scratch` is for servers of a scenario's own."""

    ours: JupyterServer
    peer: JupyterServer | None
    scratch: Path
    source: Path
    quick: bool = False

    @property
    def servers(self) -> Iterator[JupyterServer]:
        yield self.ours
        if self.peer is not None:
            yield self.peer

    def rounds(self, usual: int) -> int:
        return max(usual // 4, 2) if self.quick else usual

    def write(self, path: str, count: int, sources: dict[int, str] | None = None) -> None:
        """The same new notebook for both servers."""
        for server in self.servers:
            write_notebook(server.workspace / path, count, sources)

    @contextlib.asynccontextmanager
    async def clients(self, *paths: str) -> AsyncIterator[dict[str, Tools]]:
        """A client of each server, by the server's name, that has been told of the notebooks."""
        async with contextlib.AsyncExitStack() as stack:
            found = {}
            for server in self.servers:
                tools = found[server.name] = await stack.enter_async_context(server.client())
                for path in paths:
                    await tools.use(path)
            yield found

    @contextlib.asynccontextmanager
    async def opened(
        self, case: Case, purpose: str, sources: dict[int, str] | None = None
    ) -> AsyncIterator[dict[str, Tools]]:
        """Like `clients`, with a new notebook for `purpose`, in browser tabs when the case asks for them."""
        path = case.path(purpose)
        self.write(path, case.count, sources)
        async with contextlib.AsyncExitStack() as stack:
            if case.tab:
                for server in self.servers:
                    await stack.enter_async_context(Tab(server, path))
            yield await stack.enter_async_context(self.clients(path))

    def share(self, server: JupyterServer, case: Case) -> float:
        """The peer's calls take long on large notebooks, so fewer are made."""
        return 0.2 if server is self.peer and case.count > 1000 else 1.0

    def ours_of(self, results: dict[str, Series]) -> Series:
        return results[self.ours.name]

    def peer_of(self, results: dict[str, Series]) -> Series | str:
        return "not measured" if self.peer is None else results[self.peer.name]

    def ratio(self, results: dict[str, Series]) -> float | None:
        """Our p50 by the peer's."""
        if self.peer is None:
            return None
        return results[self.ours.name].p50 / results[self.peer.name].p50
