"""A site of hosts over SSH, deployed by the real program from an inventory that the test writes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.local_site import PATIENCE, PROGRAM, PYINFRA, ROOT
from tests.machines.sshd_hosts import HOME, SshdHost

#: The directory of jupyfleet on every host.
SITE = f"{HOME}/site"
JUPYTER_PORT = 8888


@dataclass
class Site:
    """Hosts, and the controller's own directory; `settings` hold for all hosts, `own` for one."""

    directory: Path
    hosts: Sequence[SshdHost]
    settings: dict[str, Any] = field(default_factory=dict)
    own: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def inventory(self) -> Path:
        """Written anew each time, so that a test may change settings in between."""
        data = [(host.name, self.data_of(host)) for host in self.hosts]
        file = self.directory / "fleet.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"fleet = {data!r}\n")
        return file

    def data_of(self, host: SshdHost) -> dict[str, Any]:
        return {
            **host.data,
            "jupyter_home": SITE,
            "jupyter_bind": host.address,
            "jupyter_port": JUPYTER_PORT,
            "jupyter_uv": "/usr/local/bin/uv",
            **self.settings,
            **self.own.get(host.name, {}),
        }

    @property
    def environ(self) -> dict[str, str]:
        """The program keeps its results here, and finds no agent, key or configuration of whoever runs the tests."""
        kept = {name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"}
        return kept | {
            "XDG_STATE_HOME": str(self.directory / "state"),
            "XDG_CONFIG_HOME": str(self.directory / "config"),
        }

    def run(self, command: str, *options: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        """``jupyfleet COMMAND INVENTORY OPTIONS``, with settings that hold for this run alone."""
        data = [f"--data={key}={json.dumps(value)}" for key, value in settings.items()]
        return self.call(*self.command(command, *options, *data))

    def command(self, command: str, *options: str) -> list[str]:
        return [str(PROGRAM), *command.split(), str(self.inventory), *options]

    def pyinfra(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Stock pyinfra over the same inventory."""
        return self.call(str(PYINFRA), "--yes", str(self.inventory), *arguments)

    def call(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            cwd=ROOT,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def results(self, command: str, *options: str, **settings: Any) -> dict[str, dict[str, Any]]:
        """The result document of a command, by host."""
        done = self.run(command, *options, "--json", **settings)
        return {host["host"]: host for host in json.loads(done.stdout)["hosts"]}

    def states(self, command: str, *options: str, **settings: Any) -> dict[str, str]:
        """What became of every host."""
        return {name: host["state"] for name, host in self.results(command, *options, **settings).items()}
