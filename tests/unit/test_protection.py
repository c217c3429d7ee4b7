"""What programs of the firewall and of SELinux print, and what is made of it."""

from __future__ import annotations

import re

import pytest

from jupyfleet_host import firewalld, selinux

#: As `semanage port --list --noheading` prints it.
LISTING = """\
hplip_port_t                   tcp      1782, 2207, 2208, 8290, 8292, 9100, 9101, 9102, 9220-9222, 9280
http_cache_port_t              udp      3130
http_port_t                    tcp      9443, 80, 81, 443, 488, 8008, 8009, 8443, 9000
unreserved_port_t              tcp      61001-65535, 1024-32767
unreserved_port_t              udp      61001-65535, 1024-32767
"""


@pytest.mark.parametrize(
    ("label", "expected"), [("http_port_t", {80, 81, 443, 488, 8008, 8009, 8443, 9000, 9443}), ("ssh_port_t", set())]
)
def test_the_tcp_ports_of_a_label(label: str, expected: set[int]) -> None:
    assert selinux.ports(LISTING, label) == expected


def test_a_range_is_all_of_its_ports() -> None:
    assert {9220, 9221, 9222} < selinux.ports(LISTING, "hplip_port_t")


def test_a_port_that_the_policy_gave_away_is_told_from_one_in_a_range_of_defaults() -> None:
    assert selinux.is_known(9100, LISTING)
    assert not selinux.is_known(8888, LISTING)
    assert not selinux.is_known(3130, LISTING), "that one is of udp"


@pytest.mark.parametrize(
    "program", ["releases/0a1b/bin/jupyter-lab", "tools/uv/bin/uv", ".pixi/bin/pixi", "releases/0a1b/x/bin/y/z"]
)
def test_the_rule_is_about_programs(program: str) -> None:
    assert re.fullmatch(selinux.pattern("/home/jupyter"), f"/home/jupyter/{program}")


@pytest.mark.parametrize("path", ["workspace/bin/x", "releases/0a1b/lib/x.py", "releases/0a1b/sbin/x", "xpixi/bin/y"])
def test_the_rule_is_about_nothing_else(path: str) -> None:
    assert not re.fullmatch(selinux.pattern("/home/jupyter"), f"/home/jupyter/{path}")


def test_a_home_is_no_regular_expression() -> None:
    assert not re.fullmatch(selinux.pattern("/srv/a.b"), "/srv/aXb/tools/bin/x")


def test_what_restorecon_would_do_is_told_from_what_else_it_says() -> None:
    would = "Would relabel /home/jupyter/tools/bin/x from system_u:object_r:user_home_t:s0 to …:bin_t:s0\n"
    assert selinux.mislabelled(would)
    assert not selinux.mislabelled("restorecon: 12k files\n")


def test_the_interface_that_leads_out() -> None:
    head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    local = "eth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    assert firewalld.interface_of_default_route(head + local) is None
    default = "eth1\t00000000\t0202000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    assert firewalld.interface_of_default_route(head + local + default) == "eth1"
