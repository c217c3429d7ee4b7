"""``python -m tests.benchmarks_fleet``: deploy hosts of our own, then measure everyone on them, several times in turn.

All hosts, the controller and the line share this machine's cores, which favours nobody: the ratios are what counts.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks_fleet import goals
from tests.benchmarks_fleet.contenders import contenders
from tests.benchmarks_fleet.growth import names_of_one_host
from tests.benchmarks_fleet.measure import measure, measure_growth
from tests.fleet.site import SITE, Site
from tests.machines import sshd_hosts
from tests.machines.latency import far_away
from tests.machines.sshd_hosts import Network, SshdHost

#: How many hosts are behind a line with a delay, and how many names the growth is measured with.
BEHIND_A_LINE = 10
GROWTH = (30, 100, 300)


def main() -> None:
    arguments = _arguments()
    if reason := sshd_hosts.why_not():
        sys.exit(f"no hosts can be made here: {reason}")
    with (
        tempfile.TemporaryDirectory(prefix="jupyfleet-bench-") as name,
        Network(Path(name) / "net") as network,
    ):
        directory = Path(name)
        hosts = _deployed(network, directory, max([*arguments.hosts, BEHIND_A_LINE if arguments.rtt else 1]))
        for count in arguments.hosts:
            site = Site(directory / f"site{count}", hosts[:count])
            everyone = contenders(site, directory / f"others{count}")
            print(goals.table(measure(site, everyone, arguments.rounds), count, rtt=0), flush=True)
        if arguments.rtt:
            site = Site(directory / "line", hosts[:BEHIND_A_LINE])
            with far_away(site.hosts, arguments.rtt / 1000) as ways:
                site.own |= ways
                figures = measure(site, contenders(site, directory / "others-line"), arguments.rounds)
            print(goals.table(figures, len(site.hosts), rtt=arguments.rtt), flush=True)
        if arguments.growth:
            sites = [names_of_one_host(directory / f"names{count}", hosts[0], count) for count in GROWTH]
            print(goals.growth_table(measure_growth(sites)), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-fleet BENCH='…'", description=__doc__)
    parser.add_argument("--hosts", type=int, nargs="*", default=[1, 10, 30], help="how many hosts, one table for each")
    parser.add_argument(
        "--rounds", type=int, default=3, help="how often everyone is measured, Ansible a third of it; medians are told"
    )
    parser.add_argument(
        "--rtt", type=float, default=0, help=f"{BEHIND_A_LINE} hosts behind a round trip of so many milliseconds, too"
    )
    parser.add_argument("--growth", action="store_true", help=f"plan over {GROWTH} names of one host, too")
    return parser.parse_args()


def _deployed(network: Network, directory: Path, count: int) -> Sequence[SshdHost]:
    """So many hosts, each with a server of its own that runs."""
    first = network.host("first")
    _must(Site(directory / "model", [first]), "up")
    with contextlib.ExitStack() as stack:
        without = [f"{SITE}/{name}" for name in ("run", "log", ".jupyfleet.deploy")]
        image = stack.enter_context(sshd_hosts.image_of(first, without))
        first.stop()
        hosts = network.start([f"bench{number:03}" for number in range(count)], image=image)
        # Their files are on it as long as they run.
        network.keep(stack.pop_all())
    print(f"deploying {count} hosts", file=sys.stderr)
    _must(Site(directory / "all", hosts), "up", "--parallel", str(2 * (os.cpu_count() or 1)))
    return hosts


def _must(site: Site, command: str, *options: str) -> None:
    done = site.run(command, *options)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


if __name__ == "__main__":
    main()
