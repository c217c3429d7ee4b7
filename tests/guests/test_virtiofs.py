"""A guest whose notebooks are in a directory of its hypervisor, from the first boot to the end.

It has a firewall and a policy of SELinux, enforced, which is Debian's with three lines more, `debian_policy.cil`;
Fedora's own is not to be had here. The guest is emulated, so everything takes its time. The tests build on each other.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from fastmcp.exceptions import ToolError
from testinfra.host import Host

from tests.local_site import wait_until
from tests.machines.machine import where_the_time_went
from tests.machines.virtual_machine import VirtualMachine

pytestmark = pytest.mark.timeout(3600)

HOME = "/home/jupyter"
WORKSPACE = f"{HOME}/workspace"
UNIT = "home-jupyter-workspace.mount"
#: Seconds until something is seen on an emulated machine.
PATIENCE = 300


def reason(guest: VirtualMachine, command: str) -> str:
    """Why a command fails on the guest."""
    done = guest.jupyfleet(command, "--json")
    assert done.returncode == 1, done.stdout + done.stderr
    return str(json.loads(done.stdout)["hosts"][0]["reason"])


def test_without_a_share_nothing_is_served_from_the_directory_underneath(
    guest: VirtualMachine, seen: Host, share: Path
) -> None:
    guest.share = None
    guest.boot()
    said = reason(guest, "up")
    assert said.startswith(f"the share with tag workspace cannot be mounted at {WORKSPACE}. Attach it to this machine")
    assert not seen.file(f"{HOME}/releases").exists, "the environment comes later"
    assert seen.file(WORKSPACE).user == "root", "so that nobody writes into it by mistake"
    guest.shut_down()


def test_a_share_of_another_user_is_explained(guest: VirtualMachine, share: Path) -> None:
    guest.share = share
    os.chown(share, 4711, 4711)
    guest.boot()
    uid = int(guest.ssh("id -u jupyter"))
    said = reason(guest, "up")
    assert said.startswith(f"the share at {WORKSPACE} belongs to uid 4711, and jupyter is uid {uid} here.")
    os.chown(share, uid, uid)


def test_one_command_makes_a_server_with_notebooks_on_the_hypervisor(
    guest: VirtualMachine, seen: Host, share: Path
) -> None:
    done = guest.jupyfleet("up", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    [host] = json.loads(done.stdout)["hosts"]
    # Shown with -rP.
    print(where_the_time_went(host))
    assert (share / "welcome.ipynb").exists()
    assert seen.mount_point(WORKSPACE).filesystem == "virtiofs"
    assert seen.service(UNIT).is_enabled
    zone = guest.ssh("firewall-cmd --get-default-zone")
    for permanent in ("", "--permanent"):
        assert guest.ssh(f"firewall-cmd {permanent} --zone={zone} --list-ports") == "8888/tcp"
    assert seen.socket("tcp://0.0.0.0:8888").is_listening


def test_a_second_run_changes_nothing(guest: VirtualMachine) -> None:
    pid = guest.ssh("supervisorctl pid jupyter")
    assert set(guest.steps("up").values()) == {"unchanged"}
    assert guest.ssh("supervisorctl pid jupyter") == pid


def test_what_runs_and_where_it_listens_is_labelled(guest: VirtualMachine) -> None:
    assert guest.ssh("getenforce") == "Enforcing"
    assert re.search(r"^http_port_t\s+tcp\s.*\b8888\b", guest.ssh("semanage port --list"), re.MULTILINE)
    for program in (".pixi/envs/default/bin/jupyter-lab", ".pixi/envs/default/bin/jupyter"):
        assert ":bin_t:" in guest.ssh(f"ls -ZL {HOME}/{program}"), "the rule, and what restorecon made of it"
    assert guest.ssh(f"restorecon -R -n -v {HOME}/releases") == "", "no label is other than the policy has it"
    [options] = guest.ssh(f"findmnt --noheadings --output OPTIONS {WORKSPACE}").splitlines()
    assert ":user_home_t:" in options
    assert ":user_home_t:" in guest.ssh(f"ls -Z {WORKSPACE}/welcome.ipynb")


def test_notebooks_are_seen_from_both_sides(guest: VirtualMachine, share: Path) -> None:
    guest.mcp("notebook_create", path="lab/from-guest.ipynb")
    guest.mcp("cell_insert", path="lab/from-guest.ipynb", index=0, source="6 * 7")
    outputs = guest.mcp("cell_execute", path="lab/from-guest.ipynb", index=0)
    assert "42" in json.dumps(outputs)
    on_the_hypervisor = json.loads((share / "lab/from-guest.ipynb").read_text())
    assert "".join(on_the_hypervisor["cells"][0]["source"]) == "6 * 7"
    assert "42" in json.dumps(on_the_hypervisor["cells"][0]["outputs"])
    other = share / "from-hypervisor.ipynb"
    other.write_text((share / "lab/from-guest.ipynb").read_text())
    os.chown(other, share.stat().st_uid, share.stat().st_gid)
    names = [entry["path"] for entry in guest.mcp("notebook_list")]
    assert {"lab/from-guest.ipynb", "from-hypervisor.ipynb"} <= set(names)
    assert guest.mcp("cell_get", path="from-hypervisor.ipynb", index=0)["source"] == "6 * 7"


@pytest.mark.parametrize("days", [400, -400])
def test_a_clock_that_jumps_harms_nothing(guest: VirtualMachine, share: Path, days: int) -> None:
    """Forward and back again, and the other way round; a server that is started meanwhile believes the clock."""
    name = f"lab/jump{days}.ipynb"
    guest.ssh(f"date --set='{days} days'")
    guest.mcp("notebook_create", path=name)
    guest.mcp("cell_insert", path=name, index=0, source="'in another year'")
    guest.ssh("kill -9 $(supervisorctl pid jupyter)")
    guest.wait_until_it_serves()
    guest.ssh(f"date --set='{-days} days'")
    guest.wait_until_it_serves()
    guest.mcp("cell_insert", path=name, index=-1, source="'today'")
    cells = ["".join(cell["source"]) for cell in json.loads((share / name).read_text())["cells"]]
    assert cells[0] == "'in another year'"
    assert cells[-1] == "'today'"
    # A server that seems older than its token is restarted once.
    guest.steps("up")
    assert set(guest.steps("up").values()) == {"unchanged"}


def test_a_share_that_goes_while_the_server_runs_is_missed_and_nothing_is_lost(
    guest: VirtualMachine, share: Path
) -> None:
    """A cell goes on printing while the share is away; what it printed is in the share when that is back."""
    notebook, ended = share / "lab/held.ipynb", "/tmp/ended"
    source = f"""
import pathlib, time
for n in range(20):
    print("line", n, flush=True)
    time.sleep(1)
pathlib.Path("{ended}").touch()
"""
    guest.mcp("notebook_create", path="lab/held.ipynb")
    guest.mcp("cell_insert", path="lab/held.ipynb", index=0, source=source)
    guest.mcp("cell_execute", path="lab/held.ipynb", index=0, timeout=0)
    wait_until(lambda: "line 0" in notebook.read_text(), "the cell runs", PATIENCE)
    guest.ssh(f"umount --lazy {WORKSPACE}")
    wait_until(lambda: guest.ssh(f"test -e {ended} && echo yes || true") == "yes", "it ended", PATIENCE)
    before = notebook.read_text()
    assert "line 19" not in before
    with pytest.raises(ToolError, match="There is no notebook"):
        guest.mcp("cell_insert", path="lab/held.ipynb", index=0, source="'while it is away'")
    assert guest.ssh(f"ls -A {WORKSPACE}") == "", "nothing is written underneath"
    assert "is not mounted from tag workspace" in guest.checks()["workspace-dir"]
    assert notebook.read_text() == before
    pid = guest.ssh("supervisorctl pid jupyter")
    guest.steps("up")
    wait_until(lambda: "line 19" in notebook.read_text(), "what could not be saved is in the share", PATIENCE)
    assert not {result for result in guest.checks().values() if result.startswith("failed")}
    assert guest.ssh("supervisorctl pid jupyter") == pid
    guest.mcp("notebook_create", path="lab/later.ipynb")
    guest.mcp("cell_insert", path="lab/later.ipynb", index=0, source="import os; os.getcwd()")
    outputs = guest.mcp("cell_execute", path="lab/later.ipynb", index=0, timeout=PATIENCE)
    assert f"{WORKSPACE}/lab" in json.dumps(outputs), "new kernels start in the share that is there now"


def test_after_a_reboot_the_share_is_there_before_the_server(guest: VirtualMachine) -> None:
    guest.reboot()
    guest.wait_until_it_serves()
    show = "systemctl show --value --property ActiveEnterTimestampMonotonic"
    mounted, started = (int(guest.ssh(f"{show} {unit}")) for unit in (UNIT, "supervisor"))
    assert 0 < mounted < started
    assert "cycle" not in guest.ssh("journalctl --boot --no-pager --grep 'ordering cycle' || true")


def test_a_cut_of_the_power_loses_no_notebook(guest: VirtualMachine, share: Path) -> None:
    guest.mcp("cell_insert", path="lab/from-guest.ipynb", index=-1, source="'the last edit'")
    guest.cut_power()
    assert "the last edit" in (share / "lab/from-guest.ipynb").read_text()
    guest.boot()
    guest.wait_until_it_serves()
    assert guest.mcp("cell_get", path="lab/from-guest.ipynb", index=-1)["source"] == "'the last edit'"


def test_a_share_that_is_missing_at_boot_is_waited_for(guest: VirtualMachine, seen: Host, share: Path) -> None:
    guest.shut_down()
    guest.share = None
    guest.boot()
    checks = guest.checks()
    assert "is not mounted from tag workspace" in checks["workspace-dir"]
    assert "not starting before it is" in checks["jupyter-service"]
    assert not seen.socket("tcp://0.0.0.0:8888").is_listening
    assert guest.ssh(f"ls -A {WORKSPACE}") == ""
    guest.shut_down()
    guest.share = share
    guest.boot()
    guest.wait_until_it_serves()


def test_a_share_that_goes_and_comes_back_is_survived(guest: VirtualMachine) -> None:
    guest.ssh(f"supervisorctl stop jupyter; systemctl stop {UNIT}; supervisorctl start jupyter", check=False)
    waits = lambda: "BACKOFF" in guest.ssh("supervisorctl status jupyter || true")  # noqa: E731
    wait_until(waits, "the server waits", PATIENCE)
    guest.ssh(f"systemctl start {UNIT}")
    guest.wait_until_it_serves()


def test_a_share_that_is_read_only_is_reported(guest: VirtualMachine) -> None:
    guest.shut_down()
    guest.share_is_read_only = True
    guest.boot()
    assert "is a share that is read-only" in guest.checks()["workspace-dir"]
    assert reason(guest, "up").startswith(f"the share at {WORKSPACE} is read-only.")
    guest.shut_down()
    guest.share_is_read_only = False
    guest.boot()
    guest.wait_until_it_serves()


def test_down_unmounts_the_share_and_leaves_what_is_in_it(guest: VirtualMachine, seen: Host, share: Path) -> None:
    assert guest.steps("down") == dict.fromkeys(("Service", "Firewall", "Workspace", "Files"), "changed")
    assert not seen.file(f"/etc/systemd/system/{UNIT}").exists
    assert not seen.mount_point(WORKSPACE).exists
    assert guest.ssh("firewall-cmd --list-ports; firewall-cmd --permanent --list-ports") == ""
    assert (
        guest.ssh("semanage port --list --noheading --locallist; semanage fcontext --list --noheading --locallist")
        == ""
    )
    assert "the last edit" in (share / "lab/from-guest.ipynb").read_text()
