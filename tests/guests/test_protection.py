"""Firewall and SELinux of a guest: what is asked of a running firewalld and a running policy, told, and taken back.

The guest's policy is enforced: Debian's with three lines more, `debian_policy.cil`; Fedora's is not to be had here.
Nothing is deployed: the host scripts are run by themselves, as a deploy runs them.
"""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest

from deploy.components.workspace import Workspace
from deploy.facts.hostscript import source
from deploy.facts.machine import Machine
from deploy.settings import read_settings
from tests.machines.virtual_machine import VirtualMachine

pytestmark = pytest.mark.timeout(3600)

HOME = "/home/jupyter"
WORKSPACE = f"{HOME}/workspace"
SPEC = {"port": 8888, "zone": None, "home": HOME, "is_local": False}


def script(guest: VirtualMachine, module: str, function: str, spec: dict[str, Any]) -> Any:
    program = guest.directory / "program.py"
    program.write_text(source(module, function, spec, as_user="root"))
    subprocess.run([*guest.ssh_command(), "cat > /root/program.py"], stdin=program.open(), check=True, timeout=300)
    answer = json.loads(guest.ssh("python3 -I -S - < /root/program.py 2> /root/said").splitlines()[-1])
    assert "result" in answer, answer
    return answer["result"]


def test_a_policy_is_enforced(guest: VirtualMachine) -> None:
    guest.boot()
    assert guest.ssh("getenforce") == "Enforcing"
    assert ":sshd_exec_t:" in guest.ssh("ls -Z /usr/sbin/sshd")


def test_what_sets_labels_is_installed_where_there_are_some(guest: VirtualMachine) -> None:
    script(guest, "machine", "prepare", {"packages": ["git"], "user": "jupyter", "home": HOME})
    assert guest.ssh("dpkg-query --show --showformat='${db:Status-Status}' policycoreutils-python-utils") == "installed"


def test_a_share_is_mounted_with_a_label(guest: VirtualMachine) -> None:
    guest.ssh(f"mkdir -p {WORKSPACE}")
    assert guest.share is not None
    uid = int(guest.ssh("id -u jupyter"))
    subprocess.run(["chown", str(uid), str(guest.share)], check=True)
    data = {"jupyter_scope": "system", "jupyter_provider": "uv", "jupyter_workspace_mount": "virtiofs"}
    unit = Workspace(read_settings("guest", data), Machine(has_selinux=True)).mount_unit()
    spec = {"where": WORKSPACE, "tag": "workspace", "user": "jupyter", "unit": unit}
    script(guest, "share", "mount", spec)
    assert script(guest, "share", "look", spec) == {"actions": []}
    options = guest.ssh(f"findmnt --noheadings --output OPTIONS {WORKSPACE}")
    assert "context=system_u:object_r:user_home_t:s0" in options
    guest.ssh(f"touch {WORKSPACE}/note")
    assert ":user_home_t:" in guest.ssh(f"ls -Z {WORKSPACE}/note")


def test_port_and_programs_are_let_through_now_and_at_boot(guest: VirtualMachine) -> None:
    program = f"{HOME}/releases/one/bin/jupyter-lab"
    guest.ssh(
        f"mkdir -p $(dirname {program}); touch {program} {HOME}/releases/one/note; chown -R jupyter: {HOME}/releases"
    )
    assert len(script(guest, "protection", "look", SPEC)["actions"]) == 4
    script(guest, "protection", "adjust", SPEC)
    assert script(guest, "protection", "look", SPEC) == {"actions": []}
    for permanently in ("", "--permanent"):
        assert guest.ssh(f"firewall-cmd {permanently} --list-ports") == "8888/tcp"
    assert re.search(r"^http_port_t +tcp +.*\b8888\b", guest.ssh("semanage port --list --noheading"), re.MULTILINE)
    assert ":bin_t:" in guest.ssh(f"ls -Z {program}")
    assert ":user_home_t:" in guest.ssh(f"ls -Z {HOME}/releases/one/note")


def test_all_of_it_is_taken_back(guest: VirtualMachine) -> None:
    script(guest, "protection", "restore", SPEC)
    assert script(guest, "protection", "look_back", SPEC) == {"actions": []}
    assert guest.ssh("firewall-cmd --list-ports; firewall-cmd --permanent --list-ports") == ""
    assert (
        guest.ssh("semanage port --list --noheading --locallist; semanage fcontext --list --noheading --locallist")
        == ""
    )
    assert guest.ssh("getenforce") == "Enforcing", "nobody switched it off"
