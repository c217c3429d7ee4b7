"""The service's user: whose files the probe looks at, and as whom it runs the environment's programs, never as root
when they belong to somebody else."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyfleet_host.probe_common import CheckError, Probe

PROGRAM_SECONDS = 180.0


@dataclass(frozen=True)
class User:
    """Whom the environment and the workspace belong to."""

    name: str
    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        """Whether the probe runs as somebody else."""
        return self.uid != os.geteuid()


def service_user(name: str | None) -> User:
    """Look the service's user up; without a name it is whoever runs the probe."""
    if name is None:
        return User(name_of(os.geteuid()), os.geteuid(), os.getegid())
    try:
        entry = pwd.getpwnam(name)
    except KeyError as error:
        raise CheckError(f"there is no user {name} on this host: run jupyfleet up") from error
    return User(name, entry.pw_uid, entry.pw_gid)


def name_of(uid: int) -> str:
    """A user's name, or the number when it has none here."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def run_as(user: User, argv: list[str], probe: Probe) -> subprocess.CompletedProcess[str]:
    """Run a program as the service's user, as far as the probe may, with an environment of ours and no bytecode."""
    identity: dict[str, Any] = {}
    if user.is_other and os.geteuid() == 0:
        groups = os.getgrouplist(user.name, user.gid)
        identity = {"user": user.uid, "group": user.gid, "extra_groups": groups}
    path = f"{probe.environment}/bin:/usr/local/bin:/usr/bin:/bin"
    env = {"HOME": probe.home, "PATH": path, "LANG": "C.UTF-8"}
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
            **identity,
        )
    except subprocess.TimeoutExpired as error:
        raise CheckError(f"{argv[0]} did not end within {PROGRAM_SECONDS:.0f} s") from error
    except OSError as error:
        raise CheckError(f"{argv[0]} could not be started as {user.name}: {error.strerror or error}") from error


def look_at(path: Path) -> os.stat_result:
    """A path's status, or in words why there is none."""
    try:
        return path.stat()
    except PermissionError as error:
        raise CheckError(f"{path} is closed to this user: run verify as its owner or with sudo") from error
    except FileNotFoundError as error:
        where = "is a link to nothing" if path.is_symlink() else "does not exist"
        raise CheckError(f"{path} {where}: run jupyfleet up") from error
