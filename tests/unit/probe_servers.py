"""What the tests of the probe run against: real servers and sockets, and a host that can be broken.

Every run goes through `Host.verify`, which also holds what must be true of any result: all ids in the table's order,
one of three statuses, a detail, and the token nowhere in it.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import socket
import socketserver
import sys
import threading
import time
import urllib.parse
import xmlrpc.client
import xmlrpc.server
from pathlib import Path
from typing import Any

import pytest

from jupyfleet_host import probe

IDS = [
    "jupyter-lab-binary",
    "spacy-import",
    "workspace-dir",
    "jupyter-service",
    "jupyter-port",
    "jupyter-api",
    "mcp-jupyter-ping",
    "mcp-jupyter-list-tools",
    "mcp-jupyter-call-list-notebooks",
    "mcp-jupyter-auth-required",
]
TOKEN = "t0ken/with+odd&<chars>\"'\\-1234567890"
TOOLS = ["notebook_list", "cell_get", "cell_execute"]
FORBIDDEN = ["room_open", "room_close"]
NOTEBOOKS = [{"path": "a/b.ipynb", "name": "b.ipynb"}]
PAGE = '<html><script src="/static/lab/vendor.css"></script><script src="/static/lab/main.1f.js?v=1&amp;x=2"></script>'

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")


# --- servers --------------------------------------------------------------------------------------------------------


class Jupyter(http.server.ThreadingHTTPServer):
    """A small Jupyter with an MCP endpoint; what a test changes are its attributes."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        super().__init__(address, Handler)
        self.prefix = ""
        self.token: str | None = TOKEN
        self.open_paths: set[str] = set()
        self.answers: dict[str, tuple[int, str, str]] = {}
        self.location: str | None = None
        self.not_yet = 0
        self.mcp_not_yet = 0
        self.sse = False
        self.sse_silent = False
        self.session: str | None = None
        self.tool_pages = [TOOLS]
        self.cursor_circle = False
        self.results: dict[str, Any] = {"tools/call": {"structuredContent": {"result": NOTEBOOKS}, "content": []}}
        self.errors: dict[str, dict[str, Any]] = {}
        self.mcp_body: bytes | None = None
        self.log: list[tuple[str, str]] = []
        self.headers_seen: list[dict[str, str]] = []

    @property
    def port(self) -> int:
        """The port the system chose."""
        return int(self.server_address[1])

    def __enter__(self) -> Jupyter:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: Any) -> None:
        """A client that goes away is no news."""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as `Jupyter` says."""

    server: Jupyter
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""

    def reply(self, status: int, kind: str, body: str | bytes, **headers: str) -> None:
        """One whole answer."""
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def allowed(self, path: str) -> bool:
        """Whether this caller may have this path."""
        sent = self.headers.get("Authorization")
        return self.server.token is None or path in self.server.open_paths or sent == f"Bearer {self.server.token}"

    def begin(self) -> str:
        """Note the request and find its path."""
        path = urllib.parse.urlsplit(self.path).path.removeprefix(self.server.prefix)
        self.server.log.append((self.command, path))
        self.server.headers_seen.append(dict(self.headers))
        return path

    def do_GET(self) -> None:
        """The API, JupyterLab's page and its files."""
        path = self.begin()
        if path == "/api" and self.server.not_yet:
            self.server.not_yet -= 1
            return self.reply(503, "text/plain", "starting")
        if path in self.server.answers:
            return self.reply(*self.server.answers[path])
        if path == "/api":
            return self.reply(200, "application/json", '{"version": "2.21.1"}')
        if not self.allowed(path):
            if self.server.location:
                return self.reply(302, "text/html", "", Location=self.server.location)
            return self.reply(403, "application/json", '{"message": "Forbidden"}')
        if path == "/lab":
            return self.reply(200, "text/html; charset=UTF-8", PAGE)
        if path == "/static/lab/main.1f.js" and self.path.endswith("?v=1&x=2"):
            return self.reply(200, "text/javascript", "start()")
        if path == "/api/contents":
            return self.reply(200, "application/json", "{}")
        return self.reply(404, "text/html", "<h1>no</h1>")

    def do_DELETE(self) -> None:
        """The end of a session."""
        self.begin()
        self.reply(200, "text/plain", "")

    def do_POST(self) -> None:
        """MCP."""
        path = self.begin()
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        server.log[-1] = ("POST", request["method"])
        if not self.allowed(path):
            return self.reply(401, "application/json", "{}")
        if path in server.answers:
            return self.reply(*server.answers[path])
        if path != "/mcp":
            return self.reply(404, "text/html", "")
        if server.mcp_not_yet:
            server.mcp_not_yet -= 1
            return self.reply(503, "text/plain", "starting")
        if server.mcp_body is not None:
            return self.reply(200, "application/json", server.mcp_body)
        return self.mcp(request)

    def mcp(self, request: dict[str, Any]) -> None:
        """One JSON-RPC answer."""
        server, method = self.server, request["method"]
        session = {"Mcp_Session_Id": server.session} if server.session and method == "initialize" else {}
        if server.session and not session and self.headers.get("Mcp-Session-Id") != server.session:
            return self.reply(400, "application/json", '{"error": {"message": "Missing session ID"}}')
        if "id" not in request:
            return self.reply(202, "application/json", "")
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        if method in server.errors:
            answer["error"] = server.errors[method]
        elif method == "tools/list":
            answer["result"] = self.tools(request.get("params", {}))
        else:
            answer["result"] = server.results.get(method, {})
        if not server.sse:
            return self.reply(200, "application/json", json.dumps(answer), **session)
        return self.stream(answer, session)

    def tools(self, params: dict[str, Any]) -> dict[str, Any]:
        """One page of tools."""
        pages = self.server.tool_pages
        number = int(params.get("cursor", "0"))
        result: dict[str, Any] = {"tools": [{"name": name, "inputSchema": {}} for name in pages[number]]}
        if number + 1 < len(pages) or self.server.cursor_circle:
            result["nextCursor"] = str((number + 1) % len(pages))
        return result

    def stream(self, answer: dict[str, Any], headers: dict[str, str]) -> None:
        """An event stream that never ends by itself, with things in it that are not the answer."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(b': hello\r\n\r\nevent: message\r\ndata: {"method": "notifications/message"}\r\n\r\n')
        if not self.server.sse_silent:
            first, second = json.dumps(answer, indent=1).split("\n", 1)
            lines = [first, *second.split("\n")]
            self.wfile.write("".join(f"data: {line}\r\n" for line in lines).encode() + b"\r\n")
        with contextlib.suppress(OSError):
            for _ in range(40):
                self.wfile.write(b": still here\r\n\r\n")
                time.sleep(0.05)


class UnixHandler(xmlrpc.server.SimpleXMLRPCRequestHandler):
    """XML-RPC over a unix socket."""

    disable_nagle_algorithm = False
    rpc_paths = ("/RPC2",)

    def log_request(self, *_: Any) -> None:
        """Stay quiet."""


class Supervisor(socketserver.ThreadingUnixStreamServer, xmlrpc.server.SimpleXMLRPCDispatcher):
    """A small supervisord that knows one program."""

    daemon_threads = True
    _send_traceback_header = False

    def __init__(self, path: Path) -> None:
        socketserver.ThreadingUnixStreamServer.__init__(self, str(path), UnixHandler)
        xmlrpc.server.SimpleXMLRPCDispatcher.__init__(self)
        self.states = ["RUNNING"]
        self.stderr: str | None = ""
        self.stdout = ""
        self.extra: dict[str, Any] = {}
        self.register_function(self.info, "supervisor.getProcessInfo")
        self.register_function(self.read_stderr, "supervisor.readProcessStderrLog")
        self.register_function(self.read_stdout, "supervisor.readProcessStdoutLog")

    def info(self, name: str) -> dict[str, Any]:
        """As supervisord answers; of several states the next one every time."""
        if name != "jupyter":
            raise xmlrpc.client.Fault(10, f"BAD_NAME: {name}")
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return {"statename": state, "pid": 4711, "start": 1000, "now": 4725, "spawnerr": "", **self.extra}

    def read_stderr(self, _name: str, offset: int, _length: int) -> str:
        """The end of standard error, when there is such a file."""
        if self.stderr is None:
            raise xmlrpc.client.Fault(20, "NO_FILE")
        return self.stderr[offset:]

    def read_stdout(self, _name: str, offset: int, _length: int) -> str:
        """The end of standard output."""
        return self.stdout[offset:]


class Rude(socketserver.StreamRequestHandler):
    """Speaks something, but not HTTP."""

    def handle(self) -> None:
        """Greet as another protocol would."""
        self.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n")


# --- the host -------------------------------------------------------------------------------------------------------


def script(path: Path, text: str) -> None:
    """An executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


class Host:
    """A host on which everything is well, until a test breaks something."""

    def __init__(self, root: Path, jupyter: Jupyter, supervisor: Supervisor, supervisor_socket: Path) -> None:
        self.root = root
        self.jupyter = jupyter
        self.supervisor = supervisor
        self.workspace = root / "workspace"
        self.workspace.mkdir()
        self.token_file = root / "token"
        self.write_token(TOKEN)
        self.environment = root / "env"
        self.lab = self.environment / "bin" / "jupyter-lab"
        self.python = self.environment / "bin" / "python"
        script(self.lab, "#!/bin/sh\necho 4.6.6\n")
        self.spacy("__version__ = '3.8.2'\nclass Model: meta = {'version': '3.8.0'}\ndef load(name): return Model\n")
        self.spec: dict[str, Any] = {
            "home": str(root),
            "log": str(root / "log/jupyter.log"),
            "environment": str(self.environment),
            "workspace": str(self.workspace),
            "workspace_mount": "directory",
            "workspace_tag": "workspace",
            "user": None,
            "supervisor_socket": str(supervisor_socket),
            "program": "jupyter",
            "host": "127.0.0.1",
            "port": jupyter.port,
            "scheme": "http",
            "base_url": "/",
            "token_file": str(self.token_file),
            "profile": "full",
            "spacy_model": "en_core_web_sm",
            "tools": TOOLS,
            "forbidden_tools": FORBIDDEN,
            "timeout": 0.1,
            "scope": "live",
        }

    def write_token(self, text: str) -> None:
        """Replace the token file."""
        self.token_file.write_text(text)
        self.token_file.chmod(0o600)

    def spacy(self, module: str) -> None:
        """An environment's Python whose spaCy is this module."""
        site = self.root / "site"
        site.mkdir(exist_ok=True)
        (site / "spacy.py").write_text(module)
        script(self.python, f'#!/bin/sh\nshift 2\nPYTHONPATH={site} exec {sys.executable} -S "$@"\n')

    def verify(self, **changes: Any) -> dict[str, dict[str, Any]]:
        """Run the probe; what holds for every result holds for this one."""
        result = probe.main({**self.spec, **changes})
        checks = result["checks"]
        assert list(result) == ["checks"]
        assert [check["id"] for check in checks] == IDS
        for check in checks:
            assert set(check) == {"id", "status", "detail", "seconds"}
            assert check["status"] in ("ok", "failed", "skipped")
            assert check["detail"]
            assert "\n" not in check["detail"]
            assert check["seconds"] >= 0
        for form in (TOKEN, json.dumps(TOKEN)[1:-1], repr(TOKEN)[1:-1], urllib.parse.quote(TOKEN, safe="")):
            assert form not in json.dumps(result)
            assert all(form not in check["detail"] for check in checks)
        return {check["id"]: check for check in checks}

    def fails(self, name: str, *words: str, **changes: Any) -> dict[str, dict[str, Any]]:
        """Run the probe and see one check fail with these words."""
        checks = self.verify(**changes)
        assert checks[name]["status"] == "failed", checks[name]
        for word in words:
            assert word in checks[name]["detail"]
        return checks

    def passes(self, name: str, *words: str, **changes: Any) -> dict[str, dict[str, Any]]:
        """Run the probe and see one check pass with these words."""
        checks = self.verify(**changes)
        assert checks[name]["status"] == "ok", checks[name]
        for word in words:
            assert word in checks[name]["detail"]
        return checks


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def failed(checks: dict[str, dict[str, Any]]) -> list[str]:
    """The ids that failed."""
    return [name for name, check in checks.items() if check["status"] == "failed"]
