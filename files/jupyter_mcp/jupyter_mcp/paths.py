"""One notebook, one name: every spelling of a path becomes the same workspace-relative path, or is refused.

Two spellings would be two file ids, and two file ids would be two rooms that overwrite each other's file.
Only this module decides which paths exist for an agent; it never reads or writes a file's content.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .errors import NotebookNotFound, PathRefused

__all__ = ["MAX_PATH_LENGTH", "canonical_path", "check_regular_file"]

MAX_PATH_LENGTH = 4096
_MAX_NAME_BYTES = 255


def _shown(path: str) -> str:
    text = path if len(path) <= 120 else path[:117] + "..."
    return repr(text)


def _names(path: str) -> list[str]:
    names: list[str] = []
    for name in path.split("/"):
        if name in ("", "."):
            continue
        if name == "..":
            if not names:
                raise PathRefused(f"{_shown(path)} leaves the workspace. Give a path relative to the workspace.")
            names.pop()
            continue
        names.append(name)
    return names


def _check_names(path: str, names: list[str]) -> None:
    if not names:
        raise PathRefused("The path is empty. Give the path of a notebook, for example 'folder/name.ipynb'.")
    for name in names:
        if name.startswith("."):
            raise PathRefused(f"{_shown(path)} is hidden. Hidden files and folders cannot be used.")
        if len(name.encode()) > _MAX_NAME_BYTES:
            raise PathRefused(f"{_shown(path)} has a name longer than {_MAX_NAME_BYTES} bytes.")
    if not names[-1].endswith(".ipynb") or names[-1] == ".ipynb":
        raise PathRefused(f"{_shown(path)} is not a notebook. Notebook paths end in '.ipynb'.")


def canonical_path(path: str, root: Path | None) -> str:
    """Return the one workspace-relative spelling of `path` ('folder/name.ipynb', no leading slash).

    `root` is the workspace on disk; None (a contents manager without files) skips the checks of symbolic links.
    A link that stays inside the workspace becomes its target, so that both names share a room.

    Raises PathRefused for anything outside the workspace, hidden, without '.ipynb', or not a possible name.
    """
    if not isinstance(path, str):
        raise PathRefused("The path must be text.")
    if len(path) > MAX_PATH_LENGTH:
        raise PathRefused(f"The path is longer than {MAX_PATH_LENGTH} characters.")
    if "\x00" in path:
        raise PathRefused("The path contains a NUL character.")
    if "\\" in path:
        # The file id service reads a backslash as a separator: two files would share one id.
        raise PathRefused(f"{_shown(path)} contains a backslash. Separate folders with '/'.")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise PathRefused("The path is not valid Unicode.") from None

    if root is not None:
        prefix = str(root).rstrip("/") + "/"
        if path.startswith(prefix) and prefix != "/":
            path = path[len(prefix) :]
    names = _names(path)
    _check_names(path, names)
    if root is None:
        return "/".join(names)

    real_root = os.path.realpath(root)
    real = os.path.realpath(os.path.join(real_root, *names))  # noqa: PTH118
    inside = "" if real_root == "/" else real_root
    if not real.startswith(inside + "/"):
        raise PathRefused(f"{_shown(path)} leads out of the workspace through a symbolic link.")
    resolved = real[len(inside) + 1 :].split("/")
    if resolved != names:
        _check_names(path, resolved)
    return "/".join(resolved)


def check_regular_file(path: str, root: Path) -> os.stat_result:
    """Return the stat of the notebook's file; raise NotebookNotFound or PathRefused when it is not a plain file.

    A FIFO or a device called x.ipynb would block the server for ever on reading.
    """
    try:
        found = os.stat(root / path)
    except FileNotFoundError:
        raise NotebookNotFound(
            f"There is no notebook {_shown(path)}. Call notebook_list to see those that exist, "
            "or notebook_create to make it."
        ) from None
    except NotADirectoryError:
        raise NotebookNotFound(f"There is no notebook {_shown(path)}: a part of its path is a file.") from None
    except PermissionError:
        raise PathRefused(f"The server may not read {_shown(path)}: permission denied.") from None
    except OSError as error:
        raise PathRefused(f"{_shown(path)} cannot be reached: {error.strerror or error}.") from None
    if not stat.S_ISREG(found.st_mode):
        raise PathRefused(f"{_shown(path)} is not a regular file.")
    return found
