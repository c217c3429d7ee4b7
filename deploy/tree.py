"""The wanted files of a host, gathered from all components: pure data that knows nothing of pyinfra."""

from __future__ import annotations

import base64
import difflib
import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any


@dataclass(frozen=True)
class Directory:
    """A directory; with `keep` one that is there already keeps its mode. `system`: it is root's, outside the home."""

    path: PurePosixPath
    mode: int = 0o755
    keep: bool = False
    system: bool = False

    def describe(self) -> dict[str, Any]:
        return {"kind": "directory", "keep": self.keep}


@dataclass(frozen=True)
class File:
    """A file with its content; a `seed` is laid down only into an empty directory, and is the user's from then on.

    `system`: it is root's, outside the home.
    """

    path: PurePosixPath
    content: bytes
    mode: int = 0o644
    seed: bool = False
    system: bool = False

    def describe(self) -> dict[str, Any]:
        return {"kind": "file", "sha256": hashlib.sha256(self.content).hexdigest(), "seed": self.seed}


@dataclass(frozen=True)
class Secret:
    """A secret that the host makes for itself and nobody else gets to see."""

    path: PurePosixPath
    mode: int = 0o600
    system: bool = False

    def describe(self) -> dict[str, Any]:
        return {"kind": "secret"}


Entry = Directory | File | Secret


class Tree:
    """What components want on a host, each path once, directories before what is in them."""

    def __init__(self) -> None:
        self._entries: dict[PurePosixPath, Entry] = {}

    def add(self, *entries: Entry) -> None:
        """Add entries.

        Raises:
            ValueError: two components want the same path.
        """
        for entry in entries:
            if entry.path in self._entries:
                raise ValueError(f"two components lay down {entry.path}")
            self._entries[entry.path] = entry

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """By path, so that a directory comes before what is in it."""
        return iter(sorted(self._entries.values(), key=lambda entry: entry.path))

    def digest(self, below: PurePosixPath) -> str:
        """A digest of all files below a directory: it changes when, and only when, one of them does."""
        total = hashlib.sha256()
        for entry in self:
            if isinstance(entry, File) and entry.path.is_relative_to(below):
                total.update(f"{entry.path}\0{entry.mode:o}\0".encode() + hashlib.sha256(entry.content).digest())
        return total.hexdigest()

    def plan(self, change: Mapping[str, Any]) -> list[str]:
        """What one change of `jupyfleet_host.tree.compare` means: a sentence, and a diff where a file changes."""
        entry = self._entries[PurePosixPath(change["path"])]
        lines = [f"{entry.path} {change['why']}"]
        if isinstance(entry, File) and change.get("old") is not None:
            new = entry.content.decode(errors="replace").splitlines()
            diff = difflib.unified_diff(change["old"].splitlines(), new, "on the host", "wanted", lineterm="")
            lines += [f"  {line}" for line in diff]
        return lines

    def described(self, only: Collection[str] | None = None, *, content: bool = False) -> list[dict[str, Any]]:
        """The entries as `jupyfleet_host.tree` takes them: all or `only` some paths, with or without content."""
        described = []
        for entry in self:
            if only is not None and str(entry.path) not in only:
                continue
            description = {"path": str(entry.path), "mode": f"{entry.mode:04o}", "system": entry.system}
            description |= entry.describe()
            if content and isinstance(entry, File):
                description["content"] = base64.b64encode(entry.content).decode()
            described.append(description)
        return described
