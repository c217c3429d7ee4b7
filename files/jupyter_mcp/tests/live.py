"""A real Jupyter Server process with a token file, and MCP over plain HTTP."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

REVISION = "2025-11-25"
MODERN = "2026-07-28"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_ids = itertools.count(1)


def request_of(
    method: str, params: dict[str, Any] | None = None, revision: str = REVISION
) -> tuple[dict[str, str], dict[str, Any]]:
    """Headers and body of a request of either revision of the protocol, without a token."""
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": revision}
    params = dict(params or {})
    if revision == MODERN:
        headers["Mcp-Method"] = method
        if "name" in params:
            headers["Mcp-Name"] = params["name"]
        params["_meta"] = {
            **params.get("_meta", {}),
            "io.modelcontextprotocol/protocolVersion": revision,
            "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": next(_ids), "method": method}
    if params:
        body["params"] = params
    return headers, body


class ToolFailed(Exception):
    """The tool answered with an error; its text is the message."""


def wait_until(condition: Callable[[], bool], seconds: float = 15) -> None:
    """Look ten times a second; an AssertionError when it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class LiveServer:
    """`home` holds the workspace, the token file and the log. The process dies with `stop` or `kill`."""

    def __init__(
        self,
        home: Path,
        *arguments: str,
        app: str = "jupyter_server",
        base_url: str = "/",
        workspace: Path | None = None,
        **environment: str,
    ) -> None:
        self.home = home
        self.workspace = workspace or home / "workspace"
        self.workspace.mkdir(parents=True, exist_ok=True)
        self.base_url = base_url
        self.token = secrets.token_hex(16)
        self.token_file = home / "token"
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(self.token)
        self.port = free_port()
        self.log_path = home / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self._http: httpx.Client | None = None
        self._arguments = [
            sys.executable,
            "-m",
            app,
            "--allow-root",
            "--no-browser",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={self.port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.base_url={base_url}",
            f"--ServerApp.root_dir={self.workspace}",
            "--ServerApp.allow_unauthenticated_access=False",
            "--FileContentsManager.delete_to_trash=False",
            *arguments,
        ]
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "MCP_"))},
            "HOME": str(home),
            "JUPYTER_TOKEN_FILE": str(self.token_file),
            "JUPYTER_CONFIG_DIR": str(home / "config"),
            "JUPYTER_DATA_DIR": str(home / "data"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            **environment,
        }

    # -- the process ----------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.base_url}"

    @property
    def mcp_url(self) -> str:
        return f"{self.url}mcp"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def start(self, wait: bool = True) -> None:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self._arguments, stdout=log, stderr=log, cwd=self.home, env=self._environment, start_new_session=True
            )
        if wait:
            self.wait()

    def wait(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended: {self.log()[-3000:]}")
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}api", headers=self.headers, timeout=5).status_code == 200:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"the server does not answer: {self.log()[-3000:]}")

    def kill(self) -> None:
        """SIGKILL, and its kernels with it, as when the machine loses power."""
        assert self.process is not None
        children = self.children()
        self.process.kill()
        self.process.wait()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self._close_http()

    def children(self) -> list[int]:
        assert self.process is not None
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()] if path.exists() else []

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            children = self.children()
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        self._close_http()

    def _close_http(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    # -- MCP ------------------------------------------------------------------------------------------------------

    @property
    def http(self) -> httpx.Client:
        if self._http is None:
            self._http = httpx.Client(timeout=90)
        return self._http

    def message(
        self, method: str, params: dict[str, Any] | None = None, revision: str = REVISION
    ) -> tuple[dict[str, str], dict[str, Any]]:
        """Headers and body of a request of either revision of the protocol, with the token."""
        headers, body = request_of(method, params, revision)
        return {**self.headers, **headers}, body

    def answer(self, method: str, params: dict[str, Any] | None = None, revision: str = REVISION) -> dict[str, Any]:
        """Send a request; the JSON-RPC response, result or error."""
        headers, body = self.message(method, params, revision)
        answer = self.http.post(self.mcp_url, headers=headers, json=body)
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            events = [line[5:] for line in answer.text.splitlines() if line.startswith("data:")]
            found = next(json.loads(event) for event in events if '"id"' in event)
        else:
            found = answer.json()
            assert "error" in found or answer.status_code == 200, (answer.status_code, answer.text)
        response: dict[str, Any] = found
        return response

    def request(self, method: str, params: dict[str, Any] | None = None, revision: str = REVISION) -> dict[str, Any]:
        """Send a request and return its result; RuntimeError with the protocol's error."""
        response = self.answer(method, params, revision)
        if "error" in response:
            raise RuntimeError(response["error"])
        result: dict[str, Any] = response["result"]
        return result

    def refusal(self, method: str, params: dict[str, Any] | None = None, revision: str = REVISION) -> dict[str, Any]:
        """Send a request that the protocol refuses, and return its error."""
        error: dict[str, Any] = self.answer(method, params, revision)["error"]
        return error

    def result(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The whole result of a tool call, error or not."""
        return self.request("tools/call", {"name": tool, "arguments": arguments})

    def structured(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = self.result(tool, **arguments)
        if result.get("isError"):
            raise ToolFailed(result["content"][0]["text"])
        structured: dict[str, Any] = result["structuredContent"]
        return structured

    def call(self, tool: str, **arguments: Any) -> Any:
        """What the tool returns; ToolFailed when it answers with an error."""
        structured = self.structured(tool, **arguments)
        return structured["result"] if "result" in structured else structured

    # -- files ----------------------------------------------------------------------------------------------------

    def on_disk(self, path: str) -> dict[str, Any]:
        notebook: dict[str, Any] = json.loads((self.workspace / path).read_text())
        for cell in notebook["cells"]:
            cell["source"] = "".join(cell["source"])
        return notebook

    def sources(self, path: str) -> list[str]:
        """The sources of the cells in the file."""
        return [cell["source"] for cell in self.on_disk(path)["cells"]]
