"""Writing a notebook's file, and knowing what is in it.

For a contents manager that keeps plain files the file is replaced in one step (written beside it, flushed, renamed):
a server killed at any moment leaves the old notebook or the new one, whole. Any other contents manager, or one with
save hooks, is asked to save and then to read back. Nothing here knows of shared documents.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import nbformat
from jupyter_core.utils import ensure_async
from jupyter_server.services.contents.filemanager import AsyncFileContentsManager, FileContentsManager
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager, LargeFileManager
from tornado.web import HTTPError

from .errors import ChangedOnDisk, NotebookNotFound, SaveFailed

__all__ = ["ContentsStore", "DiskState", "FileStore", "Store", "make_store"]

_PLAIN_MANAGERS = (FileContentsManager, AsyncFileContentsManager, LargeFileManager, AsyncLargeFileManager)


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
        return _parse(data)

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
            if _replaceable(target, found):
                self._replace(target, data)
            else:
                self._overwrite(target, data)
            back, state = _read(target, self._algorithm)
        except OSError as error:
            raise SaveFailed(explain(error)) from error
        if back != data:
            raise SaveFailed("what was read back from the disk differs from what was written")
        return state

    def _replace(self, target: Path, data: bytes) -> None:
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
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)

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
    """Whether a new file may take this one's place without anyone losing a link, an owner or a mount."""
    if found.st_nlink != 1 or target.is_symlink() or found.st_uid != os.geteuid():
        return False
    if len(target.name.encode()) > 240 or not os.access(target.parent, os.W_OK):
        return False
    return not target.is_mount()


def _parse(data: bytes) -> dict[str, Any]:
    notebook = nbformat.reads(data.decode(), as_version=4)  # type: ignore[no-untyped-call]
    return dict(notebook)


class ContentsStore:
    """Notebooks wherever the contents manager keeps them."""

    def __init__(self, contents_manager: Any) -> None:
        self._contents = contents_manager

    async def unchanged(self, path: str, known: DiskState) -> bool:
        try:
            model = await ensure_async(self._contents.get(path, type="notebook", content=False))
        except HTTPError:
            return False
        return known.signature == (str(model["last_modified"]),)

    async def _get(self, path: str) -> dict[str, Any]:
        try:
            model: dict[str, Any] = await ensure_async(self._contents.get(path, type="notebook", content=True))
        except HTTPError as error:
            if error.status_code == 404:
                raise NotebookNotFound(f"{path!r} is gone.") from error
            raise SaveFailed(str(error.log_message or error)) from error
        return model

    @staticmethod
    def _digest(content: Any) -> str:
        plain = json.loads(json.dumps(content))
        for cell in plain.get("cells", ()):
            cell.get("metadata", {}).pop("trusted", None)
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

    async def state(self, path: str) -> DiskState:
        model = await self._get(path)
        return DiskState((str(model["last_modified"]),), self._digest(model["content"]))

    async def content(self, path: str) -> dict[str, Any]:
        return dict((await self._get(path))["content"])

    async def write(self, path: str, data: bytes, known: DiskState) -> DiskState:
        content = _parse(data)
        wanted = self._digest(content)
        present = await self.state(path)
        if present.digest not in (known.digest, wanted):
            raise ChangedOnDisk(path)
        try:
            await ensure_async(self._contents.save({"type": "notebook", "format": "json", "content": content}, path))
        except HTTPError as error:
            raise SaveFailed(str(error.log_message or error)) from error
        except OSError as error:
            raise SaveFailed(explain(error)) from error
        back = await self.state(path)
        if back.digest != wanted and not self._hooked():
            raise SaveFailed("what was read back differs from what was written")
        return back

    def _hooked(self) -> bool:
        """A save hook may change what is written (strip outputs, say): then the read-back proves only a valid file."""
        return _has_hooks(self._contents)

    async def create(self, path: str, data: bytes) -> None:
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            if not await ensure_async(self._contents.dir_exists(folder)):
                await ensure_async(self._contents.save({"type": "directory"}, folder))
        if await ensure_async(self._contents.exists(path)):
            raise FileExistsError(path)
        try:
            await ensure_async(
                self._contents.save({"type": "notebook", "format": "json", "content": _parse(data)}, path)
            )
        except HTTPError as error:
            raise SaveFailed(str(error.log_message or error)) from error

    def last_modified(self, known: DiskState) -> Any:
        return None


def _has_hooks(contents_manager: Any) -> bool:
    return bool(
        contents_manager.pre_save_hook
        or contents_manager.post_save_hook
        or getattr(contents_manager, "_pre_save_hooks", None)
        or getattr(contents_manager, "_post_save_hooks", None)
    )


def make_store(contents_manager: Any) -> Store:
    """The store that fits the server's contents manager."""
    if type(contents_manager) in _PLAIN_MANAGERS and not _has_hooks(contents_manager):
        return FileStore(Path(contents_manager.root_dir), contents_manager.hash_algorithm)
    return ContentsStore(contents_manager)
