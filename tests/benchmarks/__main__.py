"""The command behind `make bench-mcp`; `--help` says what it takes."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .client import WrongAnswerError
from .report import Outcome, as_json, as_text
from .scenarios import SCENARIOS, Bench
from .servers import REPOSITORY, our_server, peer_server, prepare_peer

__all__ = ["main"]


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench-mcp BENCH='…'",
        description="Measure files/jupyter_mcp beside the peer jupyter-mcp-server, in turns on the same machine.",
        epilog="Ends with 0 when every goal was reached, with 1 when one was missed or an answer was wrong.",
    )
    parser.add_argument("--quick", action="store_true", help="a quarter of the rounds, for a first look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured there as well")
    parser.add_argument(
        "--only", action="append", choices=SCENARIOS, metavar="NAME", help=f"of: {', '.join(SCENARIOS)}"
    )
    parser.add_argument("--without-peer", action="store_true", help="measure this server alone")
    parser.add_argument(
        "--source",
        type=Path,
        default=REPOSITORY / "files" / "jupyter_mcp",
        metavar="DIRECTORY",
        help="another jupyter_mcp to measure, of another checkout say",
    )
    return parser.parse_args(words)


async def _measure(bench: Bench, names: list[str]) -> tuple[Outcome, list[str]]:
    outcome, problems = Outcome(), []
    for name in names:
        started = time.monotonic()
        print(f"{name} … ", end="", file=sys.stderr, flush=True)
        try:
            found = await SCENARIOS[name](bench)
        except* (WrongAnswerError, RuntimeError, TimeoutError) as errors:
            problems += [f"{name}: {type(error).__name__}: {error}" for error in _leaves(errors)]
        else:
            outcome.rows += found.rows
            outcome.goals += found.goals
        print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    return outcome, problems


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def main(words: list[str]) -> int:
    """Start both servers, measure, print; the exit code."""
    options = _arguments(words)
    # A proxy has no business between programs of one machine.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    if not options.without_peer:
        prepare_peer()
    started, used, load = time.monotonic(), time.process_time(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="bench-mcp-", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        bench = Bench(
            ours=our_server(scratch / "ours", source=options.source.resolve()),
            peer=None if options.without_peer else peer_server(scratch / "peer"),
            scratch=scratch,
            source=options.source.resolve(),
            quick=options.quick,
        )
        try:
            for server in bench.servers:
                server.start()
            outcome, problems = asyncio.run(_measure(bench, options.only or list(SCENARIOS)))
        finally:
            for server in bench.servers:
                server.stop()
    about: dict[str, Any] = {
        "machine": f"{platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} CPUs",
        "load before and after": f"{load:.1f}, {os.getloadavg()[0]:.1f}",
        "CPU of the clients": f"{time.process_time() - used:.0f} s",
        "took": f"{time.monotonic() - started:.0f} s{' (quick)' if options.quick else ''}",
    }
    print(as_text(outcome.rows, outcome.goals, about))
    for problem in problems:
        print(f"FAILED {problem}")
    if options.json is not None:
        report = {**as_json(outcome.rows, outcome.goals, about), "problems": problems}
        options.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    missed = any(goal.reached is False for goal in outcome.goals)
    return 1 if missed or problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
