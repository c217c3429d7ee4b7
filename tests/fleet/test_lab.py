"""The worked inventory of a lab, deployed as it is: names, groups, host keys, and a jump host."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fleet.site import SITE
from tests.local_site import PATIENCE, PROGRAM, ROOT
from tests.machines.sshd_hosts import PORT, USER, Network, SshdHost

NAME = "lab1.example.org"
#: What differs here from a lab: hosts have no systemd, so there is no system scope, and one network for all.
HERE = {
    "ssh_user": USER,
    "jupyter_scope": "user",
    "jupyter_home": SITE,
    "jupyter_provider": "uv",
    "jupyter_uv": "/usr/local/bin/uv",
}


@dataclass
class Lab:
    """A copy of inventories/lab.py, and a person with an SSH configuration."""

    directory: Path
    jump: SshdHost
    host: SshdHost

    def run(self, command: str, *options: str) -> subprocess.CompletedProcess[str]:
        data = [f"--data={key}={value}" for key, value in (HERE | {"jupyter_bind": self.host.address}).items()]
        return subprocess.run(
            [str(PROGRAM), command, str(self.directory / "lab.py"), "--limit", NAME, *options, *data],
            cwd=ROOT,
            env=_environ(self.directory),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )


def _environ(directory: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"}
    return kept | {"HOME": str(directory / "home"), "XDG_STATE_HOME": str(directory / "state")}


@pytest.fixture
def lab(bare: Callable[[], SshdHost], network: Network, tmp_path: Path) -> Lab:
    jump, host = bare(), bare()
    for name in ("lab.py", "group_data"):
        source = ROOT / "inventories" / name
        shutil.copytree(source, tmp_path / name) if source.is_dir() else shutil.copy(source, tmp_path / name)
    lines = network.known_hosts.read_text().splitlines()
    for file, address in (("known_hosts", host.address), ("known_jump_hosts", jump.address)):
        (tmp_path / file).write_text("".join(f"{line}\n" for line in lines if f"[{address}]" in line))
    ssh = tmp_path / "home/.ssh"
    ssh.mkdir(parents=True, mode=0o700)
    (ssh / "config").write_text(
        f"Host {NAME}\n  HostName {host.address}\n  Port {PORT}\n  IdentityFile {network.keys / 'client'}\n"
        "  ProxyJump bastion.example.org\n"
        f"Host bastion.example.org\n  HostName {jump.address}\n  Port {PORT}\n  User {USER}\n"
        f"  IdentityFile {network.keys / 'client'}\n  UserKnownHostsFile {tmp_path / 'known_jump_hosts'}\n"
    )
    return Lab(tmp_path, jump, host)


def test_the_worked_lab_is_deployed_and_verified_through_a_jump_host(lab: Lab) -> None:
    done = lab.run("up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 checks ok, 1 skipped" in done.stdout
    connections, commands = lab.jump.served()
    assert connections > 0, "the way leads through the jump host"
    assert commands == 0, "where nothing is run"
    # What the group of the host asks for beside the profile.
    lab.host.shell(f"{SITE}/.pixi/envs/default/bin/python -c 'import altair'")
    assert "nothing changed" in lab.run("plan").stdout


def test_what_a_command_decides_in_the_ssh_configuration_counts(lab: Lab, tmp_path: Path) -> None:
    """`Match exec` is run as ssh runs it, by the user's shell, and its output and its questions concern nobody."""
    config = tmp_path / "home/.ssh/config"
    ways = config.read_text()
    asked = tmp_path / "asked"
    config.write_text(f'Match exec "read answer; echo %n >> {asked}; test -e {tmp_path}/elsewhere"\n  Port 1\n{ways}')
    assert lab.run("plan").returncode == 0
    assert set(asked.read_text().split()) == {NAME, "bastion.example.org"}
    (tmp_path / "elsewhere").touch()
    [host] = json.loads(lab.run("plan", "--json").stdout)["hosts"]
    assert host["state"] == "unreachable", "what matches first holds: port 1"


@pytest.mark.parametrize(
    "text", ["Host *\n  Nonsense\n", "Host *\n  Port many\n", "Include config\n", "Host *\n  ProxyCommand false\n"]
)
def test_what_is_wrong_with_an_ssh_configuration_is_said_in_a_sentence(lab: Lab, tmp_path: Path, text: str) -> None:
    (tmp_path / "home/.ssh/config").write_text(text)
    done = lab.run("plan", "--json")
    [host] = json.loads(done.stdout)["hosts"]
    assert host["state"] == "unreachable"
    assert "SSH configuration" in host["reason"] or "ProxyCommand" in host["reason"]
    assert "Traceback" not in done.stderr


def test_a_jump_host_that_nobody_vouched_for_is_not_gone_through(lab: Lab) -> None:
    (lab.directory / "known_jump_hosts").write_text("")
    [host] = json.loads(lab.run("plan", "--json").stdout)["hosts"]
    assert host["state"] == "unreachable"
    assert f"the key of the jump host is unknown: [{lab.jump.address}]:{PORT}" in host["reason"]
    assert (lab.directory / "known_jump_hosts").read_text() == "", "nobody may be trusted on first sight"
