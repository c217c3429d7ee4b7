"""A contents manager that keeps no files: notebooks in a dictionary, as one in a database or in a cloud would be."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from jupyter_server.services.contents.checkpoints import AsyncCheckpoints, AsyncGenericCheckpointsMixin
from jupyter_server.services.contents.manager import AsyncContentsManager
from tornado.web import HTTPError


class NoCheckpoints(AsyncGenericCheckpointsMixin, AsyncCheckpoints):
    """None are made."""

    async def create_notebook_checkpoint(self, nb: Any, path: str) -> dict[str, Any]:
        return {"id": "none", "last_modified": datetime.now(UTC)}

    async def list_checkpoints(self, path: str) -> list[dict[str, Any]]:
        return []

    async def delete_checkpoint(self, checkpoint_id: str, path: str) -> None:
        pass

    async def rename_checkpoint(self, checkpoint_id: str, old_path: str, new_path: str) -> None:
        pass


class MemoryContents(AsyncContentsManager):
    """Folders are what the paths of notebooks say, and those that were made."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.files: dict[str, tuple[str, datetime]] = {}
        self.folders = {""}

    def _checkpoints_class_default(self) -> Any:
        return NoCheckpoints

    async def dir_exists(self, path: str) -> bool:
        return path.strip("/") in self.folders

    async def file_exists(self, path: str = "") -> bool:
        return path.strip("/") in self.files

    def is_hidden(self, path: str) -> bool:
        return False

    def _model(self, path: str, kind: str, modified: datetime) -> dict[str, Any]:
        return {
            "name": path.rsplit("/", 1)[-1],
            "path": path,
            "type": kind,
            "format": None,
            "mimetype": None,
            "content": None,
            "created": modified,
            "last_modified": modified,
            "writable": True,
            "hash": None,
            "hash_algorithm": None,
        }

    async def get(
        self, path: str, content: bool = True, type: Any = None, format: Any = None, require_hash: bool = False
    ) -> dict[str, Any]:
        path = path.strip("/")
        if path in self.folders:
            model = self._model(path, "directory", datetime.fromtimestamp(0, UTC))
            if content:
                inside = [name for name in {*self.files, *self.folders} if name and name.rpartition("/")[0] == path]
                model |= {"format": "json", "content": [await self.get(name, content=False) for name in inside]}
            return model
        if path not in self.files:
            raise HTTPError(404, f"no such entity: {path}")
        text, modified = self.files[path]
        model = self._model(path, "notebook", modified)
        if content:
            model |= {"format": "json", "content": json.loads(text)}
        if require_hash:
            model |= {"hash": hashlib.sha256(text.encode()).hexdigest(), "hash_algorithm": "sha256"}
        return model

    async def save(self, model: dict[str, Any], path: str = "") -> dict[str, Any]:
        path = path.strip("/")
        if model["type"] == "directory":
            self.folders.add(path)
        else:
            self.files[path] = (json.dumps(model["content"]), datetime.now(UTC))
        return await self.get(path, content=False)

    async def delete_file(self, path: str) -> None:
        del self.files[path.strip("/")]

    async def rename_file(self, old_path: str, new_path: str) -> None:
        self.files[new_path.strip("/")] = self.files.pop(old_path.strip("/"))
