"""One file, one id, whatever link or spelling a browser tab opens it by.

Rooms are named by file ids, and jupyter-server-fileid gives one to every path: a tab at a symbolic link would be in
another room than the link's target, and the two would overwrite each other's file. Agents' paths are made canonical by
:mod:`jupyter_mcp.paths`; here the same is done for everybody who asks for an id. Paths that are none of ours (no
notebooks, or out of the workspace) are left as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import PathRefused
from .paths import canonical_path

__all__ = ["one_id_per_file"]


def one_id_per_file(file_ids: Any, root: Path) -> None:
    """`file_ids`: a BaseFileIdManager of jupyter-server-fileid. `root`: the workspace on disk."""

    def resolved(ask: Callable[[str], str | None]) -> Callable[[str], str | None]:
        def asked(path: str) -> str | None:
            try:
                return ask(canonical_path(path, root))
            except PathRefused:
                return ask(path)

        return asked

    file_ids.index = resolved(file_ids.index)
    file_ids.get_id = resolved(file_ids.get_id)
