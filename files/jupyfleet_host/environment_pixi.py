"""The provider pixi: an environment from conda-forge and PyPI, from a manifest and its lock.

pixi itself is one file below the home, and trusted only for its digest. It never sees a person's configuration.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import http.server
import io
import json
import os
import re
import tarfile
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jupyfleet_host import architecture
from jupyfleet_host.bundle import CONTENTS
from jupyfleet_host.common import HostError, Result, Spec, progress, run
from jupyfleet_host.releases import PREFIX_OF_PIXI

_DOWNLOAD_SECONDS = 60
#: In a bundle.
_ARCHIVE = "pixi.tar.gz"
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
    - `wheels`: ``[{"name", "sha256", "content"}]``, installed last and without dependencies;
    - `bundle`: a directory that has pixi and all packages, to be used instead of any network, or none.
    """
    bundle = Path(spec["bundle"]) if spec["bundle"] else None
    program = _program(spec["pixi"] | {"url": (bundle / _ARCHIVE).as_uri()} if bundle else spec["pixi"])
    _write(path / "pixi.toml", spec["manifest"])
    with _served(bundle, spec) if bundle else contextlib.nullcontext(spec["lock"]) as text:
        _write(path / "pixi.lock", text)
        progress("installing the packages of pixi.lock")
        # What is damaged is only repaired by a reinstallation: pixi trusts its own records.
        command = "reinstall" if again else "install"
        # With a bundle the lock names other URLs than the manifest's channels: it was compared where it comes from.
        run(
            [program, command, "--frozen" if bundle else "--locked", "--manifest-path", path / "pixi.toml"],
            env=_environ(spec),
            keep_open=[lock],
            why="install the packages of pixi.lock",
        )
    _write(path / "pixi.lock", spec["lock"])
    _add(spec, path, lock)


@contextlib.contextmanager
def _served(bundle: Path, spec: Spec) -> Iterator[str]:
    """Have a bundle served on the loopback, and the lock with the URLs that its packages have there.

    From there rather than from the directory: of what comes over HTTP, pixi checks the digest.
    """
    contents = json.loads((bundle / CONTENTS).read_text())
    if contents["lock"] != digest_of_lock(spec["lock"], spec["added"]):
        raise HostError(
            f"the bundle has the packages of another lock (profile {contents['profile']}). Make a new one: jupyfleet "
            "bundle --inventory INVENTORY"
        )
    handler = functools.partial(_Silent, directory=str(bundle))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        places = {known: url + quote(place) for known, place in contents["packages"].items()}
        try:
            yield re.sub(
                r"(- (?:conda|pypi): )(\S+)", lambda found: found[1] + places.get(found[2], found[2]), spec["lock"]
            )
        finally:
            server.shutdown()


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def digest_of_lock(lock: str, added: str) -> str:
    """What tells one lock from another."""
    return hashlib.sha256(f"{lock}\0{added}".encode()).hexdigest()


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
            if spec["bundle"]:
                index = ["--no-index", "--find-links", spec["bundle"]]
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
    # What a bundle has is on this host.
    proxies = () if spec.get("bundle") else _PROXIES
    kept = ("HOME", "LANG", "PATH", "TMPDIR", "USER", "SSL_CERT_FILE", "SSL_CERT_DIR", *proxies)
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
    machine = architecture.here()
    if machine not in pixi["digests"]:
        raise HostError(
            f"pixi {pixi['version']} is pinned for {', '.join(pixi['digests'])}, and this host is {machine}. "
            "Set jupyter_pixi_digests and jupyter_pixi_url, or use jupyter_provider 'uv'."
        )
    _, of_executable = pixi["digests"][machine]
    program = Path(pixi["home"]) / "bin/pixi"
    if program.is_file() and hashlib.sha256(program.read_bytes()).hexdigest() == of_executable:
        return program
    progress(f"installing pixi {pixi['version']}")
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".pixi-", dir=program.parent) as scratch:
        executable = Path(scratch) / "pixi"
        with tarfile.open(fileobj=io.BytesIO(archive_of(pixi, machine))) as members:
            found = [member for member in members if member.isfile() and Path(member.name).name == "pixi"]
            content = members.extractfile(found[0]) if len(found) == 1 else None
            if content is None:
                raise HostError(f"{_source_of(pixi, machine)} holds no program pixi")
            name = f"the pixi in {_source_of(pixi, machine)}"
            executable.write_bytes(_verified(content.read(), of_executable, name))
        executable.chmod(0o755)
        run([executable, "--version"], why="run pixi")
        executable.rename(program)
    return program


def archive_of(pixi: dict[str, Any], machine: str) -> bytes:
    """The pinned archive for an architecture; `pixi` is as for `_program`."""
    source = _source_of(pixi, machine)
    if machine in pixi.get("content", {}):
        return _verified(base64.b64decode(pixi["content"][machine]), pixi["digests"][machine][0], source)
    try:
        with urllib.request.urlopen(source, timeout=_DOWNLOAD_SECONDS) as stream:
            return _verified(stream.read(), pixi["digests"][machine][0], source)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise HostError(
            f"could not fetch pixi from {source}: {reason}. Where this host has no way there, set jupyter_pixi_url to "
            "a mirror, to a file: on the host, or to a path on the machine that deploys."
        ) from error


def _source_of(pixi: dict[str, Any], machine: str) -> str:
    if machine in pixi.get("content", {}):
        return "the archive of pixi that came along"
    return str(pixi["url"]).format(version=pixi["version"], arch=machine)


def _verified(content: bytes, sha256: str, name: str) -> bytes:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise HostError(f"{name} is not what it should be: its sha256 is {found}, and {sha256} was expected")
    return content
