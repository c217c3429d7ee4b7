"""The files of a host: compared in one go, and put in place one atomic rename at a time.

An entry of a tree is one of

- ``{"kind": "directory", "path", "mode", "keep"}``: with `keep` one that is there already is left as it is;
- ``{"kind": "file", "path", "mode", "sha256", "seed"}``: with `seed` it is laid down only into an empty directory;
- ``{"kind": "secret", "path", "mode"}``: made here, from the system's randomness, when there is none of use.

With `owner` in the spec, entries are that user's and looked at and made as that user, but those that are `system`:
they are root's. `mode` is octal text. For `apply` a file has ``"content"`` too, base64. A secret's text is never read
for a result, and never leaves the host.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyfleet_host.common import HostError, Result, Spec, plural
from jupyfleet_host.identity import call_as

Entry = dict[str, Any]

#: How the name of a file ends that is being written, and is to be renamed.
_BESIDE = ".jupyfleet-new"
#: Bytes of a file whose old text is worth showing.
_MOST_SHOWN = 100_000


def compare(spec: Spec) -> Result:
    """Say what differs: ``{"changes": [{"path", "kind", "why", "old"}, …]}``, in the order of the entries.

    `old` is the text of a file that has other content than it should, so that a plan can show what would change.
    """
    results = _by_owner(spec, _compare, only_looks=True)
    return {"changes": [change for result in results for change in result["changes"]]}


def apply(spec: Spec) -> Result:
    """Bring every entry into its wanted state: ``{"changed": [path, …]}``. Damaged content stops all of it."""
    for entry in spec["entries"]:
        if entry["kind"] == "file":
            _content(entry)
    results = _by_owner(spec, _apply, only_looks=False)
    changed = [path for result in results for path in result["changed"]]
    return {"changed": changed, "summary": plural(len(changed), "file or directory", "files and directories")}


def _by_owner(spec: Spec, work: Callable[[Spec], Result], *, only_looks: bool) -> list[Result]:
    """Do the work for root's entries, then for the owner's as the owner; without an owner all are the caller's."""
    entries, owner = spec["entries"], spec.get("owner")
    if owner is None:
        return [work({"entries": entries})]
    roots = [entry for entry in entries if entry["system"]]
    owners = [entry for entry in entries if not entry["system"]]
    return [work({"entries": roots}), call_as(owner, work, {"entries": owners}, only_looks=only_looks)]


def _compare(spec: Spec) -> Result:
    changes = []
    for entry in spec["entries"]:
        why = _difference(entry)
        if why:
            changes.append({"path": entry["path"], "kind": entry["kind"], "why": why, "old": _old_text(entry)})
    return {"changes": changes}


def _old_text(entry: Entry) -> str | None:
    path = Path(entry["path"])
    if entry["kind"] != "file" or path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_SHOWN:
        return None
    return path.read_text(encoding="utf-8", errors="replace")


def _apply(spec: Spec) -> Result:
    changed = []
    for entry in spec["entries"]:
        # A seed was chosen while its directory was empty; by now another one may lie there.
        if not Path(entry["path"]).exists() if entry.get("seed") else _difference(entry):
            _put(entry, _content(entry) if entry["kind"] == "file" else b"")
            changed.append(entry["path"])
    return {"changed": changed}


def _difference(entry: Entry) -> str | None:
    path = Path(entry["path"])
    if entry["kind"] == "directory":
        return _directory_difference(entry, path)
    if entry.get("seed"):
        return "is new" if _is_empty_or_absent(path.parent) else None
    try:
        found = path.lstat()
    except FileNotFoundError:
        return "is new"
    except NotADirectoryError as error:
        raise _blocked(path) from error
    if stat.S_ISDIR(found.st_mode):
        raise HostError(f"{path} is in the way: a file is needed there, and it is a directory. Move it away.")
    if not stat.S_ISREG(found.st_mode):
        return "is no regular file"
    if entry["kind"] == "file" and _sha256(path) != entry["sha256"]:
        return "has other content"
    if entry["kind"] == "secret" and (why := _secret_difference(path)):
        return why
    return _mode_difference(entry, found)


def _directory_difference(entry: Entry, path: Path) -> str | None:
    try:
        found = path.stat()  # Follows a link: a workspace on another disk is a usual thing.
    except FileNotFoundError:
        if path.is_symlink():
            raise HostError(f"{path} is a link to {path.readlink()}, which is not there. Mount or make it.") from None
        return "is new"
    except NotADirectoryError as error:
        raise _blocked(path) from error
    if not stat.S_ISDIR(found.st_mode):
        raise HostError(f"{path} is in the way: a directory is needed there, and it is none. Move it away.")
    return None if entry.get("keep") else _mode_difference(entry, found)


def _blocked(path: Path) -> HostError:
    file = next(parent for parent in path.parents if parent.exists())
    return HostError(f"{path} cannot be there: {file} is in the way, which is no directory. Move it away.")


def _secret_difference(path: Path) -> str | None:
    text = path.read_text(encoding="utf-8", errors="replace")
    if not text.strip():
        return "is empty"
    return "has white space around it" if text != text.strip() else None


def _mode_difference(entry: Entry, found: os.stat_result) -> str | None:
    mode = f"{stat.S_IMODE(found.st_mode):04o}"
    return None if mode == entry["mode"] else f"has mode {mode}, not {entry['mode']}"


def _is_empty_or_absent(directory: Path) -> bool:
    """What an interrupted `replace` left behind does not count."""
    try:
        return all(found.name.startswith(".") and found.name.endswith(_BESIDE) for found in directory.iterdir())
    except FileNotFoundError:
        return True


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _content(entry: Entry) -> bytes:
    try:
        content = base64.b64decode(entry["content"], validate=True)
    except ValueError:
        content = None
    if content is None or hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise HostError(f"the content for {entry['path']} was damaged on the way; nothing was written. Run it again.")
    return content


def _put(entry: Entry, content: bytes) -> None:
    path = Path(entry["path"])
    mode = int(entry["mode"], 8)
    if entry["kind"] == "directory":
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        return
    if entry["kind"] == "secret":
        content = _secret(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, content, mode)


def _secret(path: Path) -> bytes:
    """Keep a usable secret, so that correcting its mode or a stray newline locks nobody out."""
    try:
        kept = path.read_bytes().strip() if not path.is_symlink() else b""
    except FileNotFoundError:
        kept = b""
    return kept or secrets.token_hex(32).encode()


def replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file beside its place and rename it there: readers see the old or the new one, never half of one."""
    beside = path.with_name(f".{path.name}{_BESIDE}")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        beside.rename(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
