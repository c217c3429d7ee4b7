"""Bundles for the provider uv: the wheels of a lock for hosts of any architecture, and uv's own.

Other providers need some of them, too: supervisord has an environment of uv's on every host in user scope.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from pyinfra.api.exceptions import PyinfraError

from deploy.environment.bundle import written
from deploy.environment.uv import committed_lock
from jupyfleet_host import architecture
from jupyfleet_host.package_index import environment_for_uv

#: glibc's versions (PEP 600) that wheels may ask for, from the newest that every supported distribution has.
_GLIBC: Final = range(28, 4, -1)
#: Some requirements depend on the last number of Python's version: a bundle serves the oldest and any later one.
_PATCHES: Final = (0, 99)
#: pip fetches one wheel after the other, and mostly waits.
_PARALLEL: Final = 4


def make(
    profile: str,
    arch: str,
    python: str,
    output: Path,
    *,
    lock: str,
    extra: tuple[str, ...] = (),
    index: str | None = None,
) -> int:
    """Write a bundle of a lock and `extra`, resolved beside it; return how many wheels it has.

    Raises:
        PyinfraError: what pip or uv says; no file is left then.
    """
    contents = {"provider": "uv", "profile": profile, "arch": arch, "python": python}
    asked = {profile: lock, "supervisor": committed_lock("supervisor"), "uv": committed_lock("uv")}
    if extra:
        asked["extra"] = "\n".join(extra) + "\n"
    with written(output, contents) as directory:
        collect(asked, directory, arch, python, beside=profile, index=index)
        return len(list(directory.glob("*.whl")))


def collect(
    asked: dict[str, str], directory: Path, arch: str, python: str, *, beside: str = "", index: str | None = None
) -> None:
    """Have every wheel of some locks in a directory; what is asked for as ``extra`` is resolved beside one of them.

    `index` is the only package index to use, or none: this machine's.

    Raises:
        PyinfraError: what pip or uv says.
    """
    with tempfile.TemporaryDirectory(prefix="jupyfleet-bundle-") as name:
        scratch = Path(name)
        for stem, text in asked.items():
            (scratch / f"{stem}.in").write_text(text, encoding="utf-8")
        wanted = [_for_target(scratch / f"{stem}.in", arch, python, beside, index) for stem in asked]
        for patch in _PATCHES:
            lines = sorted({line for some in wanted for line in some[patch]})
            parts = [lines[start::_PARALLEL] for start in range(_PARALLEL)]
            with ThreadPoolExecutor(_PARALLEL) as pool:
                todo = [
                    pool.submit(_download, part, directory, scratch / f"{number}.txt", arch, f"{python}.{patch}", index)
                    for number, part in enumerate(parts)
                ]
                for done in todo:
                    done.result()


def _for_target(asked: Path, arch: str, python: str, profile: str, index: str | None) -> dict[int, set[str]]:
    """What of a lock is for this target, by the patch of its Python: whole requirements, with their hashes.

    What is no lock is resolved beside that of the profile.
    """
    beside = ["--constraints", str(asked.with_name(f"{profile}.in"))] if asked.stem == "extra" else ["--no-deps"]
    found: dict[int, set[str]] = {}
    for patch in _PATCHES:
        output = asked.with_suffix(f".{patch}.txt")
        _run(
            [str(Path(sys.executable).parent / "uv"), "--quiet", "pip", "compile", "--generate-hashes"],
            ["--no-annotate"],
            ["--no-header", "--no-emit-index-url", "--only-binary=:all:", "--python-version", f"{python}.{patch}"],
            ["--python-platform", f"{arch}-manylinux_2_28", "--output-file", str(output), *beside, str(asked)],
            ["--default-index", index] if index else [],
            environ=environment_for_uv(os.environ, Path.home()),
        )
        text = output.read_text(encoding="utf-8").replace("\\\n", " ")
        known = set().union(*found.values())
        found[patch] = {line for line in text.splitlines() if "==" in line} - known
    return found


def _download(requirements: list[str], directory: Path, lock: Path, arch: str, python: str, index: str | None) -> None:
    """Every wheel of some requirements for the target, with pip, which checks the hashes: uv has no command for it.

    They are written to the file `lock`, for pip.
    """
    if not requirements:
        return
    lock.write_text("\n".join(requirements) + "\n", encoding="utf-8")
    tags = [f"manylinux_2_{minor}_{arch}" for minor in _GLIBC]
    tags += [f"{name}_{arch}" for name in architecture.KNOWN[arch].wheels] + [f"linux_{arch}"]
    abi = "cp{}{}".format(*python.split("."))
    _run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"],
        ["--require-hashes", "--only-binary=:all:", "--dest", str(directory), "--requirement", str(lock)],
        ["--implementation", "cp", "--python-version", python, "--abi", abi, "--abi", "abi3", "--abi", "none"],
        [part for tag in tags for part in ("--platform", tag)],
        ["--index-url", index] if index else [],
        environ={},
    )


def _run(*parts: list[str], environ: dict[str, str]) -> None:
    command = [part for some in parts for part in some]
    done = subprocess.run(command, env=dict(os.environ) | environ, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-20:])
        raise PyinfraError(f"the bundle could not be made:\n{said}")
