"""A bundle: one archive with all that hosts without internet need, for one profile, architecture and Python.

It holds wheels only: of the profile, of supervisord, and uv's own. The extension comes with every deploy anyway.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pyinfra.api.exceptions import PyinfraError

from deploy.environment.uv import committed_lock
from jupyfleet_host.bundle import CONTENTS, SCHEMA
from jupyfleet_host.package_index import environment_for_uv

#: glibc's versions (PEP 600) that wheels may ask for, from the newest that every supported distribution has.
_GLIBC: Final = range(28, 4, -1)
#: Some requirements depend on the last number of Python's version: a bundle serves the oldest and any later one.
_PATCHES: Final = (0, 99)
_OLDER_TAGS: Final = {"x86_64": ("manylinux2014", "manylinux2010", "manylinux1"), "aarch64": ("manylinux2014",)}


@dataclass(frozen=True)
class Bundle:
    """A bundle as a deploy uses it: `source` is a path on this machine, or ``file:`` and one on the host."""

    source: str

    @property
    def on_host(self) -> str | None:
        return self.source.removeprefix("file:") if self.source.startswith("file:") else None

    @functools.cached_property
    def sha256(self) -> str | None:
        """Of the archive on this machine."""
        return None if self.on_host else _digest(Path(self.source))

    @property
    def name(self) -> str:
        """Of its directory on a host."""
        return (self.sha256 or hashlib.sha256(self.source.encode()).hexdigest())[:16]


@functools.cache
def _digest(file: Path) -> str:
    """Once a run, whatever the number of hosts."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def make(profile: str, arch: str, python: str, output: Path, *, extra: tuple[str, ...] = ()) -> int:
    """Write a bundle and return how many wheels it has.

    Raises:
        PyinfraError: what pip or uv says; no file is left then.
    """
    with tempfile.TemporaryDirectory(prefix="jupyfleet-bundle-", dir=output.parent) as scratch:
        directory = Path(scratch) / "bundle"
        directory.mkdir()
        asked = {name: committed_lock(name) for name in (profile, "supervisor", "uv")}
        if extra:
            asked["extra"] = "\n".join(extra) + "\n"
        for name, text in asked.items():
            (Path(scratch) / f"{name}.in").write_text(text, encoding="utf-8")
        wanted = [_for_target(Path(scratch) / f"{name}.in", arch, python, profile) for name in asked]
        for patch in _PATCHES:
            _download({line for some in wanted for line in some[patch]}, directory, arch, f"{python}.{patch}")
        wheels = sorted(directory.glob("*.whl"))
        contents: dict[str, Any] = {"schema": SCHEMA, "profile": profile, "arch": arch, "python": python}
        contents["wheels"] = {wheel.name: _digest(wheel) for wheel in wheels}
        (directory / CONTENTS).write_text(json.dumps(contents, indent=1), encoding="utf-8")
        beside = Path(scratch) / "bundle.tar"
        with tarfile.open(beside, "w") as archive:
            for file in [directory / CONTENTS, *wheels]:
                archive.add(file, file.name, filter=_nobodys)
        beside.chmod(0o644)
        beside.rename(output)
    return len(wheels)


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without what differs between two machines, so that the same wheels give the same bundle."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member


def _for_target(asked: Path, arch: str, python: str, profile: str) -> dict[int, set[str]]:
    """What of a lock is for this target, by the patch of its Python: whole requirements, with their hashes.

    What is no lock is resolved beside that of the profile.
    """
    beside = ["--constraints", str(asked.with_name(f"{profile}.in"))] if asked.stem == "extra" else ["--no-deps"]
    found: dict[int, set[str]] = {}
    for patch in _PATCHES:
        output = asked.with_suffix(f".{patch}.txt")
        _run(
            [
                str(Path(sys.executable).parent / "uv"),
                "--quiet",
                "pip",
                "compile",
                "--generate-hashes",
                "--no-annotate",
            ],
            ["--no-header", "--no-emit-index-url", "--only-binary=:all:", "--python-version", f"{python}.{patch}"],
            ["--python-platform", f"{arch}-manylinux_2_28", "--output-file", str(output), *beside, str(asked)],
            environ=environment_for_uv(os.environ, Path.home()),
        )
        text = output.read_text(encoding="utf-8").replace("\\\n", " ")
        known = set().union(*found.values())
        found[patch] = {line for line in text.splitlines() if "==" in line} - known
    return found


def _download(requirements: set[str], directory: Path, arch: str, python: str) -> None:
    """Every wheel of some requirements for the target, with pip, which checks the hashes: uv has no command for it."""
    if not requirements:
        return
    lock = directory.with_name("lock.txt")
    lock.write_text("\n".join(sorted(requirements)) + "\n", encoding="utf-8")
    tags = [f"manylinux_2_{minor}_{arch}" for minor in _GLIBC]
    tags += [f"{name}_{arch}" for name in _OLDER_TAGS[arch]] + [f"linux_{arch}"]
    abi = "cp{}{}".format(*python.split("."))
    _run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"],
        ["--require-hashes", "--only-binary=:all:", "--dest", str(directory), "--requirement", str(lock)],
        ["--implementation", "cp", "--python-version", python, "--abi", abi, "--abi", "abi3", "--abi", "none"],
        [part for tag in tags for part in ("--platform", tag)],
        environ={},
    )


def _run(*parts: list[str], environ: dict[str, str]) -> None:
    command = [part for some in parts for part in some]
    done = subprocess.run(command, env=dict(os.environ) | environ, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-20:])
        raise PyinfraError(f"the bundle could not be made:\n{said}")
