"""A machine that is a container of systemd-nspawn, with systemd as its first process.

It has processes, users, services and a file system of its own, and the kernel and the network of this machine. Its
sshd and its server therefore listen on loopback, on ports of their own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hosts import trees
from tests.hosts.machine import BOOT_SECONDS, Machine


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
        argv = ["systemd-nspawn", "--quiet", "--boot", "--directory", str(self.root)]
        argv += ["--machine", f"jupyfleet-{self.ssh_port}", "--keep-unit", "--register=no", "--resolv-conf=off"]
        argv += ["--timezone=off", "--link-journal=no", "--console=pipe", "--kill-signal=SIGRTMIN+3"]
        with self.log.open("ab") as log:
            self._process = process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.wait_for_boot(lambda: process.poll() is None)

    def shut_down(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGRTMIN + 3)
            self._process.wait(timeout=BOOT_SECONDS)
        self._process = None

    def cut_power(self) -> None:
        assert self._process is not None
        os.kill(self._first_process(), signal.SIGKILL)
        self._process.wait(timeout=BOOT_SECONDS)
        self._process = None

    def _first_process(self) -> int:
        """As this machine sees it: killing it makes the kernel kill all others of its namespace."""
        assert self._process is not None
        pid = self._process.pid
        for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
            for line in Path(f"/proc/{child}/status").read_text().splitlines():
                if line.startswith("NSpid:") and line.split()[-1] == "1":
                    return child
        raise RuntimeError("the machine has no first process")

    def remove(self) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(RuntimeError, OSError):
                self.cut_power()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(timeout=60)
