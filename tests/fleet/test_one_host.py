"""The life of a host that is reached over SSH by an ordinary user, in the order in which the tests stand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from tests.fleet.conftest import Deployed
from tests.fleet.site import JUPYTER_PORT, SITE, Site


def test_one_command_makes_a_verified_server_of_a_bare_host(deployed: Deployed) -> None:
    done = deployed.first_up
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 checks ok, 1 skipped" in done.stdout
    assert f"http://{deployed.host.address}:{JUPYTER_PORT}/lab" in done.stdout


def test_everything_belongs_to_the_user_who_connects(deployed: Deployed) -> None:
    owners = deployed.host.shell(f"find {SITE} -not -user lab -o -not -group lab")
    assert owners == ""
    assert deployed.host.shell(f"stat -c %a {SITE}/.config/jupyfleet/token").strip() == "600"


def test_a_second_run_changes_nothing(deployed: Deployed) -> None:
    listing = f"find {SITE} -name __pycache__ -prune -o -not -path '*/run/*' -not -path '*/log*' -printf '%i %m %p\\n'"
    before = deployed.host.shell(listing)
    done = deployed.site.run("up")
    assert done.returncode == 0, done.stdout
    assert "nothing changed" in done.stdout
    assert deployed.host.shell(listing) == before


def test_a_second_run_and_all_its_checks_cost_one_connection_and_two_commands(deployed: Deployed) -> None:
    connections, commands = deployed.host.served()
    assert deployed.site.run("up").returncode == 0
    assert deployed.host.served() == (connections + 1, commands + 2)


def test_the_plan_is_empty_then_and_shows_what_another_setting_would_change(deployed: Deployed) -> None:
    assert "nothing changed" in deployed.site.run("plan").stdout
    planned = deployed.site.run("plan", jupyter_base_url="/lab1/")
    assert "+c.ServerApp.base_url = '/lab1/'" in planned.stdout
    assert "nothing changed" in deployed.site.run("plan").stdout


def test_stock_pyinfra_finds_nothing_to_do_either(deployed: Deployed) -> None:
    for entry in ("deploy/up.py", "deploy/verify.py"):
        done = deployed.site.pyinfra(entry)
        assert done.returncode == 0, done.stderr
        assert "] Success" not in done.stderr


def test_a_killed_server_fails_verify_and_is_mended_by_up(deployed: Deployed) -> None:
    deployed.host.shell("kill -9 $(ps -eo pid,comm | awk '$2 ~ /supervisord|jupyter-lab/ {print $1}')")
    done = deployed.site.run("verify", "--format", "junit", jupyter_mcp_room_idle_timeout=600)
    assert done.returncode == 1
    assert re.search('<testcase classname="first" name="jupyter-service" [^>]*>\n *<failure', done.stdout)
    assert deployed.site.run("up").returncode == 0


def test_down_takes_all_of_it_away_but_the_notebooks(copies: Callable[[int], Site]) -> None:
    site = copies(1)
    [host] = site.hosts
    assert site.run("up").returncode == 0
    host.shell(f"echo mine > {SITE}/workspace/mine.txt")
    done = site.run("down", "--json")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["ok"]
    assert host.shell(f"cd {SITE}; find . -type f | sort").split() == [
        "./workspace/mine.txt",
        "./workspace/welcome.ipynb",
    ]
    assert "jupyter" not in host.shell("ps -eo args")
