"""Thirty hosts at once, each with a real JupyterLab."""

from __future__ import annotations

from collections.abc import Callable

from tests.fleet.site import SITE, Site

COUNT = 30


def test_thirty_hosts_are_deployed_verified_and_left_alone(copies: Callable[[int], Site]) -> None:
    site = copies(COUNT)
    first = site.results("up", "--parallel", "4")
    assert {host["state"] for host in first.values()} == {"changed"}, first
    assert all(check["status"] != "failed" for host in first.values() for check in host["checks"])
    assert {host["state"] for host in site.results("up", "--parallel", "4").values()} == {"unchanged"}
    tokens = {host.shell(f"cat {SITE}/.config/jupyfleet/token") for host in site.hosts}
    assert len(tokens) == COUNT
