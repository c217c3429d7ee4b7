"""A machine of a test's own, reached over SSH like any other server: what all kinds of them have in common."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import testinfra
from testinfra.host import Host

from tests.local_site import PROGRAM, ROOT, call_mcp, free_port

BOOT_SECONDS = 300
_COMMAND_SECONDS = 900
#: Who may log in, beside root: one with sudo, and one without.
_USERS = {"deployer": 1500, "guest": 1501}


@dataclass
class Machine(ABC):
    """One machine in `directory`, which holds its keys, its log, and whatever it is made of.

    sshd answers on `ssh_port` of loopback, JupyterLab on `port`.
    """

    directory: Path
    ssh_port: int = field(default_factory=free_port)
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.key = self.directory / "key"
        self.log = self.directory / "console.log"
        self.known_hosts = self.directory / "known_hosts"

    # -- the machine itself ----------------------------------------------------------------------------------------

    @abstractmethod
    def boot(self) -> None:
        """Start it, and wait until it lets one in and has started what it starts."""

    @abstractmethod
    def shut_down(self) -> None:
        """As one does it: services are stopped, file systems are left in order."""

    @abstractmethod
    def cut_power(self) -> None:
        """Everything on it ends at once, and nothing is told."""

    @abstractmethod
    def remove(self) -> None:
        """Whatever state it is in."""

    def reboot(self) -> None:
        self.shut_down()
        self.boot()

    def let_in(self, root: Path, options: str) -> None:
        """Put an SSH server's key and `options`, and the users with their keys, into a file system that rests."""
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f"]
        host_key = root / "etc/ssh/ssh_host_ed25519_key"
        for path in (self.key, host_key):
            if not path.exists():
                subprocess.run([*keygen, path], check=True, timeout=60)
        (root / "etc/ssh/sshd_config.d/test.conf").write_text(
            f"UseDNS no\nHostKey /etc/ssh/ssh_host_ed25519_key\n{options}"
        )
        self.known_hosts.write_text(f"[127.0.0.1]:{self.ssh_port} {host_key.with_suffix('.pub').read_text()}")
        _authorize(self.key, root / "root", 0)
        for user, uid in _USERS.items():
            argv = ["useradd", "--root", str(root), "--create-home", "--shell", "/bin/bash", "--uid", str(uid), user]
            subprocess.run(argv, check=True, capture_output=True, timeout=60)
            _authorize(self.key, root / "home" / user, uid)
        sudoers = root / "etc/sudoers.d/deployer"
        sudoers.write_text("deployer ALL=(ALL) NOPASSWD:ALL\n")
        sudoers.chmod(0o440)

    def wait_for_boot(self, is_alive: Callable[[], bool]) -> None:
        """Until sshd answers and systemd has started all it starts."""
        give_up = time.monotonic() + BOOT_SECONDS
        while not self._answers():
            if not is_alive() or time.monotonic() > give_up:
                raise RuntimeError(f"the machine does not boot: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        # "degraded" is up, too: a unit that such a machine cannot have.
        self.ssh("systemctl is-system-running --wait || true")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.ssh_port), timeout=5) as talk:
            return talk.recv(4) == b"SSH-"
        return False

    # -- what one does with it -------------------------------------------------------------------------------------

    def ssh(self, command: str, *, user: str = "root", check: bool = True) -> str:
        """Run a shell command on it; what it printed, errors included."""
        done = subprocess.run(
            [*self.ssh_command(user), command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{command!r} ended with {done.returncode}: {done.stdout}")
        return done.stdout.strip()

    def ssh_command(self, user: str = "root") -> list[str]:
        """What a command is appended to, to be run on it."""
        argv = ["ssh", "-i", str(self.key), "-p", str(self.ssh_port), "-o", f"UserKnownHostsFile={self.known_hosts}"]
        return [
            *argv,
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "BatchMode=yes",
            "-o",
            "LogLevel=ERROR",
            f"{user}@127.0.0.1",
        ]

    def seen_from_outside(self) -> Host:
        """It as testinfra sees it, with nothing of the code under test."""
        options = f"-o UserKnownHostsFile={self.known_hosts} -o LogLevel=ERROR"
        address = f"ssh://root@127.0.0.1:{self.ssh_port}"
        return testinfra.get_host(address, ssh_identity_file=str(self.key), ssh_extra_args=options)

    def settings(self) -> dict[str, Any]:
        """What jupyfleet must be told of such a machine."""
        return {}

    def inventory(self, *, user: str = "root", **settings: Any) -> Path:
        """An inventory file with this machine, as `machine`."""
        data = {
            "ssh_hostname": "127.0.0.1",
            "ssh_port": self.ssh_port,
            "ssh_user": user,
            "ssh_key": str(self.key),
            "ssh_known_hosts_file": str(self.known_hosts),
            "ssh_strict_host_key_checking": "yes",
            "jupyter_scope": "system",
            # The real pixi cannot be had where the tests run; its stand-in has tests of its own.
            "jupyter_provider": "uv",
        }
        data |= self.settings() | settings
        path = self.directory / "inventory.py"
        path.write_text(f"hosts = [('machine', {data!r})]\n")
        return path

    def jupyfleet(
        self, command: str, *options: str, user: str = "root", **settings: Any
    ) -> subprocess.CompletedProcess[str]:
        """``jupyfleet COMMAND`` for this machine."""
        return subprocess.run(
            [str(PROGRAM), *command.split(), str(self.inventory(user=user, **settings)), *options],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )

    def steps(self, command: str, *options: str, user: str = "root", **settings: Any) -> dict[str, str]:
        """Run a command that has to succeed; its steps, by the first word of their names, and what became of them."""
        done = self.jupyfleet(command, "--json", *options, user=user, **settings)
        assert done.returncode == 0, done.stdout + done.stderr
        [host] = json.loads(done.stdout)["hosts"]
        return {step["name"].split()[0]: step["state"] for step in host["steps"]}

    def checks(self, *, user: str = "root", **settings: Any) -> dict[str, str]:
        """Verify; each check with its result, and what was found where it failed."""
        [host] = json.loads(self.jupyfleet("verify", "--json", user=user, **settings).stdout)["hosts"]
        return {
            check["id"]: f"failed: {check['detail']}" if check["status"] == "failed" else check["status"]
            for check in host["checks"]
        }

    def mcp(self, tool: str, **arguments: Any) -> Any:
        """What a tool of the server answers."""
        token = self.ssh("cat /home/jupyter/.config/jupyfleet/token")
        return call_mcp(f"http://127.0.0.1:{self.port}/mcp", token, tool, **arguments)

    def wait_until_it_serves(self, **settings: Any) -> None:
        """Until no check fails any more, after it was started or what runs on it was killed."""
        give_up = time.monotonic() + BOOT_SECONDS
        while failed := {
            name: result for name, result in self.checks(**settings).items() if result.startswith("failed")
        }:
            assert time.monotonic() < give_up, failed
            time.sleep(1)


def where_the_time_went(host: dict[str, Any]) -> str:
    """The steps of a run with what each took, and what share of it was the installers'. From a result document."""
    steps = {step["name"]: step["seconds"] for step in host["steps"]}
    installing = sum(seconds for name, seconds in steps.items() if name.split()[0] in ("Packages", "Environment"))
    lines = [f"{seconds:7.1f} s  {name}" for name, seconds in steps.items()]
    return "\n".join([*lines, f"{installing / sum(steps.values()):.0%} of it in the installers of packages"])


def _authorize(key: Path, home: Path, uid: int) -> None:
    folder = home / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    shutil.copy(key.with_suffix(".pub"), folder / "authorized_keys")
    for path in (folder, folder / "authorized_keys"):
        os.chown(path, uid, uid)
