"""Writing a notebook's file, and knowing what is in it: what every way of doing so has in common.

`file_store.py` is for plain files, `contents_store.py` for whatever else a contents manager may keep notebooks in.
Nothing in the three knows of shared documents.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Any, Protocol

import nbformat

__all__ = ["DiskState", "Store", "explain", "parse"]


@dataclass(frozen=True)
class DiskState:
    """What a file held when it was last read or written.

    `digest`: hexadecimal hash of its bytes, by the contents manager's algorithm. `signature`: for a file (mtime in ns,
    size, inode), cheap to compare; a file with the same signature is taken to hold the same bytes, one with another
    signature is read.
    """

    signature: tuple[Any, ...]
    digest: str


class Store(Protocol):
    """How notebooks reach the disk."""

    async def state(self, path: str) -> DiskState:
        """What the file holds now."""

    async def unchanged(self, path: str, known: DiskState) -> bool:
        """Whether the file certainly still holds `known`, without reading it."""

    async def content(self, path: str) -> dict[str, Any]:
        """The notebook in the file, as nbformat joins it."""

    async def write(self, path: str, data: bytes, known: DiskState) -> DiskState:
        """Write `data` over `known` and prove it by reading it back.

        Raises ChangedOnDisk when the file holds neither `known` nor `data`; SaveFailed when it could not be written.
        """

    async def create(self, path: str, data: bytes) -> None:
        """Make a new file; FileExistsError when anything has that name."""

    def last_modified(self, known: DiskState) -> Any:
        """The contents manager's notion of when the file was modified, for the room's own bookkeeping."""


def explain(error: OSError) -> str:
    """Why the operating system refused a write, with what would help."""
    reasons = {
        errno.ENOSPC: "the disk is full; free some space",
        errno.EDQUOT: "the disk quota is used up; free some space",
        errno.EROFS: "the file system is read-only",
        errno.EACCES: "permission denied",
        errno.EPERM: "permission denied",
        errno.ENOENT: "the file or its folder is gone",
        errno.EIO: "the disk reports an input/output error",
    }
    return reasons.get(error.errno or 0, error.strerror or str(error))


def parse(data: bytes) -> dict[str, Any]:
    """The notebook in a file's bytes, as nbformat joins it."""
    notebook = nbformat.reads(data.decode(), as_version=4)  # type: ignore[no-untyped-call]
    return dict(notebook)
