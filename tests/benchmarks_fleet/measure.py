"""Running everyone in turn, and what each run took."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.benchmarks_fleet.contenders import Contender, environ_of
from tests.fleet.site import Site
from tests.local_site import ROOT


@dataclass
class Figures:
    """What one contender took, run by run: seconds of wall and of the controller's CPU, and its largest size in MB."""

    contender: Contender
    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    #: Remote commands on the first host.
    commands: int = 0

    @property
    def wall(self) -> float:
        return statistics.median(self.walls)

    @property
    def cpu(self) -> float:
        return statistics.median(self.cpus)


def measure(site: Site, everyone: Sequence[Contender], rounds: int) -> list[Figures]:
    """Everyone in turn, `rounds` times, the slow ones a third of that; before it each of the others once for nothing,
    so that what Python compiles once is compiled."""
    figures = [Figures(contender) for contender in everyone]
    for contender in everyone:
        if not contender.is_slow:
            _run(Figures(contender), site)
    for number in range(rounds):
        for each in figures:
            if not each.contender.is_slow or number < max(1, rounds // 3):
                before = site.hosts[0].served()[1]
                _run(each, site)
                each.commands = site.hosts[0].served()[1] - before
    return figures


def measure_growth(sites: Sequence[Site]) -> list[tuple[int, Figures]]:
    """What `plan` takes over sites of different sizes, each of which stands for itself."""
    found = []
    for site in sites:
        figures = Figures(Contender("jupyfleet plan", site.command("plan", "--json"), {}))
        _run(figures, site)
        found.append((len(site.hosts), figures))
    return found


def _run(figures: Figures, site: Site) -> None:
    contender = figures.contender
    print(f"{len(site.hosts)} hosts: {contender.name}", file=sys.stderr)
    began = time.monotonic()
    process = subprocess.Popen(
        contender.command,
        cwd=ROOT,
        env=environ_of(contender, site),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    said = process.stdout.read()
    # Everything that it started and waited for is in it.
    _, status, used = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{contender.name} failed:\n{said.decode(errors='replace')[-6000:]}")
    figures.walls.append(wall)
    figures.cpus.append(used.ru_utime + used.ru_stime)
    figures.megabytes.append(used.ru_maxrss / 1024)
