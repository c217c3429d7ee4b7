"""The provider uv: an environment from PyPI, from locks with hashes, made of wheels only."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from jupyfleet_host.common import HostError, Spec, progress, run
from jupyfleet_host.package_index import environment_for_uv


def prefix_in(path: Path) -> Path:
    """Where a release has its environment: it is one."""
    return path


def install(spec: Spec, path: Path, lock: int, *, again: bool) -> None:
    """Install into `path`; with `again` over what is there and in use.

    The spec has

    - `python`: the program it is made from, or ``uv:VERSION``, which uv fetches, from `python_mirror` where
      that is one; `index`: the only package index to use, or none;
    - `bundle`: a directory of wheels to use instead of any index, or none;
    - `uv`: a uv that is there, or none and `uv_lock`, `tools` to install it;
    - `locks`: texts of requirements with hashes; `extra`: requirements to resolve beside them;
    - `wheels`: ``[{"name", "sha256", "content" | "url"}]``, installed without dependencies.
    """
    uv = _Uv(_uv_program(spec), path, lock, spec["index"], spec["bundle"])
    uv.make(spec["python"], spec["tools"], spec["python_mirror"])
    with tempfile.TemporaryDirectory(prefix="jupyfleet-") as scratch:
        locks = _write_locks(spec, Path(scratch), uv)
        progress(f"installing {sum(lock.read_text().count('==') for lock in locks)} packages")
        names = [part for lock in locks for part in ("--requirements", lock)]
        # The lock's hashes are what is trusted. Wheels only: building a package runs code that no hash covers. A lock
        # is whole, so nothing is resolved here, and everything comes in one go: each look at what is there takes time.
        options: list[str | Path] = ["--no-deps", "--require-hashes", "--only-binary=:all:"]
        options += ["--reinstall"] if again else []
        for wheel in spec["wheels"]:
            options += _wheel(wheel, Path(scratch))
        uv.install(*options, *names, why="install the packages")


class _Uv:
    """uv, bound to one environment, to what this machine's pip is configured with, and to the lock of the home."""

    def __init__(self, program: str, path: Path, lock: int, index: str | None, bundle: str | None) -> None:
        self._program = program
        self._path = path
        self._lock = lock
        self._environ = _uv_environment(index, bundle)

    def make(self, python: str, tools: str, mirror: str | None) -> None:
        kind, environ = "--no-python-downloads", self._environ
        if python.startswith("uv:"):
            python, kind = python.removeprefix("uv:"), "--managed-python"
            environ = environ | {"UV_PYTHON_INSTALL_DIR": f"{tools}/python", "UV_PYTHON_DOWNLOADS": "automatic"}
            if mirror:
                environ["UV_PYTHON_INSTALL_MIRROR"] = mirror
            if (mirror or "").startswith("file:"):
                environ.pop("UV_OFFLINE", None)  # Or uv would not even look into a directory of this host.
        options = ["--allow-existing", kind, "--python", python, str(self._path)]
        self._run("venv", *options, why=f"make an environment from {python}", environ=environ)

    def install(self, *arguments: str | Path, why: str) -> None:
        self._run("pip", "install", "--python", self._path / "bin/python", *arguments, why=why)

    def compile(self, *arguments: str | Path, why: str) -> None:
        self._run("pip", "compile", "--python", self._path / "bin/python", *arguments, why=why)

    def _run(self, *arguments: str | Path, why: str, environ: dict[str, str] | None = None) -> None:
        # uv keeps the lock open: should this process be killed, no other build begins before uv has ended, too.
        program = [self._program, "--quiet", *arguments]
        run(program, env=environ or self._environ, keep_open=[self._lock], why=why)


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


def _wheel(wheel: dict[str, Any], scratch: Path) -> list[str | Path]:
    """The arguments that make uv install one wheel and check its digest."""
    name = wheel["name"].split("-")[0]
    requirement = scratch / f"{name}.txt"
    if "url" in wheel:
        requirement.write_text(f"{name} @ {wheel['url']} --hash=sha256:{wheel['sha256']}\n")
        return ["--requirements", requirement]
    content = base64.b64decode(wheel["content"], validate=True)
    if hashlib.sha256(content).hexdigest() != wheel["sha256"]:
        raise HostError(f"{wheel['name']} was damaged on its way to the host. Run it again.")
    file = scratch / wheel["name"]
    file.write_bytes(content)
    requirement.write_text(f"{name} @ {file.as_uri()} --hash=sha256:{wheel['sha256']}\n")
    return ["--reinstall-package", name, "--requirements", requirement]


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
    run([_python_of_host(spec), "-m", "venv", path], why=hint)
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
        if spec["bundle"]:
            pip += ["--no-index", "--find-links", spec["bundle"]]
        elif spec["index"]:
            pip += ["--index-url", spec["index"]]
        run([*pip, "--requirement", lock.name], why="install uv with the host's pip")
    run([uv, "--version"], why="run uv")
    (path / "complete").touch()
    return str(uv)


def _python_of_host(spec: Spec) -> str:
    return "python3" if spec["python"].startswith("uv:") else str(spec["python"])


def _uv_environment(index: str | None, bundle: str | None) -> dict[str, str]:
    """The environment of a person, less what would turn uv to another project or Python."""
    environ = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    environ |= environment_for_uv(environ, Path.home())
    if bundle:
        environ |= {"UV_NO_INDEX": "1", "UV_FIND_LINKS": bundle, "UV_OFFLINE": "1"}
    elif index:
        # The site's own index is the only one: what else this machine is configured with would mix in.
        for name in ("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX"):
            environ.pop(name, None)
        environ["UV_DEFAULT_INDEX"] = index
    return environ | {"UV_NO_PROGRESS": "1", "UV_PROJECT_ENVIRONMENT": ""}
