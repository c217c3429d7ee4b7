"""What is wrong with one host is said of that host, with what to do, and harms no other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fleet.site import SITE, Site
from tests.local_site import ROOT, wait_until
from tests.machines.sshd_hosts import PORT, Network, SshdHost, make_key

Copies = Callable[[int], Site]


def known(site: Site, host: SshdHost, *keys: Path) -> None:
    """Have one host looked up in a file of its own, with the keys given."""
    file = site.directory / f"{host.name}-known"
    file.write_text("".join(f"[{host.address}]:{PORT} {key.read_text()}" for key in keys))
    site.own[host.name] = {"ssh_known_hosts_file": str(file)}


def test_a_host_that_nobody_vouched_for_is_not_talked_to(copies: Copies) -> None:
    site = copies(2)
    known(site, site.hosts[0])
    results = site.results("plan")
    assert [host["state"] for host in results.values()] == ["unreachable", "planned"]
    reason = next(iter(results.values()))["reason"]
    assert "the key of this host is unknown" in reason
    assert "ssh-keygen -lf" in reason
    assert (site.directory / f"{site.hosts[0].name}-known").read_text() == "", "nobody may be trusted on first sight"


def test_a_host_whose_key_changed_is_not_talked_to(copies: Copies, tmp_path: Path) -> None:
    site = copies(2)
    make_key(tmp_path / "other")
    known(site, site.hosts[1], tmp_path / "other.pub")
    results = site.results("plan")
    assert [host["state"] for host in results.values()] == ["planned", "unreachable"]
    reason = list(results.values())[1]["reason"]
    assert "another key" in reason
    assert f"ssh-keygen -R '[{site.hosts[1].address}]:{PORT}'" in reason


def test_hosts_that_are_down_or_refuse_the_user_are_unreachable(copies: Copies, tmp_path: Path) -> None:
    site = copies(3)
    site.hosts[0].stop()
    make_key(tmp_path / "stranger")
    site.own[site.hosts[1].name] = {"ssh_key": str(tmp_path / "stranger"), "ssh_allow_agent": False}
    results = list(site.results("plan").values())
    assert [host["state"] for host in results] == ["unreachable", "unreachable", "planned"]
    assert "Is it up" in results[0]["reason"]
    assert "refuses lab" in results[1]["reason"]
    assert site.run("plan").returncode == 1


def test_when_the_canary_fails_no_other_host_is_touched(copies: Copies) -> None:
    site = copies(3)
    site.own[site.hosts[0].name] = {"jupyter_port": 80}
    before = [host.served() for host in site.hosts]
    results = list(site.results("up", "--canary", "1").values())
    assert [host["state"] for host in results] == ["failed", "skipped", "skipped"]
    assert "port 80 needs root" in results[0]["reason"]
    assert f"the canary {site.hosts[0].name}" in results[1]["reason"]
    assert [host.served() for host in site.hosts[1:]] == before[1:]


def test_after_too_many_failures_no_further_host_is_begun(copies: Copies) -> None:
    site = copies(4)
    for host in site.hosts[:2]:
        site.own[host.name] = {"jupyter_port": 80}
    results = list(site.results("up", "--serial", "--max-failures", "1").values())
    assert [host["state"] for host in results] == ["failed", "failed", "skipped", "skipped"]


def test_a_failed_host_harms_no_other(copies: Copies) -> None:
    site = copies(2)
    site.own[site.hosts[0].name] = {"jupyter_port": 80}
    assert list(site.states("up").values()) == ["failed", "changed"]
    site.own.clear()
    assert list(site.states("up").values()) == ["changed", "unchanged"]


@pytest.fixture
def at_work(copies: Copies) -> Iterator[tuple[Site, subprocess.Popen[bytes]]]:
    """A deploy that has begun to change a host, and goes no further."""
    site = copies(1)
    # The host's tree cannot be finished while this is in the way of its last file.
    running = subprocess.Popen(
        site.command("up"), cwd=ROOT, env=site.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    [host] = site.hosts
    wait_until(lambda: host.path(f"{SITE}/.jupyfleet.deploy").exists(), "the host is held")
    os.kill(running.pid, signal.SIGSTOP)
    yield site, running
    running.kill()
    running.wait()


def test_two_deploys_at_once_are_refused_and_death_releases(at_work: tuple[Site, subprocess.Popen[bytes]]) -> None:
    site, running = at_work
    [second] = site.results("up").values()
    assert second["state"] == "failed"
    assert "another deploy is at work on this host: " in second["reason"]
    assert f", process {running.pid}, since 20" in second["reason"]
    running.kill()
    running.wait()
    [third] = site.results("up").values()
    assert third["state"] == "changed", third["reason"]


def test_a_connection_that_is_dropped_at_any_moment_is_said_in_a_sentence(copies: Copies) -> None:
    site = copies(1)
    [host] = site.hosts
    for moment in range(12):
        running = subprocess.Popen(
            site.command("up", "--json"), cwd=ROOT, env=site.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        wait_until(lambda: bool(host.serves_connections()), "it is connected")
        time.sleep(moment * 0.04)
        host.drop_connections()
        said, errors = running.communicate(timeout=300)
        [result] = json.loads(said)["hosts"]
        assert running.returncode == 0 or result["reason"], result
        assert not any(words in result["reason"] for words in ("unexpected", "No hosts", "result", "refuses lab")), (
            result
        )
        assert b"Traceback" not in errors
        wait_until(lambda: "jupyfleet:" not in host.shell("ps -eo args"), "nothing of that run works on the host")
    assert list(site.states("up").values()) in (["changed"], ["unchanged"])


def test_a_host_that_drops_the_connection_is_said_to_and_mended(copies: Copies, network: Network) -> None:
    site = copies(1)
    [host] = site.hosts
    running = subprocess.Popen(
        site.command("up", "--json"), cwd=ROOT, env=site.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_until(lambda: host.path(f"{SITE}/.jupyfleet.deploy").exists(), "the host is held")
    host.drop_connections()
    said, _ = running.communicate(timeout=300)
    assert running.returncode == 1
    assert b"the connection to the host was lost" in said
    wait_until(lambda: "jupyfleet:" not in host.shell("ps -eo args"), "nothing of that run works on the host any more")
    assert list(site.states("up").values()) == ["changed"]
