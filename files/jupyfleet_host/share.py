"""The workspace as a share of the hypervisor: a mount unit of systemd, and whether notebooks can be kept there."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from pathlib import Path

from jupyfleet_host.common import HostError, Result, Spec, progress, run
from jupyfleet_host.mounts import is_read_only, mount_of
from jupyfleet_host.tree import replace

UNITS = Path("/etc/systemd/system")
_SECONDS = 120


def look(spec: Spec) -> Result:
    """Say what `mount` would do: ``{"actions": [sentence, …]}``.

    The spec has `where` (the directory), `tag`, `user` and `unit`, the text of the mount unit.

    Raises:
        HostError: something else is mounted there, or notebooks could not be kept in the share.
    """
    name, where = unit_name(spec["where"]), spec["where"]
    actions = []
    if _text(UNITS / name) != spec["unit"]:
        actions.append(f"lay down {UNITS / name}")
    if not _is_enabled(name):
        actions.append(f"enable {name}, so that {where} is mounted at boot")
    if _is_mounted(spec):
        _refuse_what_cannot_keep_notebooks(spec)
    else:
        actions.append(f"mount the share with tag {spec['tag']} at {where}")
    return {"actions": actions}


def mount(spec: Spec) -> Result:
    """Lay the unit down, enable and start it: ``{"summary": text}``. Nothing is written into the share."""
    name, where = unit_name(spec["where"]), spec["where"]
    if _text(UNITS / name) != spec["unit"]:
        replace(UNITS / name, spec["unit"].encode(), 0o644)
    run(["systemctl", "daemon-reload"], timeout=_SECONDS, why="have systemd read its units")
    run(["systemctl", "enable", "--quiet", name], timeout=_SECONDS, why=f"enable {name}")
    if not _is_mounted(spec):
        progress(f"mounting {where}")
        _start(name, spec)
    _refuse_what_cannot_keep_notebooks(spec)
    return {"summary": f"virtiofs tag {spec['tag']} at {where}"}


def look_back(spec: Spec) -> Result:
    """Say what `unmount` would do: ``{"actions": [sentence, …]}``. The spec has `where`."""
    unit = UNITS / unit_name(spec["where"])
    return {"actions": [f"unmount {spec['where']}", f"remove {unit}"] if unit.exists() else []}


def unmount(spec: Spec) -> Result:
    """Unmount, and remove the unit: ``{"summary": text}``. What is in the share stays there."""
    name = unit_name(spec["where"])
    run(["systemctl", "disable", "--quiet", "--now", name], timeout=_SECONDS, why=f"unmount {spec['where']}")
    (UNITS / name).unlink(missing_ok=True)
    run(["systemctl", "daemon-reload"], timeout=_SECONDS, why="have systemd read its units")
    return {"summary": f"{spec['where']} is unmounted"}


def unit_name(where: str) -> str:
    """The name that systemd wants of a mount unit: its path, escaped as systemd.unit(5) has it."""
    path = re.sub("/+", "/", where).strip("/")
    escaped = "".join(
        chr(byte) if re.match(rb"[A-Za-z0-9:_.]", bytes([byte])) else "-" if byte == 0x2F else f"\\x{byte:02x}"
        for byte in path.encode()
    )
    if escaped.startswith("."):
        escaped = f"\\x2e{escaped[1:]}"
    return f"{escaped or '-'}.mount"


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None


def _is_enabled(name: str) -> bool:
    argv = ["systemctl", "is-enabled", "--quiet", name]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def _is_mounted(spec: Spec) -> bool:
    found = mount_of(spec["where"])
    if found is None or found.point != os.path.realpath(spec["where"]):
        return False
    if (found.fstype, found.source) == ("virtiofs", spec["tag"]):
        return True
    raise HostError(
        f"{found.fstype} {found.source} is mounted at {spec['where']}, not virtiofs with tag {spec['tag']}. "
        "Unmount it, or set jupyter_workspace or jupyter_workspace_tag."
    )


def _start(name: str, spec: Spec) -> None:
    done = subprocess.run(["systemctl", "start", name], capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode == 0 and _is_mounted(spec):
        return
    argv = ["journalctl", "--unit", name, "--lines", "5", "--output", "cat", "--no-pager"]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=_SECONDS, check=False).stdout.strip()
    raise HostError(
        f"the share with tag {spec['tag']} cannot be mounted at {spec['where']}. Attach it to this machine as virtiofs "
        f"(docs/vm.md), and run up again. systemd says:\n{said or done.stderr.strip()}"
    )


def _refuse_what_cannot_keep_notebooks(spec: Spec) -> None:
    where, found = spec["where"], Path(spec["where"]).stat()
    if is_read_only(where):
        raise HostError(f"the share at {where} is read-only. Let the hypervisor offer it for writing.")
    try:
        user = pwd.getpwnam(spec["user"])
    except KeyError:
        return  # It is about to be made; its mount is looked at again then.
    if found.st_uid != user.pw_uid:
        raise HostError(
            f"the share at {where} belongs to uid {found.st_uid}, and {spec['user']} is uid {user.pw_uid} here. On the "
            f"hypervisor give the directory to uid {user.pw_uid}, or let virtiofsd translate ids (docs/vm.md)."
        )
