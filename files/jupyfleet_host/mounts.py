"""What is mounted where, as the kernel says it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MOUNTINFO = Path("/proc/self/mountinfo")


class Mount(NamedTuple):
    """One line of mountinfo: the directory, the type of the file system, and what is mounted."""

    point: str
    fstype: str
    source: str


def mount_of(path: str) -> Mount | None:
    """What one sees at a path: the deepest mount above it, and of several on one point the last."""
    real = os.path.realpath(path)
    table = MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape")
    above = [mount for mount in mounts(table) if real == mount.point or real.startswith(mount.point.rstrip("/") + "/")]
    return max(reversed(above), key=lambda mount: len(mount.point), default=None)


def is_read_only(path: str) -> bool:
    """Whether nothing can be written at a path, whoever tries.

    A share does not say that its other end is read-only, so it is given the times that it has; nothing else changes.
    """
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return True
    found = os.stat(path)  # noqa: PTH116 - for a mount point there is nothing to resolve.
    try:
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    except OSError as error:
        return error.errno == errno.EROFS
    return False


def mounts(mountinfo: str) -> Iterator[Mount]:
    """Read the text of /proc/self/mountinfo, where blanks in names are written as octal numbers."""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        before, after = left.split(), right.split()
        if len(before) >= 5 and len(after) >= 2:
            words = (before[4], after[0], after[1])
            yield Mount(*(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), word) for word in words))
