"""Notebooks wherever a contents manager keeps them, or with save hooks: it is asked to save, then to read back."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.services.contents.filemanager import AsyncFileContentsManager, FileContentsManager
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager, LargeFileManager
from tornado.web import HTTPError

from .errors import ChangedOnDisk, NotebookNotFound, SaveFailed
from .file_store import FileStore
from .storage import DiskState, Store, explain, parse

__all__ = ["ContentsStore", "make_store"]

_PLAIN_MANAGERS = (FileContentsManager, AsyncFileContentsManager, LargeFileManager, AsyncLargeFileManager)


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
        content = parse(data)
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
                self._contents.save({"type": "notebook", "format": "json", "content": parse(data)}, path)
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
