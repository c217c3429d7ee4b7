"""The probe against real servers, sockets and files: each check passes, and fails for its own reason.

Every run goes through `Host.verify`, which also holds what must be true of any result: all ids in the table's order,
one of three statuses, a detail, and the token nowhere in it.
"""

from __future__ import annotations

import contextlib
import datetime
import http.server
import ipaddress
import json
import os
import pwd
import shutil
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import xmlrpc.client
import xmlrpc.server
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyfleet_host import probe
from jupyfleet_host.common import HostError

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
            "timeout": 0.5,
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
        script(self.python, f'#!/bin/sh\nshift 2\nPYTHONPATH={site} exec {sys.executable} -B "$@"\n')

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


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A folder whose path is short enough for a unix socket."""
    with tempfile.TemporaryDirectory(prefix="jf-") as folder:
        yield Path(folder)


@pytest.fixture
def supervisor(sockets: Path) -> Iterator[Supervisor]:
    """A supervisord that runs the program."""
    with Supervisor(sockets / "s") as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def jupyter() -> Iterator[Jupyter]:
    """A Jupyter that behaves."""
    with Jupyter() as server:
        yield server


@pytest.fixture
def host(tmp_path: Path, jupyter: Jupyter, supervisor: Supervisor, sockets: Path) -> Host:
    """A host on which everything is well."""
    return Host(tmp_path, jupyter, supervisor, sockets / "s")


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def failed(checks: dict[str, dict[str, Any]]) -> list[str]:
    """The ids that failed."""
    return [name for name, check in checks.items() if check["status"] == "failed"]


# --- the whole ------------------------------------------------------------------------------------------------------


def test_a_good_host_passes_every_check(host: Host) -> None:
    checks = host.verify()
    assert {check["status"] for check in checks.values()} == {"ok"}, checks
    assert checks["jupyter-lab-binary"]["detail"] == "JupyterLab 4.6.6"


def test_verify_leaves_files_as_they_were(host: Host) -> None:
    def everything() -> dict[str, tuple[int, int]]:
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_mode) for path in sorted(host.root.rglob("*"))}

    before = everything()
    host.verify()
    assert everything() == before


def test_a_build_proves_the_environment_alone(host: Host) -> None:
    checks = host.verify(scope="build", port=closed_port(), supervisor_socket="/nowhere")
    assert [checks[name]["status"] for name in IDS] == ["ok", "ok"] + ["skipped"] * 8
    assert host.jupyter.log == []


def test_a_spec_with_a_missing_key_is_the_callers_mistake(host: Host) -> None:
    del host.spec["port"]
    with pytest.raises(HostError, match="lacks port"):
        host.verify()


def test_nothing_at_all_on_the_host_is_still_a_whole_result(host: Host) -> None:
    shutil.rmtree(host.root)
    checks = host.verify(user="nobody-of-this-name", supervisor_socket="/nowhere", port=closed_port())
    assert failed(checks) == IDS


def test_values_that_nobody_expects_stay_results(host: Host) -> None:
    host.supervisor.extra = {"now": "noon"}
    host.jupyter.results["tools/call"] = {"content": [17, {"type": "text", "text": "["}]}
    host.jupyter.tool_pages = [TOOLS]
    checks = host.verify(workspace="/a\0b", environment="/a\0b")
    assert "unexpected ValueError" in checks["workspace-dir"]["detail"]
    assert "unexpected ValueError" in checks["jupyter-service"]["detail"]
    assert checks["jupyter-lab-binary"]["status"] == "failed"
    assert checks["mcp-jupyter-call-list-notebooks"]["status"] == "failed"


def test_a_check_that_never_ends_is_a_failed_one(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "GUARD_SECONDS", 0.3)
    monkeypatch.setattr(probe, "PROGRAM_SECONDS", 0.1)
    fifo = host.root / "fifo"
    os.mkfifo(fifo)
    monkeypatch.setattr(probe, "MOUNTINFO", fifo)
    host.fails("workspace-dir", "did not end within", workspace_mount="virtiofs", timeout=0.1)
    with fifo.open("w"):
        pass


# --- the environment ------------------------------------------------------------------------------------------------


def test_binary_missing(host: Host) -> None:
    host.lab.unlink()
    host.fails("jupyter-lab-binary", "does not exist", "jupyfleet up")


def test_binary_link_to_a_release_that_is_gone(host: Host) -> None:
    host.lab.unlink()
    host.lab.symlink_to("/nowhere/jupyter-lab")
    host.fails("jupyter-lab-binary", "link to nothing")


def test_binary_not_executable(host: Host) -> None:
    host.lab.chmod(0o644)
    host.fails("jupyter-lab-binary", "could not be started", "Permission denied")


def test_binary_that_breaks_says_its_last_line(host: Host) -> None:
    script(host.lab, "#!/bin/sh\necho Traceback >&2\necho 'ModuleNotFoundError: tornado' >&2\nexit 1\n")
    host.fails("jupyter-lab-binary", "ended with 1", "ModuleNotFoundError: tornado")


def test_binary_that_names_no_version(host: Host) -> None:
    script(host.lab, "#!/bin/sh\necho hello\n")
    host.fails("jupyter-lab-binary", "named no version", "hello")


def test_binary_that_hangs(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PROGRAM_SECONDS", 0.3)
    script(host.lab, "#!/bin/sh\nexec sleep 20\n")
    host.fails("jupyter-lab-binary", "did not end within", scope="build", profile="core")


def test_programs_get_no_environment_of_the_caller(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/evil")
    script(host.lab, '#!/bin/sh\nenv >&2\n[ -z "$PYTHONPATH" ] && echo 4.6.6\n')
    host.passes("jupyter-lab-binary")


@as_root
def test_programs_of_another_user_do_not_run_as_root(host: Host, open_folder: Path) -> None:
    script(open_folder / "bin/jupyter-lab", "#!/bin/sh\necho 4.$(id -u)\n")
    uid = pwd.getpwnam("nobody").pw_uid
    host.passes("jupyter-lab-binary", f"4.{uid}", environment=str(open_folder), user="nobody")


def test_spacy_is_skipped_with_its_reason(host: Host) -> None:
    core = host.verify(profile="core", spacy_model=None)["spacy-import"]
    assert (core["status"], core["detail"]) == ("skipped", "the profile core has no spaCy")
    bare = host.verify(spacy_model=None)["spacy-import"]
    assert (bare["status"], bare["detail"]) == ("skipped", "no spaCy model is set for this host")


def test_spacy_names_both_versions(host: Host) -> None:
    host.passes("spacy-import", "spaCy 3.8.2 loads en_core_web_sm 3.8.0")


def test_spacy_without_its_model(host: Host) -> None:
    host.spacy("def load(name): raise OSError('[E050] Can not find model ' + name)\n")
    host.fails("spacy-import", "[E050]", "en_core_web_sm")


def test_spacy_missing(host: Host) -> None:
    host.spacy("raise ImportError('No module named thinc')\n")
    host.fails("spacy-import", "No module named thinc")


def test_spacy_without_python(host: Host) -> None:
    host.python.unlink()
    host.fails("spacy-import", "does not exist")


# --- the workspace --------------------------------------------------------------------------------------------------


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder of nobody's that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="jf-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        shutil.chown(path, "nobody")
        yield path


def test_workspace_missing(host: Host) -> None:
    host.workspace.rmdir()
    host.fails("workspace-dir", "does not exist")


def test_workspace_is_a_file(host: Host) -> None:
    host.workspace.rmdir()
    host.workspace.write_text("")
    host.fails("workspace-dir", "is not a directory")


def test_workspace_for_a_user_who_does_not_exist(host: Host) -> None:
    host.fails("workspace-dir", "there is no user nobody-of-this-name", user="nobody-of-this-name")


@as_root
def test_workspace_of_somebody_else(host: Host) -> None:
    shutil.chown(host.workspace, "nobody")
    host.fails("workspace-dir", "belongs to nobody, not to root")


@as_root
def test_workspace_of_another_user(host: Host, open_folder: Path) -> None:
    host.passes("workspace-dir", "writable for nobody", user="nobody", workspace=str(open_folder))


@as_root
def test_workspace_closed_to_its_own_user(host: Host, open_folder: Path) -> None:
    open_folder.chmod(0o555)
    host.fails("workspace-dir", "nobody may not write", "0555", user="nobody", workspace=str(open_folder))


@as_root
def test_workspace_below_a_folder_the_user_may_not_enter(host: Host, open_folder: Path) -> None:
    inner = open_folder / "inner"
    inner.mkdir()
    shutil.chown(inner, "nobody")
    shutil.chown(open_folder, "root")
    open_folder.chmod(0o700)
    host.fails("workspace-dir", "nobody may not write", "folders above", user="nobody", workspace=str(inner))


@as_root
def test_workspace_mounted_read_only(host: Host) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "none", str(host.workspace)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        host.fails("workspace-dir", "read-only")
    finally:
        subprocess.run(["umount", str(host.workspace)], check=True)


@pytest.fixture
def mounted(host: Host, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say what the kernel's table of mounts holds."""

    def say(*mounts: tuple[str, str, str]) -> None:
        lines = ["22 1 0:21 / / rw,relatime shared:1 - ext4 /dev/vda1 rw"]
        for point, fstype, source in mounts:
            escaped = point.replace(" ", "\\040")
            lines.append(f"30 22 0:30 / {escaped} rw,relatime shared:2 master:1 - {fstype} {source} rw")
        table = host.root / "mountinfo"
        table.write_text("\n".join(lines) + "\n")
        monkeypatch.setattr(probe, "MOUNTINFO", table)

    host.spec["workspace_mount"] = "virtiofs"
    return say


def test_workspace_on_virtiofs(host: Host, mounted: Callable[..., None]) -> None:
    mounted((str(host.workspace), "virtiofs", "workspace"))
    host.passes("workspace-dir", "virtiofs tag workspace")


def test_workspace_on_virtiofs_through_a_link_with_blanks(host: Host, mounted: Callable[..., None]) -> None:
    real = host.root / "the real one"
    host.workspace.rename(real)
    host.workspace.symlink_to(real)
    mounted((str(real), "virtiofs", "workspace"))
    host.passes("workspace-dir", "virtiofs tag workspace")


def test_workspace_under_an_absent_share(host: Host, mounted: Callable[..., None]) -> None:
    mounted()
    host.fails("workspace-dir", "is not mounted from tag workspace", "lies on ext4 /dev/vda1")


def test_workspace_from_a_wrong_tag_or_filesystem(host: Host, mounted: Callable[..., None]) -> None:
    mounted((str(host.workspace), "virtiofs", "other"))
    host.fails("workspace-dir", "virtiofs other instead of virtiofs tag workspace")
    mounted((str(host.workspace), "virtiofs", "workspace"), (str(host.workspace), "tmpfs", "workspace"))
    host.fails("workspace-dir", "tmpfs workspace instead of virtiofs tag workspace")


# --- the service ----------------------------------------------------------------------------------------------------


def test_service_names_pid_and_uptime(host: Host) -> None:
    host.passes("jupyter-service", "RUNNING, pid 4711, up 1:02:05")


def test_service_that_is_starting_gets_its_time(host: Host) -> None:
    host.supervisor.states = ["STARTING", "BACKOFF", "STARTING", "RUNNING"]
    host.passes("jupyter-service", "RUNNING", timeout=10)


def test_service_that_does_not_come_up_in_time(host: Host) -> None:
    host.supervisor.states = ["STARTING"]
    host.fails("jupyter-service", "jupyter is STARTING")


def test_service_fatal_says_its_last_words_without_the_token(host: Host) -> None:
    host.supervisor.states = ["FATAL"]
    host.supervisor.extra = {"spawnerr": "Exited too quickly"}
    quoted = urllib.parse.quote(TOKEN, safe="")
    host.supervisor.stderr = f"old\nhttp://x/lab?token={quoted}\ngot {TOKEN} {json.dumps(TOKEN)}\nPort 8888 is in use\n"
    checks = host.fails("jupyter-service", "FATAL (Exited too quickly)", "Port 8888 is in use", "***", timeout=30)
    assert checks["jupyter-service"]["seconds"] < 5


def test_service_log_cut_within_the_token(host: Host) -> None:
    host.supervisor.states = ["FATAL"]
    tail = f"{TOKEN[5:]}\nthe end "
    host.supervisor.stderr = f"{TOKEN[:5]}{tail}{'x' * (probe.LOG_BYTES - len(tail.encode()))}"
    detail = host.fails("jupyter-service", "the end")["jupyter-service"]["detail"]
    assert TOKEN[5:] not in detail


def test_service_log_on_standard_output(host: Host) -> None:
    host.supervisor.states = ["STOPPED"]
    host.supervisor.stderr = None
    host.supervisor.stdout = "bye\n"
    host.fails("jupyter-service", "STOPPED", "jupyfleet up", "bye")


def test_service_exited_names_its_code(host: Host) -> None:
    host.supervisor.states = ["EXITED"]
    host.supervisor.extra = {"exitstatus": 3}
    host.fails("jupyter-service", "EXITED (exit code 3)", "says nothing")


def test_service_unknown_to_supervisor(host: Host) -> None:
    host.fails("jupyter-service", "knows no program other", "jupyfleet up", program="other")


def test_supervisor_not_running(host: Host, sockets: Path) -> None:
    host.fails("jupyter-service", "supervisord does not run", supervisor_socket=str(sockets / "none"))
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(sockets / "old"))
    host.fails("jupyter-service", "supervisord does not run", supervisor_socket=str(sockets / "old"))


def test_supervisor_socket_that_is_no_supervisor(host: Host, sockets: Path) -> None:
    with socketserver.ThreadingUnixStreamServer(str(sockets / "x"), Rude) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host.fails("jupyter-service", "gave no usable answer", supervisor_socket=str(sockets / "x"))
        server.shutdown()
    host.fails("jupyter-service", "gave no usable answer", supervisor_socket=f"/{'long' * 50}")


# --- port and API ---------------------------------------------------------------------------------------------------


class Rude(socketserver.StreamRequestHandler):
    """Speaks something, but not HTTP."""

    def handle(self) -> None:
        """Greet as another protocol would."""
        self.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n")


def test_closed_port_makes_later_checks_quick(host: Host) -> None:
    port = closed_port()
    checks = host.fails("jupyter-port", f"127.0.0.1:{port} accepts no connection", "refused", port=port)
    assert checks["jupyter-service"]["status"] == "ok"
    for name in IDS[5:]:
        assert checks[name]["detail"] == f"not reached: 127.0.0.1:{port} accepts no connection"
        assert checks[name]["seconds"] < 0.1


@pytest.mark.parametrize("state", ["FATAL", "STOPPED"])
def test_closed_port_of_a_service_that_gave_up_is_not_waited_for(host: Host, state: str) -> None:
    host.supervisor.states = [state]
    begun = time.monotonic()
    checks = host.verify(port=closed_port(), timeout=60)
    assert failed(checks) == IDS[3:]
    assert time.monotonic() - begun < 10


def test_closed_port_without_supervisor_is_not_waited_for(host: Host) -> None:
    begun = time.monotonic()
    host.fails("jupyter-port", port=closed_port(), supervisor_socket="/nowhere", timeout=60)
    assert time.monotonic() - begun < 10


def test_service_that_gives_up_while_the_port_is_waited_for(host: Host) -> None:
    host.supervisor.states = ["RUNNING", "BACKOFF", "FATAL"]
    begun = time.monotonic()
    host.fails("jupyter-port", port=closed_port(), timeout=60)
    assert time.monotonic() - begun < 10


def test_slow_start_of_port_and_api(host: Host) -> None:
    port = closed_port()
    late: list[Jupyter] = []

    def start() -> None:
        late.append(Jupyter(("127.0.0.1", port)))
        late[0].not_yet = 2
        late[0].mcp_not_yet = 1
        late[0].__enter__()

    timer = threading.Timer(0.7, start)
    timer.start()
    try:
        assert failed(host.verify(port=port, timeout=20)) == []
    finally:
        timer.join()
        late[0].__exit__()


def test_port_that_accepts_and_never_answers(host: Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        checks = host.fails("jupyter-api", "got no answer", port=silent.getsockname()[1])
    assert checks["jupyter-port"]["status"] == "ok"
    assert all(checks[name]["detail"].startswith("not reached: ") for name in IDS[6:])
    assert time.monotonic() - begun < 10


def test_port_of_something_else(host: Host) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Rude) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host.fails("jupyter-api", "does not speak HTTP", port=server.server_address[1])
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "answer", "words"),
    [
        ("/api", (500, "text/plain", "boom\nmore"), ["GET /api answered 500 boom"]),
        ("/api", (503, "text/plain", "starting"), ["GET /api answered 503"]),
        ("/api", (200, "text/html", "<h1>nginx</h1>"), ["without a version"]),
        ("/api", (200, "application/json", "[1]"), ["without a version"]),
        ("/lab", (500, "text/html", "<h1>boom</h1>"), ["GET /lab answered 500"]),
        ("/lab", (302, "text/html", ""), ["with the token answered 302", "restart"]),
        ("/lab", (200, "application/json", "{}"), ["GET /lab", "instead of a page"]),
        ("/lab", (200, "text/html", "<h1>lab</h1>"), ["names no /static/lab/"]),
        ("/static/lab/main.1f.js", (404, "text/html", ""), ["/static/lab/main.1f.js", "answered 404"]),
        ("/static/lab/main.1f.js", (200, "text/html", "<h1>"), ["(text/html)"]),
        ("/static/lab/main.1f.js", (200, "text/javascript", ""), ["answered 200"]),
    ],
)
def test_api_or_page_that_is_wrong(host: Host, path: str, answer: tuple[int, str, str], words: list[str]) -> None:
    host.jupyter.answers[path] = answer
    checks = host.fails("jupyter-api", *words)
    assert failed(checks) == ["jupyter-api"]


def test_api_below_a_base_url(host: Host) -> None:
    host.jupyter.prefix = "/team/a"
    host.jupyter.answers["/lab"] = (200, "text/html", PAGE.replace("/static", "/team/a/static"))
    checks = host.verify(base_url="/team/a/")
    assert failed(checks) == []
    assert "/team/a/lab" in checks["jupyter-api"]["detail"]


def test_page_that_names_another_server_does_not_get_the_token_there(host: Host) -> None:
    with Jupyter() as elsewhere:
        page = f'<script src="http://127.0.0.1:{elsewhere.port}/static/lab/x.js"></script>'
        host.jupyter.answers["/lab"] = (200, "text/html", page)
        host.fails("jupyter-api", "/static/lab/x.js", "404")
        assert elsewhere.log == []


def test_requests_go_past_a_proxy(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert failed(host.verify()) == []


def test_the_api_is_asked_without_the_token_and_all_else_with_it_in_a_header(host: Host) -> None:
    host.verify(timeout=0)
    asked = dict(zip(host.jupyter.log, host.jupyter.headers_seen, strict=True))
    assert "Authorization" not in asked[("GET", "/api")]
    assert asked[("GET", "/lab")]["Authorization"] == f"Bearer {TOKEN}"
    assert asked[("POST", "tools/call")]["Authorization"] == f"Bearer {TOKEN}"
    assert all(TOKEN not in path for _, path in host.jupyter.log)


# --- the token file -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (TOKEN + "\n", ["ends with a newline"]),
        ("", ["is empty", "jupyfleet up"]),
        (f"two {TOKEN}", ["no header can carry"]),
        ("t\u00f6ken", ["no header can carry"]),
        (None, ["is missing: run jupyfleet up"]),
    ],
)
def test_token_file_that_is_no_use(host: Host, content: str | None, words: list[str]) -> None:
    if content is None:
        host.token_file.unlink()
    else:
        host.write_token(content)
    checks = host.fails("jupyter-api", *words)
    assert failed(checks) == IDS[5:9]
    assert all(word in checks["mcp-jupyter-ping"]["detail"] for word in words)
    assert checks["mcp-jupyter-list-tools"]["detail"].startswith("not reached: ")


def test_token_file_that_is_a_directory(host: Host) -> None:
    host.token_file.unlink()
    host.token_file.mkdir(mode=0o700)
    host.fails("jupyter-api", "cannot be read: Is a directory")


def test_server_with_another_token(host: Host) -> None:
    host.jupyter.token = "older"
    checks = host.fails("jupyter-api", "does not know the token in its file")
    assert "does not know the token" in checks["mcp-jupyter-ping"]["detail"]
    assert checks["mcp-jupyter-auth-required"]["status"] == "ok"


def test_a_site_without_tokens(host: Host) -> None:
    host.jupyter.token = None
    checks = host.verify(token_file=None)
    assert failed(checks) == []
    assert checks["mcp-jupyter-auth-required"]["status"] == "skipped"
    assert "jupyter_auth none" in checks["mcp-jupyter-auth-required"]["detail"]
    assert all("Authorization" not in headers for headers in host.jupyter.headers_seen)
    gone = host.verify(token_file=None, port=closed_port())
    assert gone["mcp-jupyter-auth-required"]["status"] == "skipped"


@pytest.mark.parametrize("form", [TOKEN, json.dumps(TOKEN), repr(TOKEN), urllib.parse.quote(TOKEN, safe="")])
def test_a_server_that_repeats_the_token_everywhere(host: Host, form: str) -> None:
    padded = f"{'x' * (probe.DETAIL_CHARACTERS - 60)} {form} {form}"
    for path in ("/api", "/lab", "/mcp"):
        host.jupyter.answers[path] = (500, "text/plain", f"{form} {padded}")
    host.jupyter.open_paths = {"/mcp", "/api/contents"}
    host.supervisor.states = ["FATAL"]
    host.supervisor.stderr = f"Authorization: Bearer {form}\nBearer other-token\ntoken=an-older-one\n{padded}"
    script(host.lab, f"#!/bin/sh\ncat {host.token_file} >&2\nexit 1\n")
    checks = host.verify()
    assert "***" in checks["jupyter-api"]["detail"]
    assert "***" in checks["jupyter-lab-binary"]["detail"]
    for shown in (check["detail"] for check in checks.values()):
        assert not {"other-token", "an-older-one"} & set(shown.replace("=", " ").split())
        assert TOKEN[:12] not in shown


def test_the_token_is_in_no_argument_or_environment_of_a_program(host: Host) -> None:
    report = host.root / "report"
    script(host.lab, f'#!/bin/sh\n(env; echo "$@"; tr "\\0" " " < /proc/$PPID/cmdline) > {report}\necho 4.6.6\n')
    host.passes("jupyter-lab-binary")
    assert "PATH=" in report.read_text()
    assert TOKEN not in report.read_text()


# --- MCP ------------------------------------------------------------------------------------------------------------


def test_mcp_headers_are_those_of_the_revision(host: Host) -> None:
    host.verify(timeout=0)
    sent = dict(zip(host.jupyter.log, host.jupyter.headers_seen, strict=True))[("POST", "tools/list")]
    assert sent["MCP-Protocol-Version"] == "2025-11-25"
    assert sent["Accept"] == "application/json, text/event-stream"
    assert ("POST", "initialize") not in host.jupyter.log


def test_mcp_over_event_streams_that_stay_open(host: Host) -> None:
    host.jupyter.sse = True
    begun = time.monotonic()
    assert failed(host.verify()) == []
    assert time.monotonic() - begun < 10


def test_mcp_event_stream_without_the_answer(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "REQUEST_SECONDS", 0.5)
    host.jupyter.sse = host.jupyter.sse_silent = True
    checks = host.fails("mcp-jupyter-ping", "without a JSON-RPC message")
    assert checks["mcp-jupyter-list-tools"]["detail"].startswith("not reached: ")


@pytest.mark.parametrize("sse", [False, True])
def test_mcp_session_is_opened_carried_and_given_back(host: Host, sse: bool) -> None:
    host.jupyter.session = "s-1"
    host.jupyter.sse = sse
    assert failed(host.verify()) == []
    methods = [method for verb, method in host.jupyter.log if verb == "POST"]
    assert methods[:4] == ["ping", "initialize", "notifications/initialized", "ping"]
    assert methods.count("initialize") == 1
    assert host.jupyter.log[-1] == ("DELETE", "/mcp")
    assert host.jupyter.headers_seen[-1]["Mcp-Session-Id"] == "s-1"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, "text/html", ""), ["not installed or not enabled"]),
        ((500, "text/plain", "boom"), ["answered 500 boom"]),
        ((400, "text/plain", "bad version"), ["answered 400 bad version"]),
        ((403, "text/plain", "foreign"), ["answered 403 foreign", "does not know the token"]),
        ((503, "text/plain", "starting"), ["answered 503 starting"]),
        ((200, "text/html", "<h1>"), ["200 (text/html) without a JSON-RPC message"]),
        ((200, "application/json", "{"), ["without a JSON-RPC message"]),
        ((200, "application/json", '{"jsonrpc": "2.0", "id": 99, "result": {}}'), ["that belongs to it"]),
    ],
)
def test_mcp_ping_that_fails(host: Host, answer: tuple[int, str, str], words: list[str]) -> None:
    host.jupyter.answers["/mcp"] = answer
    checks = host.fails("mcp-jupyter-ping", *words)
    assert failed(checks) == IDS[6:9]
    assert checks["jupyter-api"]["status"] == "ok"


def test_mcp_ping_answered_with_an_error_says_nothing_about_tools(host: Host) -> None:
    host.jupyter.errors["ping"] = {"code": -32601, "message": "Method not found"}
    assert failed(host.fails("mcp-jupyter-ping", "error -32601 Method not found")) == ["mcp-jupyter-ping"]


def test_mcp_ping_answered_without_a_result(host: Host) -> None:
    host.jupyter.results["ping"] = None
    host.fails("mcp-jupyter-ping", "without a result")


def test_mcp_that_hangs_costs_one_wait(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "REQUEST_SECONDS", 0.5)
    host.jupyter.sse = True
    release = threading.Event()
    monkeypatch.setattr(Handler, "mcp", lambda self, request: release.wait(10) and None)
    checks = host.fails("mcp-jupyter-ping", "got no answer")
    release.set()
    assert checks["mcp-jupyter-list-tools"]["seconds"] < 0.1
    assert checks["mcp-jupyter-auth-required"]["status"] == "ok"


def test_tools_over_several_pages(host: Host) -> None:
    host.jupyter.tool_pages = [["notebook_list"], ["cell_get"], ["cell_execute", "cell_move"]]
    host.passes("mcp-jupyter-list-tools", "4 tools, all 3 documented")


def test_tools_missing_and_forbidden(host: Host) -> None:
    host.jupyter.tool_pages = [["notebook_list", "room_open"]]
    words = ["names 2 tools", "missing: cell_get, cell_execute", "must not be there: room_open"]
    assert failed(host.fails("mcp-jupyter-list-tools", *words)) == ["mcp-jupyter-list-tools"]


def test_tools_forbidden_on_a_later_page(host: Host) -> None:
    host.jupyter.tool_pages = [TOOLS, ["room_close"]]
    host.fails("mcp-jupyter-list-tools", "must not be there: room_close")


def test_tools_without_end(host: Host) -> None:
    host.jupyter.cursor_circle = True
    host.fails("mcp-jupyter-list-tools", "does not come to an end")


def test_tools_that_are_no_list(host: Host) -> None:
    host.jupyter.errors["tools/list"] = {"code": -32603, "message": "boom"}
    host.fails("mcp-jupyter-list-tools", "-32603 boom")


TEXT = json.dumps(NOTEBOOKS)


@pytest.mark.parametrize(
    "result",
    [
        {"structuredContent": {"result": NOTEBOOKS}},
        {"structuredContent": {"result": []}, "content": []},
        {"structuredContent": NOTEBOOKS},
        {"content": [{"type": "text", "text": TEXT}]},
        {"content": [{"type": "image"}, {"type": "text", "text": json.dumps({"result": NOTEBOOKS})}]},
    ],
)
def test_notebook_list_shapes_that_are_accepted(host: Host, result: dict[str, Any]) -> None:
    host.jupyter.results["tools/call"] = result
    host.passes("mcp-jupyter-call-list-notebooks", "a list of ")


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"isError": True, "content": [{"type": "text", "text": "no contents\nmore"}]}, ["failed: no contents"]),
        ({"isError": True}, ["gave no reason"]),
        ({"structuredContent": {"result": "a.ipynb"}}, ["not answer with a list but str"]),
        ({"structuredContent": {"result": [*NOTEBOOKS, {"path": "x"}]}}, ["entry 1 of 2"]),
        ({"structuredContent": {"result": ["a.ipynb"]}}, ["entry 0 of 1"]),
        ({"structuredContent": {"result": [{"path": 1, "name": "x"}]}}, ["entry 0 of 1"]),
        ({"content": [{"type": "text", "text": "a.ipynb"}]}, ["not answer with a list"]),
        ({"content": []}, ["but NoneType"]),
    ],
)
def test_notebook_list_that_is_wrong(host: Host, result: dict[str, Any], words: list[str]) -> None:
    host.jupyter.results["tools/call"] = result
    assert failed(host.fails("mcp-jupyter-call-list-notebooks", *words)) == ["mcp-jupyter-call-list-notebooks"]


# --- strangers ------------------------------------------------------------------------------------------------------


def test_api_that_sends_strangers_to_the_login_page_refuses(host: Host) -> None:
    host.jupyter.location = "/login?next=%2Fapi%2Fcontents"
    host.passes("mcp-jupyter-auth-required")


def test_api_that_sends_strangers_elsewhere_does_not_refuse(host: Host) -> None:
    host.jupyter.location = "/lab?then=login"
    host.fails("mcp-jupyter-auth-required", "GET /api/contents answered 302")


@pytest.mark.parametrize(("path", "request_line"), [("/api/contents", "GET /api/contents"), ("/mcp", "POST /mcp")])
def test_a_server_open_to_strangers(host: Host, path: str, request_line: str) -> None:
    host.jupyter.open_paths = {path}
    words = [
        f"{request_line} answered 200 without a token",
        f"{request_line} answered 200 to a wrong token",
        "close the port",
    ]
    assert failed(host.fails("mcp-jupyter-auth-required", *words)) == ["mcp-jupyter-auth-required"]


def test_a_lock_that_any_token_opens(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "allowed", lambda self, path: "Authorization" in self.headers)
    checks = host.fails("mcp-jupyter-auth-required", "answered 200 to a wrong token")
    assert "without a token" not in checks["mcp-jupyter-auth-required"]["detail"]


def test_a_refusal_by_the_forgery_protection_alone_is_none(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def allowed(self: Handler, path: str) -> bool:
        if path != "/mcp":
            return self.headers.get("Authorization") == f"Bearer {TOKEN}"
        xsrf = self.headers.get("X-XSRFToken")
        return "Authorization" in self.headers or (xsrf and self.headers.get("Cookie") == f"_xsrf={xsrf}") is True

    monkeypatch.setattr(Handler, "allowed", allowed)
    host.fails("mcp-jupyter-auth-required", "POST /mcp answered 200 without a token")


def test_a_server_that_breaks_instead_of_refusing(host: Host) -> None:
    host.jupyter.answers["/api/contents"] = (500, "text/plain", "boom")
    checks = host.fails("mcp-jupyter-auth-required", "GET /api/contents answered 500")
    assert "close the port" not in checks["mcp-jupyter-auth-required"]["detail"]


def test_a_token_file_that_everybody_can_read(host: Host) -> None:
    host.token_file.chmod(0o644)
    host.fails("mcp-jupyter-auth-required", "open to every user (mode 0644)", "chmod 600")


# --- HTTPS ----------------------------------------------------------------------------------------------------------


def certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate and its key in one file."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    try:
        alternative = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    built = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    pem = serialization.Encoding.PEM
    path = folder / f"{name}.pem"
    path.write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()) + built.public_bytes(pem))
    return path


def encrypt(server: Jupyter, pem: Path) -> None:
    """Make a server speak HTTPS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)


def test_https_with_the_sites_authority(host: Host) -> None:
    pem = certificate(host.root, "lab.example.org")
    encrypt(host.jupyter, pem)
    assert failed(host.verify(scheme="https", ca_file=str(pem))) == []


def test_https_without_the_authority_says_what_to_set(host: Host) -> None:
    encrypt(host.jupyter, certificate(host.root, "lab.example.org"))
    checks = host.fails("jupyter-api", "is not trusted", "ca_file", scheme="https", timeout=30)
    assert all(checks[name]["detail"].startswith("not reached: ") for name in IDS[6:])


def test_https_with_a_file_that_is_no_authority(host: Host) -> None:
    host.fails("jupyter-api", "holds no certificate", scheme="https", ca_file="/nowhere.pem")
    host.fails("jupyter-api", "holds no certificate", scheme="https", ca_file=str(host.lab))


def test_hostnames_are_left_unproven_on_loopback_only() -> None:
    assert [probe.is_loopback(name) for name in ("127.0.0.1", "127.8.8.8", "::1", "localhost")] == [True] * 4
    assert [probe.is_loopback(name) for name in ("10.0.0.1", "192.168.1.7", "lab.example.org")] == [False] * 3


def test_https_names_another_host_off_loopback(host: Host) -> None:
    address = own_address()
    pem = certificate(host.root, "lab.example.org")
    with Jupyter((address, 0)) as server:
        encrypt(server, pem)
        spec = {"scheme": "https", "ca_file": str(pem), "host": address, "port": server.port}
        host.fails("jupyter-api", "is not trusted", **spec)


def own_address() -> str:
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has only loopback")
        return str(one.getsockname()[0])


def test_https_to_a_server_without_it(host: Host) -> None:
    host.fails("jupyter-api", "https /api got no answer", scheme="https")
