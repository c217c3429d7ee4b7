"""Listing a workspace of many notebooks."""

from __future__ import annotations

import shutil

from ..client import Tools
from ..measure import Lane, interleave
from ..report import Goal, Outcome, Row
from .bench import Bench

__all__ = ["list_notebooks"]

_FOLDERS, _EACH = 20, 50


def _lane(name: str, tools: Tools, expected: set[str], pid: int) -> Lane:
    return Lane(name, lambda number: tools.notebooks(expected), pid)


async def list_notebooks(bench: Bench) -> Outcome:
    """A thousand notebooks in twenty folders. The peer's nearest tool lists files by a pattern."""
    expected = {f"many-{folder}/{number}.ipynb" for folder in range(_FOLDERS) for number in range(_EACH)}
    for path in expected:
        bench.write(path, 2)
    try:
        async with bench.clients() as clients:
            lanes = [_lane(server.name, clients[server.name], expected, server.pid) for server in bench.servers]
            results = await interleave(lanes, rounds=bench.rounds(8), block=3)
    finally:
        for server in bench.servers:
            for folder in range(_FOLDERS):
                shutil.rmtree(server.workspace / f"many-{folder}")
    what = "notebook_list, 1,000 notebooks (peer: list_files '**/*.ipynb')"
    return Outcome(
        [Row(what, bench.ours_of(results), bench.peer_of(results))],
        [Goal("notebook_list p50 against the peer, 1,000 notebooks", 0.1, "×", bench.ratio(results))],
    )
