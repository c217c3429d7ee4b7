"""Hosts that are full, slow, closed or dead to the world: bounded in time, said with its reason, and mended after."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.fleet.site import SITE, Site
from tests.local_site import ROOT, wait_until
from tests.machines.latency import far_away

Copies = Callable[[int], Site]


def test_a_full_disk_is_said_and_nothing_is_half_done(copies: Copies) -> None:
    site = copies(2)
    full, other = site.hosts
    full.shell("dd if=/dev/zero of=/home/lab/ballast bs=1M 2>/dev/null || true")
    results = site.results("up")
    assert results[full.name]["state"] == "failed"
    assert "No space left on device" in results[full.name]["reason"]
    assert results[other.name]["state"] == "changed"
    full.shell("rm /home/lab/ballast")
    assert site.states("up") == {full.name: "changed", other.name: "unchanged"}


def test_sudo_that_is_refused_is_said_before_anything_is_touched(copies: Copies) -> None:
    site = copies(1)
    [result] = site.results("up", jupyter_scope="system").values()
    assert result["state"] == "failed"
    assert "run sudo without a password" in result["reason"]


def test_a_host_far_away_only_takes_longer(copies: Copies) -> None:
    site = copies(2)
    far, near = site.hosts
    with far_away([far], round_trip=0.3) as ways:
        site.own |= ways
        assert site.states("up") == {far.name: "changed", near.name: "changed"}
        assert site.states("up") == {far.name: "unchanged", near.name: "unchanged"}


def test_a_slow_shell_only_takes_longer(copies: Copies) -> None:
    site = copies(1)
    [host] = site.hosts
    host.shell("printf '#!/bin/sh\\nsleep 0.5\\nexec /bin/bash \"$@\"\\n' > /home/lab/slow && chmod +x /home/lab/slow")
    host.shell("sed -i 's|/home/lab:/bin/bash|/home/lab:/home/lab/slow|' /etc/passwd", user="root")
    assert list(site.states("up").values()) == ["changed"]


def test_a_shell_that_talks_harms_nothing(copies: Copies) -> None:
    site = copies(1)
    site.hosts[0].shell("echo 'echo welcome to the lab; echo and to stderr >&2' > /home/lab/.bashrc")
    assert list(site.states("up").values()) == ["changed"]
    assert list(site.states("up").values()) == ["unchanged"]


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give hosts less time to answer than anybody would want outside of a test."""
    monkeypatch.setenv("JUPYFLEET_ANSWER_SECONDS", "20")


def test_a_host_that_stands_still_is_given_up_and_holds_up_nobody(copies: Copies, hurried: None) -> None:
    site = copies(2)
    still, other = site.hosts
    assert set(site.states("up").values()) == {"changed"}
    still.pause()
    results = site.results("verify")
    assert results[still.name]["state"] == "unreachable"
    assert results[other.name]["state"] == "ok"
    assert results[other.name]["seconds"] < results[still.name]["seconds"]
    still.resume()
    assert set(site.states("verify").values()) == {"ok"}


def test_a_host_that_stops_answering_in_the_middle_is_given_up(copies: Copies) -> None:
    """A change may take long, so it is not its time that ends it, but that the host gives no sign of life."""
    site = copies(1)
    [host] = site.hosts
    running = subprocess.Popen(
        site.command("up", "--json"), cwd=ROOT, env=site.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_until(lambda: "jupyfleet:service.ensure" in host.shell("ps -eo args"), "the server is being started")
    host.pause()
    said, _ = running.communicate(timeout=300)
    assert b"the connection to the host was lost" in said
    host.resume()
    assert next(iter(site.states("up").values())) in ("changed", "unchanged")
    assert host.path(f"{SITE}/.config/jupyfleet/token").exists()
