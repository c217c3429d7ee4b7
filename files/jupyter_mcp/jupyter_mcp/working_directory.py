"""The server's own directory, where the file system that it is in was mounted anew."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["WorkingDirectory"]


class WorkingDirectory:
    """Keeps a process that was started in the notebooks' folder in what that folder is now.

    A share that goes away takes the current directory with it: back at its place it is another mount, the process is
    still in the old one, and cannot start a kernel. A process that was started elsewhere is left alone.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._was_lost = False
        self._began_there = False
        with contextlib.suppress(OSError):
            self._began_there = Path().samefile(root)

    def look(self) -> None:
        """Enter the folder again where that is needed. The disk is asked only after the directory was lost once."""
        if not self._began_there or not (self._was_lost or _is_lost()):
            return
        # From then on at every look: what is found while the share is away may be the empty folder underneath.
        self._was_lost = True
        with contextlib.suppress(OSError):
            os.chdir(self._root)


def _is_lost() -> bool:
    """Whether no name leads to the current directory any more; the kernel knows without looking at the disk."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False
