"""Ctrl-C, and worse, in the middle of a deploy: one sentence, and the next run ends where an undisturbed one does."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_site import INVENTORY, PROGRAM, ROOT, LocalSite


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSite]:
    site = LocalSite(tmp_path_factory.mktemp("jf") / "site")
    yield site
    assert site.run("down").returncode == 0


def start(site: LocalSite) -> subprocess.Popen[str]:
    """A deploy in a process group of its own, as a terminal would start it."""
    return subprocess.Popen(
        [str(PROGRAM), "up", str(INVENTORY)],
        cwd=ROOT,
        env=site.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def interrupt_at(site: LocalSite, reached: Path, how: signal.Signals) -> tuple[int, str]:
    """Send a signal to the whole group once a file is there."""
    running = start(site)
    give_up = time.monotonic() + 120
    while not reached.exists() and running.poll() is None and time.monotonic() < give_up:
        time.sleep(0.01)
    os.killpg(running.pid, how)
    said, _ = running.communicate(timeout=60)
    return running.returncode, said


def test_ctrl_c_while_packages_are_installed_ends_in_one_sentence(site: LocalSite) -> None:
    code, said = interrupt_at(site, site.home / "releases", signal.SIGINT)
    assert code == 130
    assert "Run the same command again" in said
    assert "Traceback" not in said
    assert not site.environment.exists()


@pytest.mark.parametrize("seed", range(6))
def test_a_deploy_that_is_killed_anywhere_is_finished_by_the_next_one(site: LocalSite, seed: int) -> None:
    running = start(site)
    time.sleep(random.Random(seed).uniform(0.5, 12))
    if running.poll() is None:
        os.killpg(running.pid, signal.SIGKILL)
    running.communicate(timeout=60)
    if site.environment.exists():
        assert (site.environment.resolve() / "jupyfleet-release.json").exists(), "a half-finished release is active"
    done = site.run("up")
    assert done.returncode == 0, done.stdout
    assert "nothing changed" in site.run("up").stdout
    if seed % 2:
        assert site.run("down").returncode == 0
