"""workspace-dir: whether notebooks can be kept, found out without writing anything."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from jupyfleet_host.mounts import is_read_only, mount_of
from jupyfleet_host.probe_common import CheckError, Probe
from jupyfleet_host.probe_user import User, look_at, name_of, run_as, service_user

# The shell, because every user may run it; our own interpreter may lie where only root can go.
_ACCESS_PROGRAM = '[ -r "$1" ] && [ -w "$1" ] && [ -x "$1" ]'
#: Bytes; a notebook with a picture or two in it. It is written beside the old one first.
_LEAST_ROOM = 1_000_000


def check_workspace(probe: Probe) -> str:
    """Prove that the directory is there, mounted, the service user's, and writable for them."""
    path = probe.workspace
    found = look_at(Path(path))
    if not stat.S_ISDIR(found.st_mode):
        raise CheckError(f"{path} is not a directory: move it away and run jupyfleet up")
    is_virtiofs = probe.workspace_mount == "virtiofs"
    mounted = _check_mounted(probe) if is_virtiofs else ""
    user = service_user(probe.user)
    if found.st_uid != user.uid:
        where = " where the share comes from" if is_virtiofs else ""
        todo = f"make uid {user.uid} its owner{where}"
        raise CheckError(f"{path} belongs to {name_of(found.st_uid)}, not to {user.name}: {todo}")
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        raise CheckError(f"{path} is on a filesystem that is mounted read-only: mount it for writing")
    if is_virtiofs and is_read_only(path):
        raise CheckError(f"{path} is a share that is read-only: let the hypervisor offer it for writing")
    if full := what_is_used_up(os.statvfs(path)):
        raise CheckError(f"{path} is on a filesystem {full}: no notebook can be saved there. Make room")
    if not _may_write(user, probe):
        mode = f"mode {stat.S_IMODE(found.st_mode):04o}"
        raise CheckError(f"{user.name} may not write in {path} ({mode}): check it and the folders above it")
    return f"{path} is writable for {user.name}{mounted}"


def has_share(probe: Probe) -> bool:
    """Whether what a server of this host waits for before it starts is there: its share, where it has one."""
    if probe.workspace_mount != "virtiofs":
        return True
    mount = mount_of(probe.workspace)
    return mount is not None and mount == (os.path.realpath(probe.workspace), "virtiofs", probe.workspace_tag)


def what_is_used_up(found: os.statvfs_result) -> str | None:
    """What keeps a user from writing even one notebook, if anything."""
    if found.f_bavail * found.f_frsize < _LEAST_ROOM:
        return "that is full"
    # Some filesystems have as many files as one likes, and say that there are none.
    return "that can hold no more files" if found.f_files and not found.f_favail else None


def _may_write(user: User, probe: Probe) -> bool:
    """Ask the kernel whether the user may read, write and enter the workspace."""
    path = probe.workspace
    if not user.is_other:
        return os.access(path, os.R_OK | os.W_OK | os.X_OK)
    if os.geteuid() == 0:
        return run_as(user, ["/bin/sh", "-c", _ACCESS_PROGRAM, "sh", path], probe).returncode == 0
    # Only the owner's bits matter: that the user is the owner was proven before.
    return Path(path).stat().st_mode & stat.S_IRWXU == stat.S_IRWXU


def _check_mounted(probe: Probe) -> str:
    """Prove that the workspace itself is the virtiofs share with the right tag, not the empty folder under it."""
    real = os.path.realpath(probe.workspace)
    tag = probe.workspace_tag
    mount = mount_of(real)
    if mount is None or mount.point != real:
        where = f"lies on {mount.fstype} {mount.source}" if mount else "is on no mount that is known"
        todo = "check that the machine has the share, then run jupyfleet up"
        raise CheckError(f"{real} is not mounted from tag {tag} but {where}: {todo}")
    if (mount.fstype, mount.source) != ("virtiofs", tag):
        instead = f"{mount.fstype} {mount.source} instead of virtiofs tag {tag}"
        raise CheckError(f"{real} is mounted from {instead}: unmount it and run jupyfleet up")
    return f", virtiofs tag {tag}"
