"""``python -m tests.benchmarks_fleet``: deploy hosts of our own, then measure everyone on them, several times in turn.

All hosts, the controller and the line share this machine's cores, which favours nobody: the ratios are what counts.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks_fleet.contenders import Contender, contenders, environ_of
from tests.benchmarks_fleet.latency import PORT as DELAYED_PORT
from tests.benchmarks_fleet.latency import delayed
from tests.fleet.site import SITE, Site
from tests.local_site import ROOT
from tests.machines import sshd_hosts
from tests.machines.sshd_hosts import PORT, Network


def main() -> None:
    arguments = _arguments()
    if reason := sshd_hosts.why_not():
        sys.exit(f"no hosts can be made here: {reason}")
    with (
        tempfile.TemporaryDirectory(prefix="jupyfleet-bench-") as directory,
        Network(Path(directory) / "net") as network,
    ):
        first = network.host("first")
        model = Site(Path(directory) / "model", [first])
        _must(model, "up")
        with sshd_hosts.image_of(first, [f"{SITE}/{name}" for name in ("run", "log", ".jupyfleet.deploy")]) as image:
            first.stop()
            hosts = network.start([f"bench{number:03}" for number in range(arguments.hosts)], image=image)
            site = Site(Path(directory) / "site", hosts)
            print(f"deploying {len(hosts)} hosts", file=sys.stderr)
            _must(site, "up", "--parallel", str(2 * (os.cpu_count() or 1)))
            line: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
            if arguments.rtt:
                line = delayed([host.address for host in hosts], PORT, arguments.rtt / 1000)
                _reach_through(site, network)
            with line:
                _measure(site, contenders(site, Path(directory) / "others"), arguments.rounds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-fleet BENCH='…'", description=__doc__)
    parser.add_argument("--hosts", type=int, default=10, help="how many hosts")
    parser.add_argument("--rounds", type=int, default=3, help="how often everyone is measured; the median is told")
    parser.add_argument("--rtt", type=float, default=0, help="a round trip to every host, in milliseconds")
    return parser.parse_args()


def _must(site: Site, command: str, *options: str) -> None:
    done = site.run(command, *options)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


def _reach_through(site: Site, network: Network) -> None:
    """From here on every host is reached over its delayed line."""
    key = " ".join((network.keys / "host.pub").read_text().split()[:2])
    with network.known_hosts.open("a") as known:
        known.writelines(f"[{host.address}]:{DELAYED_PORT} {key}\n" for host in site.hosts)
    site.own |= {host.name: {"ssh_port": DELAYED_PORT} for host in site.hosts}


def _measure(site: Site, everyone: list[Contender], rounds: int) -> None:
    walls: dict[str, list[float]] = {contender.name: [] for contender in everyone}
    cpus: dict[str, list[float]] = {contender.name: [] for contender in everyone}
    commands: dict[str, float] = {}
    for _ in range(rounds):
        for contender in everyone:
            before = site.hosts[0].served()[1]
            wall, cpu = _run(contender, site)
            walls[contender.name].append(wall)
            cpus[contender.name].append(cpu)
            commands[contender.name] = site.hosts[0].served()[1] - before
    count = len(site.hosts)
    floor = statistics.median(walls[everyone[0].name])
    print(f"{count} hosts, {rounds} rounds, nothing to change; medians\n")
    print("| | wall | against the floor | controller's CPU per host | remote commands per host |")
    print("| --- | --- | --- | --- | --- |")
    for contender in everyone:
        wall, cpu = statistics.median(walls[contender.name]), statistics.median(cpus[contender.name])
        per_host = f"{cpu / count * 1000:.0f} ms"
        print(f"| {contender.name} | {wall:.2f} s | {wall / floor:.1f}× | {per_host} | {commands[contender.name]} |")


def _run(contender: Contender, site: Site) -> tuple[float, float]:
    """Wall and CPU seconds of one run."""
    before, began = os.times(), time.monotonic()
    done = subprocess.run(
        contender.command, cwd=ROOT, env=environ_of(contender, site), capture_output=True, text=True, check=False
    )
    wall, after = time.monotonic() - began, os.times()
    if done.returncode:
        sys.exit(f"{contender.name} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, spent


if __name__ == "__main__":
    main()
