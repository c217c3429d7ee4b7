"""A site of a test's own: really deployed by the program, in a temporary home, on a free port."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = Path(sys.executable).parent / "jupyfleet"
PYINFRA = Path(sys.executable).parent / "pyinfra"
INVENTORY = ROOT / "inventories/local.py"
#: Seconds that one command may take on a loaded machine, packages from a cold cache included.
PATIENCE = 900


def free_port() -> int:
    """A port that nobody listens on, for a moment at least."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class LocalSite:
    """`inventories/local.py` with a home and a port; `settings` are with ``--data``, `variables` in the environment."""

    home: Path
    port: int = field(default_factory=free_port)
    settings: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        return dict(os.environ) | self.variables | self._names

    @property
    def _names(self) -> dict[str, str]:
        return {"JUPYFLEET_HOME": str(self.home), "JUPYFLEET_PORT": str(self.port)}

    def run(self, command: str, *options: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        """``jupyfleet COMMAND inventories/local.py``, with settings that hold for this run alone."""
        data = [f"--data={key}={json.dumps(value)}" for key, value in (self.settings | settings).items()]
        return self.call(PROGRAM, command, INVENTORY, *options, *data)

    def call(self, *argv: str | Path) -> subprocess.CompletedProcess[str]:
        """Any program, in the environment that names this site."""
        return subprocess.run(
            [str(part) for part in argv],
            cwd=ROOT,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    @property
    def token(self) -> str:
        return self.token_file.read_text()

    @property
    def token_file(self) -> Path:
        return self.home / ".config/jupyfleet/token"

    @property
    def workspace(self) -> Path:
        return self.home / "workspace"

    @property
    def environment(self) -> Path:
        return self.home / ".pixi/envs/default"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def supervisorctl(self, *arguments: str) -> str:
        """What an administrator would type, with supervisor's own program."""
        [program] = self.home.glob("tools/supervisor-*/bin/supervisorctl")
        conf = self.home / ".config/jupyfleet/supervisor/supervisord.conf"
        return self.call(program, "--configuration", conf, *arguments).stdout

    def server_pid(self) -> int:
        return int(self.supervisorctl("pid", "jupyter"))

    def get(self, path: str, *, token: str | None = None) -> int:
        """The status of a GET, 0 when nothing listens."""
        request = urllib.request.Request(self.url + path)
        if token:
            request.add_header("Authorization", f"token {token}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def mcp(self, tool: str, **arguments: Any) -> Any:
        """Call a tool as an agent does, with a real MCP client."""
        return call_mcp(f"{self.url}mcp", self.token, tool, **arguments)

    def processes(self) -> list[int]:
        """Every process that belongs to this site or was started from it."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environ = (process / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"JUPYFLEET_SITE={self.home}".encode() in environ:
                found.append(int(process.name))
        return found


def call_mcp(url: str, token: str, tool: str, **arguments: Any) -> Any:
    """Call one tool with a real MCP client; what it answers."""

    async def call() -> Any:
        from fastmcp import Client
        from fastmcp.client.transports import StreamableHttpTransport

        transport = StreamableHttpTransport(url, headers={"Authorization": f"Bearer {token}"})
        async with Client(transport) as client:
            answer = (await client.call_tool(tool, arguments)).structured_content or {}
        return answer.get("result", answer)

    return asyncio.run(call())


def wait_until(holds: Any, what: str, seconds: float = 60) -> None:
    """Wait for a condition, not for a time.

    Raises:
        AssertionError: it did not come true.
    """
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up, f"after {seconds:.0f} s still not: {what}"
        time.sleep(0.1)
