"""A guest for arm64 with systemd and a workspace of its hypervisor: what the processes of `tests/arm64` cannot show.

Its processor is emulated, and everything takes its time. The tests build on each other.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from testinfra.host import Host

from tests.machines.machine import where_the_time_went
from tests.machines.virtual_machine import VirtualMachine

pytestmark = pytest.mark.timeout(3600)

WORKSPACE = "/home/jupyter/workspace"
UNIT = "home-jupyter-workspace.mount"
NOTEBOOK = "lab/from-guest.ipynb"


@pytest.fixture(scope="module")
def guest(arm64_guest: VirtualMachine) -> VirtualMachine:
    return arm64_guest


def test_one_command_makes_a_server_with_notebooks_on_the_hypervisor(
    guest: VirtualMachine, seen: Host, share: Path
) -> None:
    guest.boot()
    assert guest.ssh("uname -m") == "aarch64"
    guest.ssh("useradd --create-home --shell /bin/bash jupyter")
    user = seen.user("jupyter")
    os.chown(share, user.uid, user.gid)
    done = guest.jupyfleet("up", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    [host] = json.loads(done.stdout)["hosts"]
    # Shown with -rP.
    print(where_the_time_went(host))
    assert seen.mount_point(WORKSPACE).filesystem == "virtiofs"
    assert seen.service(UNIT).is_enabled
    assert (share / "welcome.ipynb").exists()


def test_a_second_run_changes_nothing(guest: VirtualMachine) -> None:
    pid = guest.ssh("supervisorctl pid jupyter")
    assert set(guest.steps("up").values()) == {"unchanged"}
    assert guest.ssh("supervisorctl pid jupyter") == pid


def test_what_an_agent_runs_there_is_on_the_hypervisor(guest: VirtualMachine, share: Path) -> None:
    guest.mcp("notebook_create", path=NOTEBOOK)
    guest.mcp("cell_insert", path=NOTEBOOK, index=0, source="import platform; platform.machine()")
    assert "aarch64" in json.dumps(guest.mcp("cell_execute", path=NOTEBOOK, index=0))
    [cell] = json.loads((share / NOTEBOOK).read_text())["cells"]
    assert "aarch64" in json.dumps(cell["outputs"])


def test_after_a_reboot_the_share_is_there_before_the_server(guest: VirtualMachine) -> None:
    guest.reboot()
    guest.wait_until_it_serves()
    show = "systemctl show --value --property ActiveEnterTimestampMonotonic"
    mounted, started = (int(guest.ssh(f"{show} {unit}")) for unit in (UNIT, "supervisor"))
    assert 0 < mounted < started


def test_a_cut_of_the_power_loses_no_notebook(guest: VirtualMachine, share: Path) -> None:
    guest.mcp("cell_insert", path=NOTEBOOK, index=-1, source="'the last edit'")
    guest.cut_power()
    assert "the last edit" in (share / NOTEBOOK).read_text()
    guest.boot()
    guest.wait_until_it_serves()
    assert guest.mcp("cell_get", path=NOTEBOOK, index=-1)["source"] == "'the last edit'"


def test_down_unmounts_the_share_and_leaves_what_is_in_it(guest: VirtualMachine, seen: Host, share: Path) -> None:
    steps = guest.steps("down")
    assert (steps["Service"], steps["Workspace"], steps["Files"]) == ("changed", "changed", "changed")
    assert not seen.file(f"/etc/systemd/system/{UNIT}").exists
    assert not seen.mount_point(WORKSPACE).exists
    assert (share / NOTEBOOK).exists()
