"""What must hold before anything is changed: found out without changing anything."""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import socket
import subprocess
import sys
from pathlib import Path

from jupyfleet_host import architecture, distribution, processes, selinux
from jupyfleet_host.common import HostError, Result, Spec

OLDEST_PYTHON = (3, 11)
SYSTEMD = Path("/run/systemd/system")


def check(spec: Spec) -> Result:
    """Look at the host: ``{"problems": [sentence, …], "python": "3.11.7" | None, "machine": "x86_64",
    "family", "selinux": bool}``.

    The spec has `scope`, `user`, `home`, `workspace`, `workspace_mount`, `bind`, `port`, `python` and `lock_file`,
    which every home of ours has. `family` is that of the distribution in system scope, else None.
    """
    is_system = spec["scope"] == "system"
    family, problem = _family() if is_system else (None, None)
    python = _python_version(spec["python"])
    problems = [
        problem,
        architecture.problem(architecture.here()),
        _systemd_problem() if is_system else None,
        _python_problem(spec["python"], python),
        _directory_problem("home", "jupyter_home", Path(spec["home"])),
        _stranger_problem(spec),
        # A share is not there before it is mounted, and is checked then.
        _directory_problem("workspace", "jupyter_workspace", Path(spec["workspace"]))
        if spec["workspace_mount"] == "directory"
        else None,
        _port_problem(spec["bind"], spec["port"], spec["home"]),
    ]
    return {
        "problems": [problem for problem in problems if problem],
        "python": ".".join(map(str, python)) if python else None,
        "machine": architecture.here(),
        "family": family,
        "selinux": selinux.is_on(),
    }


def _family() -> tuple[str | None, str | None]:
    try:
        return distribution.of_this_host().family, None
    except HostError as error:
        return None, str(error)


def _systemd_problem() -> str | None:
    # sd_booted(3): the directory is there when, and only when, systemd is the init system.
    if SYSTEMD.is_dir():
        return None
    return "systemd does not run this host, and jupyter_scope 'system' needs it. Use jupyter_scope 'user'."


def _python_version(program: str) -> tuple[int, ...] | None:
    if program == "python3":  # Which is what runs this.
        return tuple(sys.version_info[:3])
    code = "import sys; print(*sys.version_info[:3])"
    try:
        done = subprocess.run([program, "-c", code], capture_output=True, text=True, timeout=60, check=True)
        return tuple(int(part) for part in done.stdout.split()) or None
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _python_problem(program: str, version: tuple[int, ...] | None) -> str | None:
    wanted = ".".join(map(str, OLDEST_PYTHON))
    if version is None:
        return f"{program} does not run on this host. Install Python {wanted} or newer, or set jupyter_python."
    if version < OLDEST_PYTHON:
        return f"{program} is Python {'.'.join(map(str, version))}, and {wanted} is needed. Set jupyter_python."
    return None


def _directory_problem(what: str, setting: str, path: Path) -> str | None:
    if _can_be_seen(path, follow=False) and not _can_be_seen(path):
        return (
            f"the {what} {path} is a link to {path.readlink()}, which is not there. Mount or make it, or set {setting}."
        )
    if _can_be_seen(path) and not path.is_dir():
        return f"the {what} {path} is a file, not a directory. Move it away or set {setting}."
    nearest = path
    while not _can_be_seen(nearest):
        nearest = nearest.parent
    if not nearest.is_dir():
        return f"the {what} {path} cannot be made: {nearest} is a file. Move it away or set {setting}."
    if os.statvfs(nearest).f_flag & os.ST_RDONLY:
        return f"the {what} {path} is on a read-only file system. Remount it or set {setting}."
    if not os.access(nearest, os.W_OK | os.X_OK):
        verb = "is not writable" if nearest == path else f"cannot be made in {nearest}, which is not writable"
        return f"the {what} {path} {verb} for user {_user()}. Change its owner or mode, or set {setting}."
    return None


def _can_be_seen(path: Path, *, follow: bool = True) -> bool:
    """Whether it is there; what lies in a directory that this user may not search is as good as absent."""
    try:
        path.stat(follow_symlinks=follow)
    except OSError:
        return False
    return True


def _stranger_problem(spec: Spec) -> str | None:
    """A directory that holds other people's things is not taken over: `down` would remove what has our names."""
    home, workspace = Path(spec["home"]), Path(spec["workspace"])
    if spec["user"] is not None and _home_of(spec["user"]) == home:
        return None  # It is the service user's own, with whatever the system puts into every home.
    try:
        if Path(spec["lock_file"]).exists() or not home.is_dir():
            return None
        strangers = sorted(entry.name for entry in home.iterdir() if entry != workspace and entry.name != "workspace")
    except OSError:
        return None  # Said by the check of the directory itself.
    if not strangers:
        return None
    return f"the home {home} holds {strangers[0]} and was not made by jupyfleet. Set jupyter_home to a new directory."


def _home_of(user: str) -> Path | None:
    try:
        return Path(pwd.getpwnam(user).pw_dir)
    except KeyError:
        return None


def _user() -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(os.geteuid()).pw_name
    return str(os.geteuid())


def _port_problem(bind: str, port: int, home: str) -> str | None:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return _taken(bind, port, home)
            if error.errno == errno.EACCES:
                return f"port {port} needs root. Set jupyter_port to 1024 or above."
            if error.errno == errno.EADDRNOTAVAIL:
                return f"{bind} is no address of this host. Set jupyter_bind."
            return f"{bind} port {port} cannot be listened on: {error.strerror}."
    return None


def _taken(bind: str, port: int, home: str) -> str | None:
    """Say who has the port, unless it is this very site."""
    advice = "Stop that program or set another jupyter_port (with make up: JUPYFLEET_PORT=…)."
    pids: list[int] = []
    for listener in processes.listeners(bind, port):
        found = processes.holders(listener)
        if any(processes.site_of(pid) == home for pid in found):
            return None
        pids += found
    who = f"process {pids[0]} ({processes.name_of(pids[0])})" if pids else "a process of another user"
    return f"port {port} on {bind} is taken by {who}. {advice}"
