"""Which notebooks exist, and making a new one. Nothing here opens a room or changes an existing file."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from jupyter_core.utils import ensure_async
from tornado.web import HTTPError

from .errors import PathRefused, SaveFailed
from .storage import Store

__all__ = ["Workspace", "empty_notebook"]

_MAX_DEPTH = 40


def empty_notebook(kernelspec: dict[str, str] | None) -> bytes:
    """The file of a notebook without cells, in the layout that nbformat writes."""
    metadata: dict[str, Any] = {"kernelspec": kernelspec} if kernelspec else {}
    notebook = {"cells": [], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return (json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


class Workspace:
    """The folder of notebooks. `root` is None when the contents manager keeps no files."""

    def __init__(self, contents_manager: Any, store: Store, root: Path | None) -> None:
        self._contents = contents_manager
        self._store = store
        self.root = root

    async def notebooks(self) -> list[dict[str, str]]:
        """Every visible notebook as {"path", "name"}, sorted by path."""
        if self.root is not None:
            paths = await asyncio.to_thread(self._scan)
        else:
            paths = await self._walk("", 0)
        return [{"path": path, "name": path.rsplit("/", 1)[-1]} for path in sorted(paths)]

    def _scan(self) -> list[str]:
        assert self.root is not None
        root = os.path.realpath(self.root)
        inside = "" if root == "/" else root
        should_list = self._contents.should_list
        found: list[str] = []
        seen = {root}
        folders = [(root, "")]
        while folders:
            folder, prefix = folders.pop()
            try:
                entries = list(os.scandir(folder))
            except OSError:
                continue
            for entry in entries:
                name = entry.name
                if name.startswith(".") or not should_list(name):
                    continue
                try:
                    if name.endswith(".ipynb") and entry.is_file():
                        # A link is the notebook that it leads to; that one is listed where it is, or is none of ours.
                        if not entry.is_symlink():
                            found.append(prefix + name)
                    elif entry.is_dir():
                        if entry.is_symlink():
                            # A folder inside the workspace is listed where it is; one outside is out of reach.
                            continue
                        seen_as = entry.path
                        if seen_as not in seen and seen_as.startswith(inside + "/"):
                            seen.add(seen_as)
                            folders.append((seen_as, f"{prefix}{name}/"))
                except OSError:
                    continue
        return [path for path in found if _encodable(path)]

    async def _walk(self, folder: str, depth: int) -> list[str]:
        if depth > _MAX_DEPTH:
            return []
        try:
            model = await ensure_async(self._contents.get(folder, type="directory", content=True))
        except HTTPError:
            return []
        found: list[str] = []
        for entry in model["content"]:
            if entry["name"].startswith("."):
                continue
            if entry["type"] == "notebook":
                found.append(entry["path"].strip("/"))
            elif entry["type"] == "directory":
                found += await self._walk(entry["path"], depth + 1)
        return found

    async def create(self, path: str, kernelspec: dict[str, str] | None) -> None:
        """Make an empty notebook, and the folders above it. Refuses any name that is taken."""
        try:
            await self._store.create(path, empty_notebook(kernelspec))
        except FileExistsError:
            raise PathRefused(
                f"{path!r} exists already and was left as it is. Choose another name, or use it as it is."
            ) from None
        except SaveFailed as error:
            raise SaveFailed(f"{path!r} was not created: {error}.") from error


def _encodable(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return "\\" not in path
