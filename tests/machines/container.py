"""A machine that is a container of systemd-nspawn, with systemd as its first process.

It has processes, users, services and a file system of its own, and the kernel and the network of this machine. Its
sshd and its server therefore listen on loopback, on ports of their own.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.machines import trees
from tests.machines.machine import BOOT_SECONDS, Machine


@dataclass
class Container(Machine):
    """Its file system is a copy of a tree of `trees`, in the directory ``root``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.root = self.directory / "root"
        self._process: subprocess.Popen[bytes] | None = None

    def make(self, tree: Path) -> None:
        trees.copy(tree, self.root)
        self.let_in(self.root, f"Port {self.ssh_port}\nListenAddress 127.0.0.1\n")

    def settings(self) -> dict[str, Any]:
        # It shares this machine's network, where nothing may be reached from outside.
        return {"jupyter_bind": "127.0.0.1", "jupyter_port": self.port}

    def boot(self) -> None:
        # In a namespace of processes that ends with whoever runs the tests, however that ends: nothing is left behind.
        argv = ["setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        argv += ["systemd-nspawn", "--quiet", "--boot", "--directory", str(self.root)]
        argv += ["--machine", f"jupyfleet-{self.ssh_port}", "--keep-unit", "--register=no", "--resolv-conf=off"]
        argv += ["--timezone=off", "--link-journal=no", "--console=pipe"]
        with self.log.open("ab") as log:
            self._process = process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.wait_for_boot(lambda: process.poll() is None)

    def shut_down(self) -> None:
        assert self._process is not None
        self.ssh("systemctl poweroff", check=False)
        self._process.wait(timeout=BOOT_SECONDS)

    def cut_power(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=BOOT_SECONDS)

    def remove(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.cut_power()
