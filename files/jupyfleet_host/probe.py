"""The one remote command behind verify: prove that a host serves what it should, and change nothing on it.

``main(spec)`` runs every check of the design's table and answers, for each of them, ok, failed or skipped with one
sentence. It never writes a file, never runs the environment's programs as root when they belong to somebody else,
never goes through a proxy, never follows a redirect, and never lets the token leave an Authorization header. Whatever
a host does, the answer is complete: an error inside a check is that check's result.
"""

from __future__ import annotations

import base64
import contextlib
import html
import http.client
import ipaddress
import json
import os
import pwd
import re
import secrets
import socket
import ssl
import stat
import subprocess
import threading
import time
import urllib.parse
import xmlrpc.client
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from jupyfleet_host.common import HostError, Result, Spec

CHECKS = (
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
)
#: What an environment can prove before anything runs from it.
BUILD_CHECKS = CHECKS[:2]
#: These need no server, so they run beside the others.
LOCAL_CHECKS = CHECKS[:3]

#: The last revision that knows `ping`.
MCP_REVISION = "2025-11-25"
#: States that supervisor does not leave by itself.
SETTLED = frozenset({"FATAL", "STOPPED"})
#: What a gateway, or a server whose parts are still starting, answers.
NOT_YET = frozenset({502, 503, 504})

MOUNTINFO = Path("/proc/self/mountinfo")
PROGRAM_SECONDS = 180.0
REQUEST_SECONDS = 15.0
#: On top of a check's own limits, for what no limit reaches: a dead file server, an answer that drips.
GUARD_SECONDS = 60.0
POLL_SECONDS = 0.2
MOST_BYTES = 16 * 1024 * 1024
MOST_PAGES = 100
LOG_BYTES = 4000
DETAIL_CHARACTERS = 700
MASK = "***"
SERVED_WITH_ANOTHER = "the running server does not know the token in its file, restart it with jupyfleet up"


class CheckError(Exception):
    """A check fell short; the text says what happened and, where it is clear, what to do next."""


class SkipError(Exception):
    """A check does not apply to this host; the text says why."""


class ServerGoneError(CheckError):
    """The server gives no usable answer at all: what comes after needs no wait of its own."""


class NoAnswerError(ServerGoneError):
    """No HTTP answer came, which a server that is just starting may still change."""


class RpcError(CheckError):
    """The MCP server is there and answers a request with an error."""


class SessionWantedError(RpcError):
    """The MCP server answers only within a session."""


@dataclass(frozen=True)
class Settings:
    """The spec with its types; `ca_file` is the only key that may be absent."""

    home: str
    environment: str
    workspace: str
    workspace_mount: str
    workspace_tag: str
    user: str | None
    supervisor_socket: str
    program: str
    host: str
    port: int
    scheme: str
    base_url: str
    token_file: str | None
    profile: str
    spacy_model: str | None
    tools: list[str]
    forbidden_tools: list[str]
    timeout: float
    scope: str
    ca_file: str | None = None

    @classmethod
    def from_spec(cls, spec: Spec) -> Settings:
        """Read the spec; a key too few is the controller's mistake, not the host's state."""
        names = {one.name for one in fields(cls)}
        missing = sorted(names - {"ca_file"} - spec.keys())
        if missing:
            raise HostError(f"the probe's spec lacks {', '.join(missing)}")
        return cls(**{name: value for name, value in spec.items() if name in names})

    def url(self, path: str) -> str:
        """A path below the server's base URL."""
        base = self.base_url.strip("/")
        return f"/{base}/{path}" if base else f"/{path}"

    @property
    def address(self) -> str:
        """Host and port for a person."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Deadline:
    """The time that a just-started server gets, shared by every check that waits."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that remain, never negative."""
        return max(0.0, self._end - time.monotonic())

    def over(self) -> bool:
        """Whether no time remains."""
        return self.left() <= 0

    def pause(self) -> None:
        """Wait a little, but not beyond the end."""
        time.sleep(min(POLL_SECONDS, self.left()))


# --- what may be said -----------------------------------------------------------------------------------------------


def secret_forms(raw: str) -> set[str]:
    """Every form in which a token file's content could turn up in somebody else's text."""
    plain = {raw, raw.strip(), *(line.strip() for line in raw.splitlines())} - {""}
    forms: set[str] = set()
    for text in plain:
        encoded = base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
        quoted = {urllib.parse.quote(text, safe=""), urllib.parse.quote_plus(text), html.escape(text)}
        forms |= {text, json.dumps(text)[1:-1], repr(text)[1:-1], encoded} | quoted
    return forms


class Scrubber:
    """Take credentials out of text: this host's token in any form, and whatever looks like one."""

    _looks_like_one = re.compile(r"(?i)(\btoken=|\b(?:bearer|authorization:\s*token)\s+)[^\s&\"'<>]+")

    def __init__(self, token_file: str | None) -> None:
        raw = ""
        if token_file is not None:
            with contextlib.suppress(OSError, ValueError):
                raw = Path(token_file).read_bytes().decode("utf-8", "replace")
        forms = sorted(secret_forms(raw), key=len, reverse=True)
        self._forms = re.compile("|".join(map(re.escape, forms))) if forms else None

    def __call__(self, text: str) -> str:
        """The text as one line without credentials, cut only after they are out."""
        if self._forms:
            text = self._forms.sub(MASK, text)
        text = " ".join(self._looks_like_one.sub(rf"\g<1>{MASK}", text).split())
        return text if len(text) <= DETAIL_CHARACTERS else f"{text[:DETAIL_CHARACTERS]}…"


def first_line(text: str) -> str:
    """The first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def last_line(text: str) -> str:
    """The last line that says something, which is where Python names an error."""
    return first_line("\n".join(reversed(text.splitlines())))


def describe(error: BaseException) -> str:
    """An error as type and message."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


# --- the service's user ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Account:
    """Whom the environment and the workspace belong to."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]

    @classmethod
    def find(cls, name: str | None) -> Account:
        """Look the service's user up; without a name it is whoever runs the probe."""
        if name is None:
            uid = os.geteuid()
            try:
                own = pwd.getpwuid(uid).pw_name
            except KeyError:
                own = f"uid {uid}"
            return cls(own, uid, os.getegid(), tuple(os.getgroups()))
        try:
            entry = pwd.getpwnam(name)
        except KeyError as error:
            raise CheckError(f"there is no user {name} on this host: run jupyfleet up") from error
        groups = tuple(os.getgrouplist(name, entry.pw_gid))
        return cls(name, entry.pw_uid, entry.pw_gid, groups)

    @property
    def other(self) -> bool:
        """Whether the probe runs as somebody else."""
        return self.uid != os.geteuid()

    def identity(self) -> dict[str, Any]:
        """What makes a child process run as this user, as far as the probe may."""
        if self.other and os.geteuid() == 0:
            return {"user": self.uid, "group": self.gid, "extra_groups": self.groups}
        return {}


def run_as(account: Account, argv: list[str], settings: Settings) -> subprocess.CompletedProcess[str]:
    """Run a program as the service's user with an environment of ours, writing no bytecode."""
    path = f"{settings.environment}/bin:/usr/local/bin:/usr/bin:/bin"
    env = {"HOME": settings.home, "PATH": path, "LANG": "C.UTF-8"}
    env |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1"}
    try:
        return subprocess.run(
            argv,
            env=env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROGRAM_SECONDS,
            check=False,
            **account.identity(),
        )
    except subprocess.TimeoutExpired as error:
        raise CheckError(f"{argv[0]} did not end within {PROGRAM_SECONDS:.0f} s") from error
    except OSError as error:
        raise CheckError(f"{argv[0]} could not be started as {account.name}: {error.strerror or error}") from error


def look_at(path: Path) -> os.stat_result:
    """A path's status, or in words why there is none."""
    try:
        return path.stat()
    except PermissionError as error:
        raise CheckError(f"{path} is closed to this user: run verify as its owner or with sudo") from error
    except FileNotFoundError as error:
        where = "is a link to nothing" if path.is_symlink() else "does not exist"
        raise CheckError(f"{path} {where}: run jupyfleet up") from error


def owner_of(uid: int) -> str:
    """A file owner's name, or the number when it has none here."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


# --- the environment ------------------------------------------------------------------------------------------------


def check_binary(probe: Probe) -> str:
    """Prove that the active environment holds a JupyterLab that starts far enough to name its version."""
    program = Path(probe.settings.environment, "bin", "jupyter-lab")
    look_at(program)
    done = run_as(probe.account(), [str(program), "--version"], probe.settings)
    if done.returncode:
        reason = last_line(done.stderr) or last_line(done.stdout) or "it said nothing"
        raise CheckError(f"{program} --version ended with {done.returncode}: {reason}")
    version = last_line(done.stdout)
    if not re.match(r"\d+\.\d+", version):
        raise CheckError(f"{program} --version named no version but {version!r}")
    return f"JupyterLab {version}"


SPACY_PROGRAM = """
import sys, spacy
model = spacy.load(sys.argv[1])
print(spacy.__version__, model.meta["version"])
"""


def check_spacy(probe: Probe) -> str:
    """Prove that the environment's own Python loads spaCy and its language model."""
    settings = probe.settings
    if settings.profile != "full":
        raise SkipError(f"the profile {settings.profile} has no spaCy")
    if settings.spacy_model is None:
        raise SkipError("no spaCy model is set for this host")
    python = Path(settings.environment, "bin", "python")
    look_at(python)
    argv = [str(python), "-I", "-B", "-c", SPACY_PROGRAM, settings.spacy_model]
    done = run_as(probe.account(), argv, settings)
    if done.returncode:
        reason = last_line(done.stderr) or f"exit code {done.returncode}"
        raise CheckError(f"spaCy does not load {settings.spacy_model}: {reason}")
    versions = last_line(done.stdout).split()
    if len(versions) != 2:
        raise CheckError(f"spaCy named no versions but {last_line(done.stdout)!r}")
    return f"spaCy {versions[0]} loads {settings.spacy_model} {versions[1]}"


# --- the workspace --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo, as far as it matters here."""

    point: str
    fstype: str
    source: str


def parse_mountinfo(text: str) -> list[Mount]:
    """Read /proc/self/mountinfo, where blanks in names are written as octal numbers."""

    def plain(word: str) -> str:
        return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word)

    mounts = []
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        before, after = left.split(), right.split()
        if len(before) >= 5 and len(after) >= 2:
            mounts.append(Mount(plain(before[4]), plain(after[0]), plain(after[1])))
    return mounts


def mount_of(mounts: Iterable[Mount], path: str) -> Mount | None:
    """The mount that a real path lies on: the deepest one, and of several on one point the last."""
    found: Mount | None = None
    for mount in mounts:
        inside = path == mount.point or path.startswith(f"{mount.point.rstrip('/')}/")
        if inside and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def check_mounted(settings: Settings) -> str:
    """Prove that the workspace itself is the virtiofs share with the right tag, not the empty folder under it."""
    real = os.path.realpath(settings.workspace)
    mount = mount_of(parse_mountinfo(MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape")), real)
    if mount is None or mount.point != real:
        where = f"lies on {mount.fstype} {mount.source}" if mount else "is on no mount that is known"
        todo = "check that the machine has the share, then run jupyfleet up"
        raise CheckError(f"{real} is not mounted from tag {settings.workspace_tag} but {where}: {todo}")
    if (mount.fstype, mount.source) != ("virtiofs", settings.workspace_tag):
        wanted = f"virtiofs tag {settings.workspace_tag}"
        raise CheckError(f"{real} is mounted from {mount.fstype} {mount.source} instead of {wanted}")
    return f", virtiofs tag {mount.source}"


# The shell, because every user may run it; our own interpreter may lie where only root can go.
ACCESS_PROGRAM = '[ -r "$1" ] && [ -w "$1" ] && [ -x "$1" ]'


def may_write(account: Account, settings: Settings) -> bool:
    """Ask the kernel whether the user may read, write and enter the workspace; nothing is written to find out."""
    path = settings.workspace
    if not account.other:
        return os.access(path, os.R_OK | os.W_OK | os.X_OK)
    if os.geteuid() == 0:
        return run_as(account, ["/bin/sh", "-c", ACCESS_PROGRAM, "sh", path], settings).returncode == 0
    # Only the owner's bits matter: that the user is the owner was proven before.
    return Path(path).stat().st_mode & stat.S_IRWXU == stat.S_IRWXU


def check_workspace(probe: Probe) -> str:
    """Prove that notebooks can be kept: the directory is there, mounted, the service user's and writable for them."""
    settings = probe.settings
    path = settings.workspace
    found = look_at(Path(path))
    if not stat.S_ISDIR(found.st_mode):
        raise CheckError(f"{path} is not a directory: move it away and run jupyfleet up")
    virtiofs = settings.workspace_mount == "virtiofs"
    mounted = check_mounted(settings) if virtiofs else ""
    account = probe.account()
    if found.st_uid != account.uid:
        where = " where the share comes from" if virtiofs else ""
        todo = f"make uid {account.uid} its owner{where}"
        raise CheckError(f"{path} belongs to {owner_of(found.st_uid)}, not to {account.name}: {todo}")
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        raise CheckError(f"{path} is on a filesystem that is mounted read-only")
    if not may_write(account, settings):
        mode = f"mode {stat.S_IMODE(found.st_mode):04o}"
        raise CheckError(f"{account.name} may not write in {path} ({mode}): check it and the folders above it")
    return f"{path} is writable for {account.name}{mounted}"


# --- supervisor -----------------------------------------------------------------------------------------------------


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path instead of a host and port."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(self._path)
        except BaseException:
            self.sock.close()
            raise


class UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__()
        self._path = path
        self._timeout = timeout

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        """The connection that `close` ends; the host is only a name for it."""
        connection = UnixConnection(self._path, self._timeout)
        self._connection = host, connection
        return connection


class Supervisor:
    """What supervisord knows about one program; it is asked and never told."""

    def __init__(self, path: str, program: str) -> None:
        self._path = path
        self._program = program
        self._rpc = xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=UnixTransport(path, 5.0))

    def _call(self, method: str, *arguments: object) -> Any:
        try:
            return getattr(self._rpc, f"supervisor.{method}")(*arguments)
        finally:
            self._rpc("close")()

    def info(self) -> dict[str, Any]:
        """The program's process info, or why there is none."""
        try:
            info = self._call("getProcessInfo", self._program)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise CheckError(f"supervisord does not run, nobody answers on {self._path}: run jupyfleet up") from error
        except PermissionError as error:
            raise CheckError(f"{self._path} is closed to this user: run verify as its owner or with sudo") from error
        except xmlrpc.client.Fault as error:
            unknown = "BAD_NAME" in error.faultString
            todo = ": run jupyfleet up" if unknown else f": {error.faultString}"
            raise CheckError(f"supervisor knows no program {self._program}{todo}") from error
        except xmlrpc.client.ProtocolError as error:
            raise CheckError(f"supervisor on {self._path} answered {error.errcode} {error.errmsg}") from error
        except (OSError, http.client.HTTPException, ExpatError, xmlrpc.client.Error) as error:
            raise CheckError(f"supervisor on {self._path} gave no usable answer: {describe(error)}") from error
        if not isinstance(info, dict) or not isinstance(info.get("statename"), str):
            raise CheckError(f"supervisor on {self._path} gave no state for {self._program}")
        return info

    def gave_up(self) -> bool:
        """Whether nothing is going to start the program: it is FATAL or STOPPED, or there is no supervisord."""
        try:
            return self.info()["statename"] in SETTLED
        except CheckError as error:
            return isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError)

    def last_words(self) -> str:
        """The last lines of the program's log, standard error first."""
        for method in ("readProcessStderrLog", "readProcessStdoutLog"):
            try:
                text = self._call(method, self._program, -LOG_BYTES, 0)
            except (OSError, http.client.HTTPException, ExpatError, xmlrpc.client.Error):
                continue
            lines = str(text).splitlines()
            if len(str(text).encode()) >= LOG_BYTES:
                del lines[:1]  # It may begin within the token, which nothing would then recognise.
            lines = [line.strip() for line in lines if line.strip()]
            if lines:
                return " | ".join(lines[-5:])
        return ""


def uptime(info: dict[str, Any]) -> str:
    """How long the process has been running, by supervisor's own clock."""
    seconds = max(0, int(info.get("now", 0)) - int(info.get("start", 0)))
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def check_service(probe: Probe) -> str:
    """Prove that supervisor runs the program and has seen it stay up; a start in progress gets its time."""
    program = probe.settings.program
    while True:
        info = probe.supervisor.info()
        state = info["statename"]
        if state == "RUNNING":
            return f"{program} is RUNNING, pid {info.get('pid')}, up {uptime(info)}"
        if state in SETTLED or probe.deadline.over():
            break
        probe.deadline.pause()
    reason = info.get("spawnerr") or ""
    if state == "EXITED":
        reason = reason or f"exit code {info.get('exitstatus')}"
    if state == "STOPPED":
        reason = reason or "somebody stopped it: start it with jupyfleet up"
    said = probe.supervisor.last_words()
    parts = [f"{program} is {state}", f" ({reason})" if reason else ""]
    parts.append(f"; its log ends: {said}" if said else "; its log says nothing, see jupyfleet logs")
    raise CheckError("".join(parts))


# --- HTTP -----------------------------------------------------------------------------------------------------------


def is_loopback(host: str) -> bool:
    """Whether a host is this very machine by definition."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def tls_context(settings: Settings) -> ssl.SSLContext:
    """Trust the site's authority when there is one; loopback's name is in nobody's certificate."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise ServerGoneError(
            f"ca_file {settings.ca_file} holds no certificate that can be read: {describe(error)}"
        ) from error
    context.check_hostname = not is_loopback(settings.host)
    return context


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        """The body, readable whatever it is."""
        return self.body.decode("utf-8", "replace")

    @property
    def kind(self) -> str:
        """The media type without parameters."""
        return self.headers.get_content_type()

    def shown(self) -> str:
        """Status and the body's first line, for a detail."""
        said = "" if self.kind == "text/html" else first_line(self.text)
        return f"{self.status} {said}".rstrip()


class Web:
    """Plain requests to the one server, straight to its address; a token only ever goes into a header."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        settings = self._settings
        if settings.scheme == "https":
            context = tls_context(settings)
            return http.client.HTTPSConnection(settings.host, settings.port, timeout=timeout, context=context)
        return http.client.HTTPConnection(settings.host, settings.port, timeout=timeout)

    @contextlib.contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        """Turn what the network does into what a person can use."""
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            hint = "name the authority's certificate as ca_file"
            raise ServerGoneError(
                f"the server's certificate is not trusted ({error.verify_message}): {hint}"
            ) from error
        except (OSError, http.client.IncompleteRead, http.client.RemoteDisconnected) as error:
            raise NoAnswerError(f"{self._settings.scheme} {path} got no answer: {describe(error)}") from error
        except http.client.HTTPException as error:
            address = self._settings.address
            raise ServerGoneError(f"what listens on {address} does not speak HTTP: {describe(error)}") from error

    @contextlib.contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        timeout: float | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """Send one request and hand out its answer unread."""
        sent = {"Connection": "close", "User-Agent": "jupyfleet-verify", **(headers or {})}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        with self._errors(path):
            connection = self._connection(REQUEST_SECONDS if timeout is None else timeout)
            with contextlib.closing(connection):
                connection.request(method, path, body=body, headers=sent)
                yield connection.getresponse()

    def get(
        self, path: str, *, token: str | None = None, timeout: float | None = None, most: int = MOST_BYTES
    ) -> Answer:
        """GET a path, reading no more than `most` bytes."""
        with self.stream("GET", path, token=token, timeout=timeout) as response:
            return Answer(response.status, response.headers, response.read(most))


def read_token(path: str | None) -> str | None:
    """The token as the server reads it, with nothing stripped; None where the site has no token."""
    if path is None:
        return None
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise CheckError(f"token file {path} is missing: run jupyfleet up") from error
    except PermissionError as error:
        raise CheckError(f"token file {path} is closed to this user: run verify as its owner or with sudo") from error
    except OSError as error:
        raise CheckError(f"token file {path} cannot be read: {error.strerror or 'no reason given'}") from error
    if not raw:
        raise CheckError(f"token file {path} is empty: remove it and run jupyfleet up")
    if raw.endswith(b"\n"):
        raise CheckError(
            f"token file {path} ends with a newline, which Jupyter takes as part of the token: write it without"
        )
    if not re.fullmatch(rb"[\x21-\x7e]+", raw):
        raise CheckError(f"token file {path} holds what no header can carry: remove it and run jupyfleet up")
    return raw.decode("ascii")


def connect(settings: Settings, timeout: float) -> None:
    """Open a TCP connection and close it."""
    socket.create_connection((settings.host, settings.port), timeout=timeout).close()


def check_port(probe: Probe) -> str:
    """Prove that something listens; a server that is being started gets the time that is left."""
    settings = probe.settings
    while True:
        try:
            connect(settings, timeout=max(1.0, min(5.0, probe.deadline.left())))
            return f"{settings.address} accepts connections"
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
        if probe.deadline.over() or probe.supervisor.gave_up():
            break
        probe.deadline.pause()
    probe.gone = f"{settings.address} accepts no connection"
    raise ServerGoneError(f"{probe.gone} ({reason}): see jupyfleet logs")


def first_api_answer(probe: Probe) -> Answer:
    """Ask for /api until the server answers; an answer that is wrong is an answer."""
    path = probe.settings.url("api")
    while True:
        try:
            answer = probe.web.get(path, timeout=max(2.0, probe.deadline.left()))
            if answer.status not in NOT_YET or probe.deadline.over():
                return answer
        except NoAnswerError:
            if probe.deadline.over() or probe.supervisor.gave_up():
                raise
        probe.deadline.pause()


def parse_json(text: str | bytes) -> Any:
    """JSON, or None for what is not."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def check_api(probe: Probe) -> str:
    """Prove that Jupyter Server answers, and that a browser would get JupyterLab's page and its program."""
    path = probe.settings.url("api")
    answer = first_api_answer(probe)
    content = parse_json(answer.body)
    if answer.status != 200:
        raise CheckError(f"GET {path} answered {answer.shown()} instead of 200")
    if not isinstance(content, dict) or not isinstance(content.get("version"), str):
        raise CheckError(f"GET {path} answered 200 without a version: is this port Jupyter's?")
    token = probe.token()
    asset = find_asset(probe, token)
    return f"Jupyter Server {content['version']} serves {probe.settings.url('lab')} and {asset}"


def find_asset(probe: Probe, token: str | None) -> str:
    """Prove the page and one program that it refers to; the token goes to this server, whatever the page names."""
    path = probe.settings.url("lab")
    page = probe.web.get(path, token=token)
    if page.status in (301, 302, 303, 401, 403):
        raise CheckError(f"GET {path} with the token answered {page.status}: {SERVED_WITH_ANOTHER}")
    if page.status != 200 or page.kind != "text/html":
        raise CheckError(f"GET {path} answered {page.shown()} ({page.kind}) instead of a page")
    found = re.search(r"""["']([^"'<>\s]*/static/lab/[^"'<>\s]+\.js(?:\?[^"'<>\s]*)?)["']""", page.text)
    if not found:
        raise CheckError(
            f"GET {path} answered a page that names no /static/lab/….js: JupyterLab's files are incomplete"
        )
    asset = urllib.parse.urlsplit(html.unescape(found[1]))
    answer = probe.web.get(f"{asset.path}?{asset.query}" if asset.query else asset.path, token=token, most=4096)
    if answer.status != 200 or answer.kind == "text/html" or not answer.body:
        raise CheckError(f"GET {asset.path}, which {path} needs, answered {answer.status} ({answer.kind})")
    return asset.path


# --- MCP ------------------------------------------------------------------------------------------------------------


def ping_body(number: int) -> bytes:
    """A JSON-RPC ping."""
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "ping"}).encode()


def mcp_headers() -> dict[str, str]:
    """What every MCP request of our revision carries."""
    return {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MCP_REVISION,
    }


def sse_messages(response: http.client.HTTPResponse, deadline: Deadline) -> Iterator[Any]:
    """The JSON messages of an event stream, until it ends or time is up."""
    data: list[str] = []
    while not deadline.over():
        line = response.readline(MOST_BYTES)
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text.startswith("data:"):
            data.append(text[5:].removeprefix(" "))
        elif not text and data:
            yield parse_json("\n".join(data))
            data = []
        if not line:
            return


class Mcp:
    """A small MCP client for one endpoint: stateless when it can be, with a session when the server wants one."""

    def __init__(self, web: Web, path: str, token: str | None) -> None:
        self._web = web
        self._path = path
        self._token = token
        self._session: str | None = None
        self._number = 0

    def call(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """One request's result; a session is opened when the server asks for it."""
        try:
            return self._request(method, params)
        except SessionWantedError:
            if self._session is not None:
                raise
            self._initialize()
            return self._request(method, params)

    def close(self) -> None:
        """Give an opened session back, so that nothing of the probe stays in the server."""
        if self._session is not None:
            with contextlib.suppress(CheckError), self._send("DELETE", None) as response:
                response.read(MOST_BYTES)

    def _send(self, verb: str, body: bytes | None) -> contextlib.AbstractContextManager[http.client.HTTPResponse]:
        headers = mcp_headers()
        if self._session is not None:
            headers["Mcp-Session-Id"] = self._session
        return self._web.stream(verb, self._path, token=self._token, headers=headers, body=body)

    def _initialize(self) -> None:
        client = {"name": "jupyfleet-verify", "version": "1"}
        params = {"protocolVersion": MCP_REVISION, "capabilities": {}, "clientInfo": client}
        self._request("initialize", params)
        notice = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode()
        with self._send("POST", notice) as response:
            response.read(MOST_BYTES)

    def _request(self, method: str, params: dict[str, Any] | None) -> dict[str, Any]:
        self._number += 1
        request: dict[str, Any] = {"jsonrpc": "2.0", "id": self._number, "method": method}
        if params is not None:
            request["params"] = params
        with self._send("POST", json.dumps(request).encode()) as response:
            message = self._answer(method, response)
            if method == "initialize":
                self._session = response.headers.get("Mcp-Session-Id")
        return self._result(method, message)

    def _answer(self, method: str, response: http.client.HTTPResponse) -> dict[str, Any]:
        """The message that answers this request, as JSON or out of an event stream."""
        what = f"POST {self._path} ({method})"
        if response.status != 200:
            raise self._refusal(what, Answer(response.status, response.headers, response.read(MOST_BYTES)))
        messages: Iterable[Any]
        if response.headers.get_content_type() == "text/event-stream":
            messages = sse_messages(response, Deadline(REQUEST_SECONDS))
        else:
            messages = [parse_json(response.read(MOST_BYTES))]
        for message in messages:
            if isinstance(message, dict) and message.get("id") == self._number:
                return message
            if isinstance(message, dict) and message.get("id", 0) is None and "error" in message:
                return message
        kind = response.headers.get_content_type()
        raise CheckError(f"{what} answered 200 ({kind}) without a JSON-RPC message that belongs to it")

    def _refusal(self, what: str, answer: Answer) -> CheckError:
        if answer.status in (301, 302, 303, 401, 403) and self._token is not None:
            return CheckError(f"{what} with the token answered {answer.shown()}: {SERVED_WITH_ANOTHER}")
        if answer.status == 404:
            return CheckError(
                f"{what} answered 404: the MCP extension is not installed or not enabled, run jupyfleet up"
            )
        if answer.status == 400:
            return SessionWantedError(f"{what} answered {answer.shown()}")
        if answer.status in NOT_YET:
            return NoAnswerError(f"{what} answered {answer.shown()}")
        return CheckError(f"{what} answered {answer.shown()}")

    @staticmethod
    def _result(method: str, message: dict[str, Any]) -> dict[str, Any]:
        error = message.get("error")
        if isinstance(error, dict):
            said = f"{error.get('code')} {error.get('message')}"
            wanted = re.search(r"(?i)session|initiali[sz]", said) is not None
            raise (SessionWantedError if wanted else RpcError)(f"{method} was answered with the error {said}")
        result = message.get("result")
        if not isinstance(result, dict):
            raise CheckError(f"{method} was answered without a result")
        return result


def check_ping(probe: Probe) -> str:
    """Prove that the MCP server is there and speaks the revision that agents use."""
    try:
        while True:
            try:
                probe.mcp().call("ping")
                return f"{probe.settings.url('mcp')} answers, revision {MCP_REVISION}"
            except NoAnswerError:
                # Parts of the server may come up after the port; an endpoint that hangs has used the time already.
                if probe.deadline.over():
                    raise
            probe.deadline.pause()
    except RpcError:
        raise
    except CheckError as error:
        probe.mcp_gone = "mcp-jupyter-ping found no MCP server to talk to"
        raise CheckError(str(error)) from error


def all_tools(mcp: Mcp) -> set[str]:
    """The names of every page of tools/list."""
    names: set[str] = set()
    seen: set[str] = set()
    params: dict[str, Any] = {}
    for _ in range(MOST_PAGES):
        result = mcp.call("tools/list", params)
        tools = result.get("tools")
        if not isinstance(tools, list):
            raise CheckError("tools/list was answered without a list of tools")
        names |= {tool["name"] for tool in tools if isinstance(tool, dict) and isinstance(tool.get("name"), str)}
        cursor = result.get("nextCursor")
        if cursor is None:
            return names
        if not isinstance(cursor, str) or cursor in seen:
            break
        seen.add(cursor)
        params = {"cursor": cursor}
    raise CheckError(f"tools/list does not come to an end: the cursor turned in a circle after {len(seen) + 1} pages")


def check_tools(probe: Probe) -> str:
    """Prove that agents get every documented tool, and none of those that would bypass a notebook's room."""
    names = all_tools(probe.mcp())
    wanted = probe.settings.tools
    missing = [name for name in wanted if name not in names]
    forbidden = [name for name in probe.settings.forbidden_tools if name in names]
    if missing or forbidden:
        parts = [f"missing: {', '.join(missing)}"] if missing else []
        parts += [f"must not be there: {', '.join(forbidden)}"] if forbidden else []
        raise CheckError(f"tools/list names {len(names)} tools; {'; '.join(parts)}")
    return f"{len(names)} tools, all {len(wanted)} documented ones among them"


def notebooks_in(result: dict[str, Any]) -> object:
    """The value that notebook_list returned, wherever this server puts it."""
    structured = result.get("structuredContent")
    if structured is not None:
        return structured.get("result") if isinstance(structured, dict) else structured
    content = result.get("content")
    for block in content if isinstance(content, list) else []:
        if isinstance(block, dict) and block.get("type") == "text":
            value = parse_json(str(block.get("text")))
            return value.get("result") if isinstance(value, dict) else value
    return None


def said_in(result: dict[str, Any]) -> str:
    """The text of a tool's answer, for a detail."""
    content = result.get("content")
    blocks = content if isinstance(content, list) else []
    return first_line("\n".join(str(block.get("text", "")) for block in blocks if isinstance(block, dict)))


def is_notebook(entry: object) -> bool:
    """Whether an entry has the documented shape."""
    return isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in ("path", "name"))


def check_call(probe: Probe) -> str:
    """Prove that a tool works to its end: notebook_list reads the workspace and answers in the documented shape."""
    result = probe.mcp().call("tools/call", {"name": "notebook_list", "arguments": {}})
    if result.get("isError"):
        raise CheckError(f"notebook_list failed: {said_in(result) or 'it gave no reason'}")
    notebooks = notebooks_in(result)
    if not isinstance(notebooks, list):
        raise CheckError(f"notebook_list did not answer with a list but {type(notebooks).__name__}")
    wrong = [number for number, entry in enumerate(notebooks) if not is_notebook(entry)]
    if wrong:
        raise CheckError(f"notebook_list's entry {wrong[0]} of {len(notebooks)} is not {{path, name}}")
    return f"notebook_list answers with a list of {len(notebooks)}"


# --- strangers ------------------------------------------------------------------------------------------------------


def api_refuses(answer: Answer) -> bool:
    """Jupyter sends a browser to the login page and everybody else away."""
    to_login = answer.status == 302 and "login" in urllib.parse.urlsplit(answer.headers.get("Location", "")).path
    return answer.status in (401, 403) or to_login


def stranger_gets(web: Web, settings: Settings, token: str | None) -> list[str]:
    """What a caller with this token, or none, gets that it must not get."""
    contents, mcp = settings.url("api/contents"), settings.url("mcp")
    found = []
    answer = web.get(contents, token=token)
    if not api_refuses(answer):
        found.append(f"GET {contents} answered {answer.status}")
    # With a cookie and header that match, a refusal is the lock's and not that of the forgery protection before it.
    xsrf = secrets.token_hex(16)
    headers = {**mcp_headers(), "Cookie": f"_xsrf={xsrf}", "X-XSRFToken": xsrf}
    with web.stream("POST", mcp, token=token, headers=headers, body=ping_body(1)) as response:
        if response.status not in (401, 403):
            found.append(f"POST {mcp} answered {response.status}")
    return found


def check_auth(probe: Probe) -> str:
    """Prove that a stranger gets nothing: neither without a token nor with a wrong one, nor out of its file."""
    settings = probe.settings
    if settings.token_file is None:
        raise SkipError("the site is set to jupyter_auth none")
    open_doors = [f"{what} without a token" for what in stranger_gets(probe.web, settings, None)]
    open_doors += [f"{what} to a wrong token" for what in stranger_gets(probe.web, settings, secrets.token_hex(24))]
    if open_doors:
        todo = "; close the port until this is repaired" if any(" answered 2" in what for what in open_doors) else ""
        raise CheckError(f"not refused: {'; '.join(open_doors)}{todo}")
    with contextlib.suppress(FileNotFoundError, PermissionError):
        mode = stat.S_IMODE(Path(settings.token_file).stat().st_mode)
        if mode & stat.S_IRWXO:
            raise CheckError(f"token file {settings.token_file} is open to every user (mode {mode:04o}): chmod 600 it")
    return f"{settings.url('api/contents')} and {settings.url('mcp')} refuse no token and a wrong token"


# --- all of them ----------------------------------------------------------------------------------------------------


@dataclass
class Probe:
    """What the checks share; `gone` and `mcp_gone` say why later ones need not try."""

    settings: Settings
    deadline: Deadline
    web: Web
    supervisor: Supervisor
    gone: str | None = None
    mcp_gone: str | None = None
    _mcp: Mcp | None = field(default=None, repr=False)

    def pass_barriers(self, name: str) -> None:
        """Stop a check that applies here but has nothing to talk to, before it waits for nothing."""
        if name == "mcp-jupyter-auth-required" and self.settings.token_file is None:
            return
        barrier = (self.gone if name in NEED_SERVER else None) or (self.mcp_gone if name in NEED_MCP else None)
        if barrier:
            raise CheckError(f"not reached: {barrier}")

    def account(self) -> Account:
        """The service's user."""
        return Account.find(self.settings.user)

    def token(self) -> str | None:
        """The token, read anew."""
        return read_token(self.settings.token_file)

    def mcp(self) -> Mcp:
        """The MCP client that all MCP checks share."""
        if self._mcp is None:
            self._mcp = Mcp(self.web, self.settings.url("mcp"), self.token())
        return self._mcp

    def close(self) -> None:
        """End what was opened."""
        if self._mcp is not None:
            self._mcp.close()


Check = Callable[[Probe], str]

FUNCTIONS: dict[str, Check] = {
    "jupyter-lab-binary": check_binary,
    "spacy-import": check_spacy,
    "workspace-dir": check_workspace,
    "jupyter-service": check_service,
    "jupyter-port": check_port,
    "jupyter-api": check_api,
    "mcp-jupyter-ping": check_ping,
    "mcp-jupyter-list-tools": check_tools,
    "mcp-jupyter-call-list-notebooks": check_call,
    "mcp-jupyter-auth-required": check_auth,
}
NEED_SERVER = frozenset(CHECKS[5:])
NEED_MCP = frozenset(CHECKS[7:9])


def outcome_of(name: str, probe: Probe) -> tuple[str, str]:
    """Run one check; nothing it meets escapes."""
    try:
        probe.pass_barriers(name)
        return "ok", FUNCTIONS[name](probe)
    except SkipError as reason:
        return "skipped", str(reason)
    except ServerGoneError as error:
        if name in NEED_MCP:
            probe.mcp_gone = probe.mcp_gone or f"{name} got no answer"
        else:
            probe.gone = probe.gone or str(error)
        return "failed", str(error)
    except CheckError as error:
        return "failed", str(error)
    except Exception as error:
        return "failed", f"unexpected {describe(error)}"


class Running:
    """One check in a thread of its own, because a dead file server holds whoever asks it."""

    def __init__(self, name: str, probe: Probe) -> None:
        self._name = name
        self._probe = probe
        self._found: tuple[str, str, float] | None = None
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        status, detail = outcome_of(self._name, self._probe)
        self._found = (status, detail, time.monotonic() - self._begun)

    def result(self, scrub: Scrubber, limit: float) -> dict[str, Any]:
        """The check's entry; one that does not end is a failed one, and the next does not wait for it."""
        self._thread.join(max(0.0, self._begun + limit - time.monotonic()))
        if self._found is None:
            detail = f"did not end within {limit:.0f} s"
            if self._name not in LOCAL_CHECKS:
                self._probe.gone = self._probe.gone or f"{self._name} {detail}"
            return entry(self._name, "failed", detail, limit)
        status, detail, seconds = self._found
        return entry(self._name, status, scrub(detail), seconds)


def entry(name: str, status: str, detail: str, seconds: float) -> dict[str, Any]:
    """One check's result as the contract has it."""
    return {"id": name, "status": status, "detail": detail, "seconds": round(seconds, 3)}


def run_checks(probe: Probe, scrub: Scrubber, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Run the local checks beside each other, and after one another those that follow a request through the server."""
    names = list(names)
    limit = GUARD_SECONDS + max(PROGRAM_SECONDS, probe.settings.timeout)
    beside = {name: Running(name, probe) for name in names if name in LOCAL_CHECKS}
    found = {name: Running(name, probe).result(scrub, limit) for name in names if name not in beside}
    return found | {name: running.result(scrub, limit) for name, running in beside.items()}


def main(spec: Spec) -> Result:
    """Prove the host: every check of the design's table, in its order."""
    settings = Settings.from_spec(spec)
    supervisor = Supervisor(settings.supervisor_socket, settings.program)
    probe = Probe(settings, Deadline(settings.timeout), Web(settings), supervisor)
    build = settings.scope == "build"
    try:
        found = run_checks(probe, Scrubber(settings.token_file), BUILD_CHECKS if build else CHECKS)
    finally:
        probe.close()
    unasked = "an environment alone is proven, nothing runs from it yet"
    return {"checks": [found.get(name) or entry(name, "skipped", unasked, 0.0) for name in CHECKS]}
