"""The two servers: each a real Jupyter Server process on a free port of the loopback, with a token and a workspace."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx

from .client import MCPConnection, OurTools, PeerTools, Tools

__all__ = ["REPOSITORY", "JupyterServer", "our_server", "peer_server", "prepare_peer"]

REPOSITORY = Path(__file__).resolve().parents[2]
_EXTENSION = REPOSITORY / "files" / "jupyter_mcp"
_OUR_PYTHON = REPOSITORY / ".venv-jupyter" / "bin" / "python"
_PEER = REPOSITORY / ".cache" / "bench-mcp" / "peer"
_START_SECONDS = 90.0
_STOP_SECONDS = 20.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class JupyterServer:
    """A server and its kernels; `stop` ends exactly the processes that it started."""

    def __init__(
        self,
        name: str,
        python: Path,
        home: Path,
        tools: Callable[[MCPConnection], Tools],
        environment: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.python = python
        self.home = home
        self.workspace = home / "workspace"
        self.workspace.mkdir(parents=True)
        self.token = secrets.token_hex(16)
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.headers = {"Authorization": f"Bearer {self.token}"}
        self._tools = tools
        self._process: subprocess.Popen[bytes] | None = None
        token_file = home / "token"
        token_file.touch(mode=0o600)
        token_file.write_text(self.token)
        inherited = {
            key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "MCP_", "PYTHON"))
        }
        self.environment = {
            **inherited,
            "HOME": str(home),
            "JUPYTER_TOKEN_FILE": str(token_file),
            "JUPYTER_CONFIG_DIR": str(home / "config"),
            "JUPYTER_DATA_DIR": str(home / "data"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            **(environment or {}),
        }

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, and wait until the tools answer."""
        command = [
            *(str(self.python), "-m", "jupyter_server", "--allow-root", "--no-browser"),
            *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0"),
            *(f"--ServerApp.root_dir={self.workspace}", "--ServerApp.allow_unauthenticated_access=False"),
        ]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.home, env=self.environment, start_new_session=True
            )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}api/status", headers=self.headers, timeout=5).status_code == 200:
                    return
            time.sleep(0.1)
        self.stop()
        raise RuntimeError(f"{self.name} did not start:\n{self.log()[-3000:]}")

    def log(self) -> str:
        return (self.home / "log").read_text(errors="replace")

    def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        kernels = self._children()
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for kernel in kernels:
            with contextlib.suppress(ProcessLookupError):
                os.kill(kernel, signal.SIGKILL)

    def _children(self) -> list[int]:
        children: list[int] = []
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                children += [int(pid) for pid in (task / "children").read_text().split()]
        return children

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Tools]:
        """A client of its own, with the tools in this server's words."""
        async with MCPConnection(f"{self.url}mcp", self.token) as connection:
            yield self._tools(connection)


def our_server(home: Path, *, source: Path = _EXTENSION, idle_timeout: float | None = None) -> JupyterServer:
    """A server with files/jupyter_mcp as it is in the checkout, installed or not."""
    environment = {"PYTHONPATH": str(source), "JUPYTER_CONFIG_PATH": str(source / "jupyter-config")}
    if idle_timeout is not None:
        environment["MCP_ROOM_IDLE_TIMEOUT_SEC"] = str(idle_timeout)
    return JupyterServer("jupyter_mcp", _OUR_PYTHON, home, OurTools, environment)


def prepare_peer() -> None:
    """The peer's environment, from its lock. Seconds when it is there."""
    command = [REPOSITORY / "requirements" / "install", _PEER, "python3", "peer-mcp"]
    subprocess.run([str(part) for part in command], check=True, cwd=REPOSITORY)


def peer_server(home: Path) -> JupyterServer:
    """A server with jupyter-mcp-server, in an environment of its own. Call `prepare_peer` before."""
    return JupyterServer("jupyter-mcp-server", _PEER / "bin" / "python", home, PeerTools)
