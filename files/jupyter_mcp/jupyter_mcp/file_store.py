"""Notebooks that are plain files: replaced in one step.

They are written beside, flushed and renamed: a server killed at any moment leaves the old notebook or the new one,
whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .errors import ChangedOnDisk, NotebookNotFound, SaveFailed
from .storage import DiskState, explain, parse

__all__ = ["FileStore"]


def _signature(found: os.stat_result) -> tuple[int, int, int]:
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _hash(data: bytes, algorithm: str) -> str:
    return hashlib.new(algorithm, data).hexdigest()


def _read(path: Path, algorithm: str) -> tuple[bytes, DiskState]:
    # The signature of the open file, taken before reading: a write in between shows at the next comparison.
    with path.open("rb") as file:
        signature = _signature(os.fstat(file.fileno()))
        data = file.read()
    return data, DiskState(signature, _hash(data, algorithm))


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class FileStore:
    """Notebooks as plain files below `root`."""

    def __init__(self, root: Path, algorithm: str = "sha256") -> None:
        self.root = root
        self._algorithm = algorithm

    async def unchanged(self, path: str, known: DiskState) -> bool:
        try:
            return _signature(os.stat(self.root / path)) == known.signature
        except OSError:
            return False

    async def state(self, path: str) -> DiskState:
        return (await self._read(path))[1]

    async def content(self, path: str) -> dict[str, Any]:
        data, _ = await self._read(path)
        return parse(data)

    async def _read(self, path: str) -> tuple[bytes, DiskState]:
        try:
            return await asyncio.to_thread(_read, self.root / path, self._algorithm)
        except OSError as error:
            raise NotebookNotFound(f"{path!r} cannot be read: {explain(error)}.") from error

    async def write(self, path: str, data: bytes, known: DiskState) -> DiskState:
        return await asyncio.to_thread(self._write, path, data, known)

    def _write(self, path: str, data: bytes, known: DiskState) -> DiskState:
        target = self.root / path
        try:
            found = os.stat(target)
            if _signature(found) != known.signature:
                present = _read(target, self._algorithm)[1]
                if present.digest == _hash(data, self._algorithm):
                    return present
                if present.digest != known.digest:
                    raise ChangedOnDisk(path)
            if not found.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(target, os.W_OK):
                raise SaveFailed("the file is read-only")
            if not (_replaceable(target, found) and self._replace(target, data)):
                self._overwrite(target, data)
            back, state = _read(target, self._algorithm)
        except OSError as error:
            raise SaveFailed(explain(error)) from error
        if back != data:
            raise SaveFailed("what was read back from the disk differs from what was written")
        return state

    def _replace(self, target: Path, data: bytes) -> bool:
        """False when this one file is a mount of its own, which the kernel keeps in its place."""
        beside = target.with_name(f".{target.name}.saving")
        try:
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                # Mode, ACL and security label of the notebook, which people may have set.
                shutil.copystat(target, beside)
                os.utime(beside)
                os.fsync(file.fileno())
            os.replace(beside, target)
        except BaseException as error:
            beside.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno == errno.EBUSY:
                return False
            raise
        _sync_folder(target.parent)
        return True

    def _overwrite(self, target: Path, data: bytes) -> None:
        """For files that must keep their inode (hard links, other owners, bind mounts).

        The backup has the name under which Jupyter itself looks for one when it finds a notebook cut short.
        """
        backup = target.with_name(f".~{target.name}")
        try:
            shutil.copy2(target, backup)
        except BaseException:
            backup.unlink(missing_ok=True)
            raise
        with target.open("r+b") as file:
            file.write(data)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        backup.unlink(missing_ok=True)

    async def create(self, path: str, data: bytes) -> None:
        await asyncio.to_thread(self._create, path, data)

    def _create(self, path: str, data: bytes) -> None:
        target = self.root / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(target):
                raise FileExistsError(path)
            beside = target.with_name(f".{target.name}.saving")
            try:
                with beside.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                try:
                    # Unlike a rename, a link never replaces what another program has just made.
                    os.link(beside, target)
                except FileExistsError:
                    raise
                except OSError:
                    with target.open("xb") as file:
                        file.write(data)
                        file.flush()
                        os.fsync(file.fileno())
            finally:
                beside.unlink(missing_ok=True)
            _sync_folder(target.parent)
        except FileExistsError:
            if target.exists() or os.path.lexists(target):
                raise
            raise SaveFailed("a part of the path is a file, not a folder") from None
        except NotADirectoryError:
            raise SaveFailed("a part of the path is a file, not a folder") from None
        except OSError as error:
            raise SaveFailed(explain(error)) from error

    def last_modified(self, known: DiskState) -> Any:
        # The very float that os.stat gives, for the room compares for equality.
        seconds, nanoseconds = divmod(known.signature[0], 10**9)
        return datetime.fromtimestamp(seconds + 1e-9 * nanoseconds, tz=UTC)


def _replaceable(target: Path, found: os.stat_result) -> bool:
    """Whether a new file may take this one's place without anyone losing a link or an owner."""
    if found.st_nlink != 1 or target.is_symlink() or found.st_uid != os.geteuid():
        return False
    return len(target.name.encode()) <= 240 and os.access(target.parent, os.W_OK)
