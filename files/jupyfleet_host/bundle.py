"""A bundle on a host: one archive with every package that an environment needs, unpacked where uv and pixi find them.

It is trusted for its digest when it came from the machine that deploys; one that lies on the host already needs none,
since every package in it is checked against the lock.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from jupyfleet_host import architecture
from jupyfleet_host.common import HostError, Result, Spec, plural, progress
from jupyfleet_host.releases import exclusive

CONTENTS = "bundle.json"
SCHEMA = "jupyfleet/bundle/1"
_PACKAGES = (".whl", ".conda", ".bz2")


def state(spec: Spec) -> Result:
    """Whether a bundle is unpacked at `directory`: ``{"unpacked": bool}``."""
    return {"unpacked": (Path(spec["directory"]) / CONTENTS).is_file()}


def unpack(spec: Spec) -> Result:
    """Unpack a bundle: ``{"summary": sentence}``; an earlier one goes.

    The spec has `lock_file`, `archive`, its path on this host, `sha256` (or none), `directory`, `provider`, `python`
    (with uv, what the environment will be made from), and `discard`: whether the archive is of no use afterwards.
    """
    archive, directory = Path(spec["archive"]), Path(spec["directory"])
    with exclusive(Path(spec["lock_file"])):
        _require_whole(archive, spec["sha256"])
        directory.parent.mkdir(parents=True, exist_ok=True)
        for other in directory.parent.iterdir():
            shutil.rmtree(other)
        scratch = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=directory.parent))
        progress("unpacking the bundle")
        try:
            with tarfile.open(archive) as members:
                _extract(members, scratch)
            contents = json.loads((scratch / CONTENTS).read_text())
        except (tarfile.TarError, OSError, ValueError, EOFError) as error:
            raise HostError(f"{archive} is no bundle of jupyfleet's: {error}") from error
        _require_fit(contents, spec["provider"], spec["python"])
        scratch.chmod(0o755)
        scratch.rename(directory)
    if spec["discard"] and os.access(archive.parent, os.W_OK):
        archive.unlink(missing_ok=True)
    packages = [file for file in directory.rglob("*") if file.suffix in _PACKAGES]
    return {"summary": plural(len(packages), "package", "packages")}


def _extract(members: tarfile.TarFile, directory: Path) -> None:
    """Lay down the files of an archive, which has nothing but files, and none outside of the directory.

    (tarfile's own filters came with Python 3.11.4; Debian 12 has an older one.)
    """
    for member in members:
        name, content = PurePosixPath(member.name), members.extractfile(member) if member.isreg() else None
        if content is None or name.is_absolute() or ".." in name.parts:
            raise ValueError(f"{member.name} is in it")
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with content, target.open("xb") as file:
            shutil.copyfileobj(content, file)


def _version_of(python: str) -> str:
    """The first two numbers of a Python that is there, or that uv will fetch; nothing when there is none."""
    if python.startswith("uv:"):
        return ".".join(python.removeprefix("uv:").split(".")[:2])
    command = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _require_whole(archive: Path, sha256: str | None) -> None:
    if not archive.is_file():
        raise HostError(f"there is no bundle {archive} on this host. Correct jupyter_bundle.")
    if sha256 is not None:
        with archive.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            raise HostError("the bundle was damaged on its way to the host. Run it again.")


def _require_fit(contents: dict[str, Any], provider: str, python: str | None) -> None:
    if contents.get("schema") != SCHEMA:
        raise HostError(f"the bundle is of the kind {contents.get('schema')}, and this jupyfleet reads {SCHEMA}.")
    if contents["arch"] != architecture.here():
        raise HostError(
            f"the bundle is for {contents['arch']}, and this host is {architecture.here()}. "
            f"Make another one: jupyfleet bundle --arch {architecture.here()}"
        )
    if contents["provider"] != provider:
        raise HostError(
            f"the bundle is for the provider {contents['provider']}, and this host has jupyter_provider '{provider}'. "
            "Make another one with --inventory, or set jupyter_provider."
        )
    if contents["python"] is None or python is None:
        return
    version = _version_of(python)
    if contents["python"] != version:
        raise HostError(
            f"the bundle is for Python {contents['python']}, and {python} is {version or 'none'} on this host. "
            "Make another one with --python, or set jupyter_python."
        )
