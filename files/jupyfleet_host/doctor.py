"""What could keep a deploy from working on a host, looked at before there is one. It changes nothing."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyfleet_host import preflight
from jupyfleet_host.common import Result, Spec

#: Bytes that two releases of a profile take, with room to build a third beside them.
_ROOM = {"core": 2_000_000_000, "full": 8_000_000_000}
#: Seconds that a shell may take to start before every command suffers noticeably.
_SLOW_SHELL = 0.2


def main(spec: Spec) -> Result:
    """Every finding: ``{"findings": [{"id", "status": ok|warning|failed, "detail"}, …], "now": seconds}``.

    The spec is that of `preflight.check`, with `profile` and `scope`.
    """
    examinations: dict[str, Callable[[Spec], tuple[str, str]]] = {
        "deployable": _deployable,
        "disk": _disk,
        "memory": _memory,
        "shell": _shell,
        "selinux": _selinux,
        "firewalld": _firewalld,
    }
    findings = []
    for name, examine in examinations.items():
        try:
            status, detail = examine(spec)
        except Exception as error:
            status, detail = "warning", f"could not be looked at: {type(error).__name__}: {error}"
        findings.append({"id": name, "status": status, "detail": detail})
    return {"findings": findings, "now": time.time()}


def _deployable(spec: Spec) -> tuple[str, str]:
    report: dict[str, Any] = preflight.check(spec)
    if report["problems"]:
        return "failed", " ".join(report["problems"])
    return "ok", f"Python {report['python']} on {report['machine']}; the directories and the port can be used"


def _disk(spec: Spec) -> tuple[str, str]:
    home = Path(spec["home"])
    nearest = next(path for path in (home, *home.parents) if path.exists())
    free, needed = shutil.disk_usage(nearest).free, _ROOM[spec["profile"]]
    detail = f"{free / 1e9:.1f} GB free below {nearest}"
    if os.statvfs(nearest).f_files and os.statvfs(nearest).f_favail < 100_000:
        return "warning", f"{detail}, but only {os.statvfs(nearest).f_favail} inodes; a release has some 50,000 files"
    if free < needed:
        return "warning", f"{detail}; profile {spec['profile']} with its releases wants {needed / 1e9:.0f} GB"
    return "ok", detail


def _memory(_spec: Spec) -> tuple[str, str]:
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(fields["MemAvailable"].split()[0]) * 1024
    return ("ok" if available > 1e9 else "warning"), f"{available / 1e9:.1f} GB available"


def _shell(_spec: Spec) -> tuple[str, str]:
    """What this user's start-up files cost: sshd starts this very shell before every command."""
    shell = pwd.getpwuid(os.geteuid()).pw_shell or "/bin/sh"
    environ = {"HOME": str(Path.home()), "PATH": os.environ.get("PATH", os.defpath), "SSH_CLIENT": "-", "SHLVL": "0"}
    began = time.monotonic()
    subprocess.run(
        [shell, "-c", "true"], env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
    )
    seconds = time.monotonic() - began
    if seconds > _SLOW_SHELL:
        return "warning", f"{shell} takes {seconds:.2f} s to start, at every command: look at its start-up files"
    return "ok", f"{shell} starts in {seconds * 1000:.0f} ms"


def _selinux(_spec: Spec) -> tuple[str, str]:
    enforce = Path("/sys/fs/selinux/enforce")
    if not enforce.exists():
        return "ok", "SELinux is not in use"
    return "ok", f"SELinux is {'enforcing' if enforce.read_text().strip() == '1' else 'permissive'}"


def _firewalld(spec: Spec) -> tuple[str, str]:
    names = {_read(path) for path in Path("/proc").glob("[0-9]*/comm")}
    if "firewalld" not in names:
        return "ok", "firewalld does not run"
    if spec["scope"] == "user":
        return "ok", f"firewalld runs; port {spec['port']} stays on this host unless jupyter_bind says otherwise"
    return "ok", f"firewalld runs; a deploy opens port {spec['port']}"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
