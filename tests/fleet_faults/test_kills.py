"""A deploy that is killed at random points of every stage: the next run ends where an undisturbed one does.

Each chain takes one host from a broken installation to a site that works, and kills every run on the way: the
controller, the command on the host, or the connection. Only the last run is left alone. Chains run side by side, as
half of their time is waiting for the point at which to kill.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fleet.site import SITE, Site
from tests.local_site import ROOT
from tests.machines.sshd_hosts import SshdHost

Copies = Callable[[int], Site]

#: What runs on the host in each stage, about how many seconds it takes there on a machine at rest, and what has to be
#: broken for it to have something to do, however far the runs before have come.
STAGES = {
    "look.answer": (0.3, "true"),
    "deploy_lock.hold": (0.2, "rm -rf .pixi/envs/default"),
    "environment.build": (6.0, "rm -f releases/*/jupyfleet-release.json"),
    "tree.apply": (0.2, "rm -f .config/jupyfleet/jupyter/jupyter_server_config.py"),
    "releases.activate": (0.2, "rm -f .pixi/envs/default"),
    "service.ensure": (3.0, "kill -9 $(pgrep -x supervisord) || true"),
    "probe.main": (2.0, "true"),
}
SEEDS = range(3)
ATTEMPTS = 4
#: How often a run was killed, by how and in which stage.
_kills: list[tuple[str, str]] = []


def kill_controller(running: subprocess.Popen[bytes], host: SshdHost, stage: str) -> None:
    """By Ctrl-C and for good, in turn."""
    os.killpg(running.pid, signal.SIGINT if len(_kills) % 2 else signal.SIGKILL)


def kill_command(running: subprocess.Popen[bytes], host: SshdHost, stage: str) -> None:
    for pid in at_work(host, stage):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def cut_connection(running: subprocess.Popen[bytes], host: SshdHost, stage: str) -> None:
    host.drop_connections()


HOWS = {"controller": kill_controller, "command": kill_command, "connection": cut_connection}


def at_work(host: SshdHost, stage: str) -> list[int]:
    """The host's Pythons that are in a stage, in our numbers."""
    found = []
    for pid in host.processes():
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if words[:1] == [b"python3"] and f"jupyfleet:{stage}".encode() in words:
                found.append(pid)
    return found


def killed(site: Site, stage: str, how: str, delay: float) -> bool:
    """Run `up` and kill it some time into a stage; whether it came to that."""
    [host] = site.hosts
    running = subprocess.Popen(
        site.command("up"),
        cwd=ROOT,
        env=site.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not at_work(host, stage):
            if running.poll() is not None:
                return False
            time.sleep(0.02)
        # A point in time is what is wanted here: nothing is waited for.
        time.sleep(delay)
        HOWS[how](running, host, stage)
        running.wait(timeout=600)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait(timeout=60)
    _kills.append((how, stage))
    return True


def state(host: SshdHost) -> str:
    """What is on a host, but for what a server writes while it runs, and secrets."""
    left_out = r"\( -name __pycache__ -o -path './run' -o -path './log' -o -path './share/jupyter' \) -prune"
    listing = rf"cd {SITE} && find . {left_out} -o -printf '%y %m %u %p %l\n' | sort"
    hashes = f"cd {SITE}/.config/jupyfleet && find . -type f ! -name token | sort | xargs sha256sum"
    return (host.shell(listing) + host.shell(hashes)).replace(host.address, "ADDRESS")


def give_work(host: SshdHost, stage: str) -> None:
    """Break what a stage is there to mend."""
    host.shell(f"cd {SITE} && {STAGES[stage][1]}")


@pytest.mark.parametrize("how", HOWS)
def test_deploys_killed_in_every_stage_end_where_an_undisturbed_one_does(copies: Copies, how: str) -> None:
    together = copies(1 + len(SEEDS))
    straight, *sites = [Site(together.directory / host.name, [host]) for host in together.hosts]
    with ThreadPoolExecutor() as pool:
        chains = [pool.submit(chain, site, how, seed) for site, seed in zip(sites, SEEDS, strict=True)]
        give_work(straight.hosts[0], "environment.build")
        assert straight.run("up").returncode == 0
        for each in chains:
            each.result()
    for site in sites:
        found = state(site.hosts[0])
        # Configurations differ in the address alone, and in what is made from it.
        assert _without_digests(found) == _without_digests(state(straight.hosts[0]))
        assert ".jupyfleet-new" not in found


def chain(site: Site, how: str, seed: int) -> None:
    """Kill a run in each stage, one after the other, and then let one come to its end."""
    chance = random.Random(f"{how}{seed}")
    [host] = site.hosts
    for stage, (seconds, _) in STAGES.items():
        # A stage can be over between two looks at a host's processes: then there was nothing to kill, once more.
        for _ in range(ATTEMPTS):
            give_work(host, stage)
            if killed(site, stage, how, chance.uniform(0, seconds)):
                break
        else:
            pytest.fail(f"no run came to {stage}")
    done = site.run("up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing changed" in site.run("plan").stdout


def _without_digests(text: str) -> list[str]:
    """Paths, kinds, modes and owners; the digests of files that name the host's address differ."""
    return [line for line in text.splitlines() if not line[:64].isalnum() or len(line.split()[0]) != 64]


def test_that_was_often_enough_to_mean_something() -> None:
    assert len(_kills) >= 50, _kills
    assert {how for how, _ in _kills} == set(HOWS)
    assert {stage for _, stage in _kills} == set(STAGES)
