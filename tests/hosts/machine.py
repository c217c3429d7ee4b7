"""A machine of a test's own, with systemd as its first process, reached over SSH like any other server.

It is a container of systemd-nspawn: its own processes, users, services and file system, the kernel and the network of
this machine. Its sshd and its server therefore listen on loopback, on ports of their own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.hosts import trees
from tests.local_site import PROGRAM, ROOT, free_port

_BOOT_SECONDS = 120
_COMMAND_SECONDS = 900


@dataclass
class Machine:
    """One machine in `directory`, which holds its file system, its keys and its log."""

    directory: Path
    tree: Path
    ssh_port: int = field(default_factory=free_port)
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._log = self.directory / "console.log"
        self.key = self.directory / "key"
        self.root = self.directory / "root"

    # -- the machine itself ----------------------------------------------------------------------------------------

    def make(self) -> None:
        """Give it a file system, an SSH server with a key of its own, and a login user who may use sudo."""
        trees.copy(self.tree, self.root)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True, timeout=60)
        host_key = self.root / "etc/ssh/ssh_host_ed25519_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host_key], check=True, timeout=60)
        (self.root / "etc/ssh/sshd_config.d/test.conf").write_text(
            f"Port {self.ssh_port}\nListenAddress 127.0.0.1\nUseDNS no\nHostKey /etc/ssh/ssh_host_ed25519_key\n"
        )
        self.known_hosts.write_text(f"[127.0.0.1]:{self.ssh_port} {host_key.with_suffix('.pub').read_text()}")
        self._authorize("root", self.root / "root", 0)
        for user, uid in (("deployer", 1500), ("guest", 1501)):
            argv = ["useradd", "--root", str(self.root), "--create-home", "--shell", "/bin/bash", "--uid", str(uid)]
            subprocess.run([*argv, user], check=True, capture_output=True, timeout=60)
            self._authorize(user, self.root / "home" / user, uid)
        sudoers = self.root / "etc/sudoers.d/deployer"
        sudoers.write_text("deployer ALL=(ALL) NOPASSWD:ALL\n")
        sudoers.chmod(0o440)

    def _authorize(self, user: str, home: Path, uid: int) -> None:
        folder = home / ".ssh"
        folder.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(self.key.with_suffix(".pub"), folder / "authorized_keys")
        for path in (folder, folder / "authorized_keys"):
            os.chown(path, uid, uid)

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    def boot(self) -> None:
        """Start it, and wait until it lets one in."""
        argv = ["systemd-nspawn", "--quiet", "--boot", "--directory", str(self.root), "--machine", self._name]
        argv += ["--keep-unit", "--register=no", "--resolv-conf=off", "--timezone=off", "--link-journal=no"]
        argv += ["--console=pipe", "--kill-signal=SIGRTMIN+3"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        give_up = time.monotonic() + _BOOT_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"the machine does not boot: {self._log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        # "degraded" is up, too: a unit that a container cannot have.
        self.ssh("systemctl is-system-running --wait || true")

    @property
    def _name(self) -> str:
        return f"jupyfleet-{self.ssh_port}"

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.ssh_port), timeout=2) as talk:
            return talk.recv(4) == b"SSH-"
        return False

    def shut_down(self) -> None:
        """As one does it: services are stopped, file systems are left in order."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGRTMIN + 3)
            self._process.wait(timeout=_BOOT_SECONDS)
        self._process = None

    def cut_power(self) -> None:
        """Everything on it ends at once, and nothing is told."""
        assert self._process is not None
        leader = self._leader()
        os.kill(leader, signal.SIGKILL)
        self._process.wait(timeout=_BOOT_SECONDS)
        self._process = None

    def _leader(self) -> int:
        """Its first process, as this machine sees it: killing it makes the kernel kill all others of its namespace."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for child in map(int, children.read_text().split()):
            for line in Path(f"/proc/{child}/status").read_text().splitlines():
                if line.startswith("NSpid:") and line.split()[-1] == "1":
                    return child
        raise RuntimeError("the machine has no first process")

    def reboot(self) -> None:
        self.shut_down()
        self.boot()

    def remove(self) -> None:
        """Whatever state it is in."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(RuntimeError, OSError):
                self.cut_power()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(timeout=60)

    # -- what one does with it -------------------------------------------------------------------------------------

    def ssh(self, command: str, *, user: str = "root", check: bool = True) -> str:
        """Run a shell command on it; what it printed, errors included."""
        argv = ["ssh", "-i", str(self.key), "-p", str(self.ssh_port), "-o", f"UserKnownHostsFile={self.known_hosts}"]
        argv += ["-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", f"{user}@127.0.0.1"]
        done = subprocess.run(
            [*argv, command],
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
            # The container shares this machine's network, where nothing may be reached from outside.
            "jupyter_bind": "127.0.0.1",
            "jupyter_port": self.port,
        } | settings
        path = self.directory / "inventory.py"
        path.write_text(f"hosts = [('machine', {data!r})]\n")
        return path

    def jupyfleet(
        self, command: str, *options: str, user: str = "root", **settings: Any
    ) -> subprocess.CompletedProcess[str]:
        """``jupyfleet COMMAND`` for this machine."""
        return subprocess.run(
            [str(PROGRAM), command, str(self.inventory(user=user, **settings)), *options],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
