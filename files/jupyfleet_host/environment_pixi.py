"""The provider pixi: an environment from conda-forge and PyPI, from a manifest and its lock.

pixi itself is one file below the home, and trusted only for its digest. It never sees a person's configuration.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import platform
import shutil
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jupyfleet_host.common import HostError, Result, Spec, progress, run
from jupyfleet_host.releases import PREFIX_OF_PIXI

#: conda's names of what `platform.machine` says.
PLATFORMS = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}
_DOWNLOAD_SECONDS = 60
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def prefix_in(path: Path) -> Path:
    """Where a release has its environment; pixi wants it below its manifest, and it can never be moved."""
    return path / PREFIX_OF_PIXI


def install(spec: Spec, path: Path, lock: int, *, again: bool) -> None:
    """Install into `path`; with `again` over what is there and in use.

    The spec has

    - `pixi`: see `_program`; `cache`: the directory of packages, on the same disk for hard links;
    - `manifest` and `lock`: the texts of pixi.toml and pixi.lock;
    - `added`: requirements with hashes that pip adds, and `index`, the package index for them, or none: PyPI;
    - `wheels`: ``[{"name", "sha256", "content"}]``, installed last and without dependencies.
    """
    program = _program(spec["pixi"])
    _write(path / "pixi.toml", spec["manifest"])
    _write(path / "pixi.lock", spec["lock"])
    progress("installing the packages of pixi.lock")
    # What is damaged is only repaired by a reinstallation: pixi trusts its own records.
    command = "reinstall" if again else "install"
    run(
        [program, command, "--locked", "--manifest-path", path / "pixi.toml"],
        env=_environ(spec),
        keep_open=[lock],
        why="install the packages of pixi.lock",
    )
    _add(spec, path, lock)


def _add(spec: Spec, path: Path, lock: int) -> None:
    """What comes after pixi's solve, with the environment's own pip: it changes nothing of what pixi installed."""
    pip: list[str | Path] = [prefix_in(path) / "bin/python", "-m", "pip", "install", "--quiet", "--no-deps"]
    pip += ["--ignore-installed", "--no-compile", "--no-warn-script-location", "--root-user-action=ignore"]
    environ = _environ(spec) | {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_CACHE_DIR": f"{spec['cache']}/pip",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONNOUSERSITE": "1",
    }
    if certificates := environ.get("SSL_CERT_FILE"):
        environ["PIP_CERT"] = certificates  # What pixi trusts; not every pip looks there by itself.
    with tempfile.TemporaryDirectory(prefix="jupyfleet-") as scratch:
        if spec["added"].strip():
            progress("adding the packages that come after pixi's solve")
            requirements = Path(scratch) / "requirements.txt"
            _write(requirements, spec["added"])
            index = ["--index-url", spec["index"]] if spec["index"] else []
            options = ["--require-hashes", "--only-binary=:all:", *index, "--requirement", requirements]
            run([*pip, *options], env=environ, keep_open=[lock], why="add the packages that come after pixi's solve")
        for wheel in spec["wheels"]:
            progress(f"installing {wheel['name']}")
            file = Path(scratch) / wheel["name"]
            file.write_bytes(_verified(base64.b64decode(wheel["content"]), wheel["sha256"], wheel["name"]))
            run([*pip, "--no-index", file], env=environ, keep_open=[lock], why=f"install {wheel['name']}")


def lock(spec: Spec) -> Result:
    """Solve a manifest for all its platforms, and leave nothing behind: ``{"lock": text of pixi.lock}``.

    The spec has `pixi`, but for its home, and `manifest`; and `lock`: an earlier lock whose versions stay where they
    can, or none. There need be no home yet, and no user whose it is.
    """
    with tempfile.TemporaryDirectory(prefix="jupyfleet-") as scratch:
        asked = spec | {"pixi": spec["pixi"] | {"home": scratch}, "cache": f"{scratch}/cache"}
        manifest, solved = Path(scratch) / "pixi.toml", Path(scratch) / "pixi.lock"
        _write(manifest, spec["manifest"])
        if spec["lock"]:
            _write(solved, spec["lock"])
        program = _program(asked["pixi"])
        progress("solving pixi.toml")
        why = "find versions that go together for every platform"
        run([program, "lock", "--manifest-path", manifest], env=_environ(asked), why=why)
        return {"lock": solved.read_text()}


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def _environ(spec: Spec) -> dict[str, str]:
    """What pixi gets: how to reach the network, and none of a person's configuration."""
    kept = ("HOME", "LANG", "PATH", "TMPDIR", "USER", "SSL_CERT_FILE", "SSL_CERT_DIR", *_PROXIES)
    environ = {name: os.environ[name] for name in kept if name in os.environ}
    caches = {"PIXI_CACHE_DIR": spec["cache"], "RATTLER_CACHE_DIR": spec["cache"]}
    return environ | caches | {"PIXI_NO_CONFIG": "1", "PIXI_HOME": spec["pixi"]["home"], "PIXI_NO_PROGRESS": "true"}


# -- pixi itself ---------------------------------------------------------------------------------------------------


def _program(pixi: dict[str, Any]) -> Path:
    """The pinned pixi, fetched unless it is there.

    `pixi` has `home`, below which it is ``bin/pixi``; `version`; `digests`: by the machine's architecture the sha256 of
    the archive and of the executable in it; and `url`, with ``{version}`` and ``{arch}``: http(s), or file: on this
    host; or else `content`, by architecture, the archives that came along.
    """
    machine = platform.machine()
    if machine not in pixi["digests"]:
        raise HostError(
            f"pixi {pixi['version']} is pinned for {', '.join(pixi['digests'])}, and this host is {machine}. "
            "Set jupyter_pixi_digests and jupyter_pixi_url, or use jupyter_provider 'uv'."
        )
    of_archive, of_executable = pixi["digests"][machine]
    program = Path(pixi["home"]) / "bin/pixi"
    if program.is_file() and hashlib.sha256(program.read_bytes()).hexdigest() == of_executable:
        return program
    progress(f"installing pixi {pixi['version']}")
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".pixi-", dir=program.parent) as scratch:
        archive, executable = Path(scratch) / "pixi.tar.gz", Path(scratch) / "pixi"
        if "content" in pixi:
            archive.write_bytes(base64.b64decode(pixi["content"][machine]))
            source = "the archive of pixi that came along"
        else:
            source = pixi["url"].format(version=pixi["version"], arch=machine)
            with _opened(source) as stream, archive.open("wb") as file:
                shutil.copyfileobj(stream, file)
        _verified(archive.read_bytes(), of_archive, source)
        with tarfile.open(archive) as members:
            found = [member for member in members if member.isfile() and Path(member.name).name == "pixi"]
            content = members.extractfile(found[0]) if len(found) == 1 else None
            if content is None:
                raise HostError(f"{source} holds no program pixi")
            executable.write_bytes(_verified(content.read(), of_executable, f"the pixi in {source}"))
        executable.chmod(0o755)
        run([executable, "--version"], why="run pixi")
        executable.rename(program)
    return program


@contextlib.contextmanager
def _opened(source: str) -> Iterator[Any]:
    try:
        with urllib.request.urlopen(source, timeout=_DOWNLOAD_SECONDS) as stream:
            yield stream
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise HostError(
            f"could not fetch pixi from {source}: {reason}. Where this host has no way there, set jupyter_pixi_url to "
            "a mirror, to a file: on the host, or to a path on the machine that deploys."
        ) from error


def _verified(content: bytes, sha256: str, name: str) -> bytes:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise HostError(f"{name} is not what it should be: its sha256 is {found}, and {sha256} was expected")
    return content
