"""Immutable environments, installed by uv from locks with hashes, each in a directory named by its content.

An environment is built in its place (it cannot be moved), tried, and only then stamped. One without a valid stamp is
half-finished: the next build clears it, or, where it is in use, installs it once more over itself.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jupyfleet_host.common import HostError, Result, Spec, plural, progress, run
from jupyfleet_host.package_index import environment_for_uv

STAMP = "jupyfleet-release.json"


def state(spec: Spec) -> Result:
    """Say how things are: ``{"stamped": {path: bool}, "active": path | None}``.

    The spec has `paths`, the environments to look at, and `link`, the symlink to the active one, or none.
    """
    paths = [Path(path) for path in spec["paths"]]
    link = Path(spec["link"]) if spec.get("link") else None
    active = None
    if link and link.is_symlink():
        active = next((str(path) for path in paths if _leads_to(link, path)), str(link.resolve()))
    return {"stamped": {str(path): is_complete(path) for path in paths}, "active": active}


def _leads_to(link: Path, path: Path) -> bool:
    """Links further up are followed on both sides: on some systems /home itself is one."""
    return link.is_symlink() and link.resolve() == path.resolve()


def build(spec: Spec) -> Result:
    """Build one environment: ``{"packages": N, "summary": sentence}``.

    The spec has

    - `lock_file`: a build holds it, so that two never work on one home;
    - `path`: the environment's directory; `link`: the symlink to the active one, or none;
    - `python`: the program it is made from; `uv`: a uv that is there, or none and `uv_lock`, `tools` to install it;
    - `locks`: texts of requirements with hashes; `extra`: requirements to resolve beside them;
    - `wheels`: ``[{"name", "sha256", "content" | "url"}]``, installed last and without dependencies;
    - `trials`: commands, relative to the environment's ``bin``, that must succeed.
    """
    started = time.monotonic()
    path = Path(spec["path"])
    with exclusive(Path(spec["lock_file"])) as lock:
        if not is_complete(path):
            _install(spec, path, lock)
    packages = len(list(path.glob("lib/python3*/site-packages/*.dist-info")))
    return {
        "packages": packages,
        "summary": f"{plural(packages, 'package', 'packages')} in {time.monotonic() - started:.1f} s",
    }


def activate(spec: Spec) -> Result:
    """Point `link` at `path` by one rename, and remove what is not among the newest `keep`: ``{"removed": [path]}``."""
    link, path = Path(spec["link"]), Path(spec["path"])
    with exclusive(Path(spec["lock_file"])):
        if not is_complete(path):
            raise HostError(f"{path} is not complete, so it was not made active. Run up again.")
        if link.exists() and not link.is_symlink():
            raise HostError(f"{link} is in the way: it is no link of jupyfleet's. Move it away.")
        before = path.parent / link.resolve().name
        if not _leads_to(link, path):
            link.parent.mkdir(parents=True, exist_ok=True)
            beside = link.with_name(f".{link.name}.jupyfleet-new")
            beside.unlink(missing_ok=True)
            beside.symlink_to(os.path.relpath(path.resolve(), link.parent.resolve()))
            beside.rename(link)
        # The server still runs from the one before: that goes at the next switch.
        removed = _prune(path.parent, {path, before}, spec["keep"])
    return {"removed": removed, "summary": f"{path.name}, {len(removed)} old removed" if removed else path.name}


def _prune(releases: Path, in_use: set[Path], keep: int) -> list[str]:
    found = [path for path in releases.iterdir() if path.is_dir() and not path.is_symlink()]
    others = [path for path in found if path not in in_use]
    complete = sorted((other for other in others if is_complete(other)), key=_built_at, reverse=True)
    kept = set(complete[: max(0, keep - (len(found) - len(others)))])
    removed = [other for other in others if other not in kept]
    for other in removed:
        (other / STAMP).unlink(missing_ok=True)  # First, so that half a removal is never taken for a whole release.
        shutil.rmtree(other)
    return [str(path) for path in removed]


def _built_at(release: Path) -> float:
    return float(json.loads((release / STAMP).read_text())["built_at"])


# -- the stamp ---------------------------------------------------------------------------------------------------


def is_complete(path: Path) -> bool:
    """Whether an environment was finished, is as it was then, and its Python is still the one it was made from."""
    try:
        stamp = json.loads((path / STAMP).read_text())
        python = stamp["python"]
        if stamp["files"] != _digests(path, stamp["files"]):
            return False
        version = subprocess.run(
            [path / "bin/python", "-c", "import sys; print(sys.version)"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout.strip()
    except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError):
        return False
    return bool(version == python)


def _stamped_files(path: Path) -> list[str]:
    """What stands for the rest: every package's list of files, with the programs that are started from outside."""
    records = path.glob("lib/python3*/site-packages/*.dist-info/RECORD")
    programs = [path / "pyvenv.cfg", *(path / "bin" / name for name in ("jupyter-lab", "supervisord", "supervisorctl"))]
    return sorted(str(file.relative_to(path)) for file in [*records, *programs] if file.is_file())


def _digests(path: Path, files: list[str] | dict[str, str]) -> dict[str, str]:
    return {name: hashlib.sha256((path / name).read_bytes()).hexdigest() for name in files}


def _stamp(path: Path) -> None:
    version = run([path / "bin/python", "-c", "import sys; print(sys.version)"], why="run the environment's Python")
    stamp = {"built_at": time.time(), "python": version.strip(), "files": _digests(path, _stamped_files(path))}
    beside = path / f".{STAMP}.new"
    with beside.open("w") as file:
        json.dump(stamp, file)
        file.flush()
        os.fsync(file.fileno())
    os.sync()  # The packages, too, must outlive a power cut before the stamp says that they are there.
    beside.rename(path / STAMP)


# -- the installation ----------------------------------------------------------------------------------------------


class _Uv:
    """uv, bound to one environment, to what this machine's pip is configured with, and to the lock of the home."""

    def __init__(self, program: str, path: Path, lock: int) -> None:
        self._program = program
        self._path = path
        self._lock = lock
        self._environ = _uv_environment()

    def make(self, python: str) -> None:
        self._run(
            "venv",
            "--allow-existing",
            "--no-python-downloads",
            "--python",
            python,
            self._path,
            why=f"make an environment from {python}",
        )

    def install(self, *arguments: str | Path, why: str) -> None:
        self._run("pip", "install", "--python", self._path / "bin/python", *arguments, why=why)

    def compile(self, *arguments: str | Path, why: str) -> None:
        self._run("pip", "compile", "--python", self._path / "bin/python", *arguments, why=why)

    def _run(self, *arguments: str | Path, why: str) -> None:
        # uv keeps the lock open: should this process be killed, no other build begins before uv has ended, too.
        run([self._program, "--quiet", *arguments], env=self._environ, keep_open=[self._lock], why=why)


def _install(spec: Spec, path: Path, lock: int) -> None:
    uv = _Uv(_uv_program(spec), path, lock)
    in_use = _is_in_use(spec, path)
    (path / STAMP).unlink(missing_ok=True)
    if path.exists() and not in_use:
        progress("clearing a half-finished installation")
        shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    uv.make(spec["python"])
    again = ["--reinstall"] if in_use else []
    with tempfile.TemporaryDirectory(prefix="jupyfleet-") as scratch:
        locks = _write_locks(spec, Path(scratch), uv)
        progress(f"installing {sum(lock.read_text().count('==') for lock in locks)} packages")
        names = [part for lock in locks for part in ("--requirements", lock)]
        # The lock's hashes are what is trusted. Wheels only: building a package runs code that no hash covers.
        uv.install(*again, "--require-hashes", "--only-binary=:all:", *names, why="install the packages")
        for wheel in spec["wheels"]:
            progress(f"installing {wheel['name']}")
            uv.install("--no-deps", *_fetch_wheel(wheel, Path(scratch)), why=f"install {wheel['name']}")
    for trial in spec["trials"]:
        progress(f"trying {' '.join(trial[:2])}")
        # Python writes its bytecode into the environment, so a trial holds the lock as well.
        run(
            [path / "bin" / trial[0], *trial[1:]],
            env=_trial_environment(),
            timeout=300,
            keep_open=[lock],
            why=f"run {trial[0]}",
        )
    _stamp(path)


def _is_in_use(spec: Spec, path: Path) -> bool:
    """Whether something may run from this very environment: then it is repaired over itself, not removed.

    The active one is; one that was finished once may be, too, such as supervisord's, to which no link leads.
    """
    is_active = bool(spec.get("link")) and _leads_to(Path(spec["link"]), path)
    return (is_active or (path / STAMP).exists()) and (path / "bin/python").exists()


def _write_locks(spec: Spec, scratch: Path, uv: _Uv) -> list[Path]:
    locks = []
    for number, text in enumerate(spec["locks"]):
        lock = scratch / f"lock-{number}.txt"
        lock.write_text(text)
        locks.append(lock)
    if spec["extra"]:
        extra = ", ".join(spec["extra"])
        progress(f"resolving {extra}")
        wanted, resolved = scratch / "extra.in", scratch / "extra.txt"
        wanted.write_text("\n".join(spec["extra"]) + "\n")
        constraints = [part for lock in locks for part in ("--constraints", lock)]
        options: list[str | Path] = [
            "--generate-hashes",
            "--no-emit-index-url",
            "--only-binary=:all:",
            "--output-file",
            resolved,
        ]
        uv.compile(*options, *constraints, wanted, why=f"resolve the extra packages {extra}")
        locks.append(resolved)
    return locks


def _fetch_wheel(wheel: dict[str, Any], scratch: Path) -> list[str | Path]:
    """The arguments that make uv install one wheel and check its digest."""
    if "url" in wheel:
        requirement = scratch / "wheel.txt"
        requirement.write_text(f"{wheel['name'].split('-')[0]} @ {wheel['url']} --hash=sha256:{wheel['sha256']}\n")
        return ["--require-hashes", "--requirements", requirement]
    content = base64.b64decode(wheel["content"], validate=True)
    if hashlib.sha256(content).hexdigest() != wheel["sha256"]:
        raise HostError(f"{wheel['name']} was damaged on its way to the host. Run it again.")
    file = scratch / wheel["name"]
    file.write_bytes(content)
    return ["--reinstall-package", wheel["name"].split("-")[0], file]


def _uv_program(spec: Spec) -> str:
    """The uv to install with: the given one, or the pinned one, installed by the host's own pip when it is missing."""
    if spec["uv"]:
        if not os.access(spec["uv"], os.X_OK):
            raise HostError(f"there is no uv at {spec['uv']}. Correct jupyter_uv, or leave it out.")
        return str(spec["uv"])
    digest = hashlib.sha256(spec["uv_lock"].encode()).hexdigest()[:16]
    path = Path(spec["tools"]) / f"uv-{digest}"
    uv = path / "bin/uv"
    if (path / "complete").exists():
        return str(uv)
    progress("installing uv")
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    hint = "make an environment with pip (on Debian and Ubuntu: apt install python3-venv)"
    run([spec["python"], "-m", "venv", path], why=hint)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as lock:
        lock.write(spec["uv_lock"])
        lock.flush()
        pip: list[str | Path] = [
            path / "bin/python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--require-hashes",
            "--only-binary=:all:",
        ]
        run([*pip, "--requirement", lock.name], why="install uv with the host's pip")
    run([uv, "--version"], why="run uv")
    (path / "complete").touch()
    return str(uv)


def _uv_environment() -> dict[str, str]:
    """The environment of a person, less what would turn uv to another project or Python."""
    environ = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    environ |= environment_for_uv(environ, Path.home())
    return environ | {"UV_NO_PROGRESS": "1", "UV_PROJECT_ENVIRONMENT": ""}


def _trial_environment() -> dict[str, str]:
    """As bare as the service's, so that a trial proves what the service will find."""
    kept = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "USER")
    return {name: os.environ[name] for name in kept if name in os.environ}


@contextlib.contextmanager
def exclusive(lock_file: Path) -> Iterator[int]:
    """Hold a home for this process alone, by the descriptor given; who holds it is said to whoever comes second."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise HostError(f"another deploy is at work on this host: {holder}. Wait for it, then run again.") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        file.flush()
        yield file.fileno()
