"""A conda channel of the tests' own: the running Python, and whatever packages of PyPI are asked for, as .conda files.

It is served over HTTP, as a real one is: from a file:// channel a package with a wrong digest would be installed.
"""

from __future__ import annotations

import asyncio
import fnmatch
import functools
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path
from typing import Any

from backports import zstd
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SUBDIRS = ("noarch", "linux-64", "linux-aarch64")
PYTHON = "{}.{}".format(*sys.version_info[:2])
#: What conda replaces by the prefix of an installation; as long as a prefix may be.
PLACEHOLDER = ("/opt/" + "placeholder_" * 22)[:255]
_TIME = 1_700_000_000
#: Of the running Python, what no environment needs.
_LEFT_OUT = ("test", "tests", "idlelib", "turtledemo", "site-packages", "__pycache__", "lib2to3", "ensurepip", "*.a")


@dataclass
class Package:
    """One package of a channel; `files` are texts or bytes by path in the environment, executable below ``bin``."""

    name: str
    version: str
    files: Mapping[str, bytes | str] = field(default_factory=dict)
    depends: Sequence[str] = ()
    subdir: str = "noarch"
    entry_points: Sequence[str] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    programs: Sequence[str] = ()

    @property
    def stem(self) -> str:
        return f"{self.name}-{self.version}-0"

    def write(self, channel: Path) -> Path:
        """Pack it into its place in a channel, replacing what is there."""
        contents = {path: text.encode() if isinstance(text, str) else text for path, text in self.files.items()}
        is_python = self.subdir == "noarch" and any(path.startswith("site-packages/") for path in contents)
        index: dict[str, Any] = {
            "name": self.name,
            "version": self.version,
            "build": "0",
            "build_number": 0,
            "subdir": self.subdir,
            "depends": list(self.depends),
            "timestamp": _TIME * 1000,
        }
        if self.subdir == "noarch":
            index["noarch"] = "python" if is_python else "generic"
        if self.name == "python":
            index["python_site_packages_path"] = f"lib/python{PYTHON}/site-packages"
        paths = [self._described(path, content) for path, content in sorted(contents.items())]
        paths += [
            {"_path": path, "path_type": "softlink", "sha256": hashlib.sha256(b"").hexdigest(), "size_in_bytes": 0}
            for path in self.links
        ]
        info = {
            "info/index.json": json.dumps(index).encode(),
            "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}).encode(),
            "info/about.json": json.dumps({"summary": "made by a test"}).encode(),
        }
        if is_python:
            link = {"noarch": {"type": "python", "entry_points": list(self.entry_points)}}
            info["info/link.json"] = json.dumps(link | {"package_metadata_version": 1}).encode()
        file = channel / self.subdir / f"{self.stem}.conda"
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_suffix(".new")
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo("metadata.json"), '{"conda_pkg_format_version": 2}')
            archive.writestr(zipfile.ZipInfo(f"pkg-{self.stem}.tar.zst"), self._packed(contents, self.links))
            archive.writestr(zipfile.ZipInfo(f"info-{self.stem}.tar.zst"), self._packed(info, {}))
        beside.rename(file)  # What a server is sending just now stays whole.
        return file

    def _described(self, path: str, content: bytes) -> dict[str, Any]:
        entry: dict[str, Any] = {"_path": path, "path_type": "hardlink", "size_in_bytes": len(content)}
        entry["sha256"] = hashlib.sha256(content).hexdigest()
        if PLACEHOLDER.encode() in content:
            entry |= {"prefix_placeholder": PLACEHOLDER, "file_mode": "binary" if b"\0" in content else "text"}
        return entry

    def _packed(self, contents: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
        packed = io.BytesIO()
        with (
            zstd.ZstdFile(packed, "wb", level=1) as stream,
            tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as archive,
        ):
            for path, content in sorted(contents.items()):
                member = tarfile.TarInfo(path)
                member.size, member.mtime = len(content), _TIME
                member.mode = 0o755 if path.startswith("bin/") or path in self.programs else 0o644
                archive.addfile(member, io.BytesIO(content))
            for path, target in sorted(links.items()):
                member = tarfile.TarInfo(path)
                member.type, member.linkname, member.mtime = tarfile.SYMTYPE, target, _TIME
                archive.addfile(member)
        return packed.getvalue()


def index(channel: Path) -> None:
    """Write the list of a channel's packages (repodata.json) anew."""
    from rattler.index.index import index_fs

    for subdir in SUBDIRS:
        (channel / subdir).mkdir(parents=True, exist_ok=True)
    asyncio.run(index_fs(channel, write_zst=False, write_shards=False, force=True))


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """A directory over HTTP on the loopback; the URL."""
    handler = functools.partial(_Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


# -- Python ----------------------------------------------------------------------------------------------------------


def python_packages() -> list[Package]:
    """The running Python for this architecture, and a name for it on the other, which is only ever solved for."""
    version = "{}.{}.{}".format(*sys.version_info[:3])
    base = Path(sys.base_prefix)
    files: dict[str, bytes] = {}
    links = {"bin/python": f"python{PYTHON}", "bin/python3": f"python{PYTHON}"}
    files[f"bin/python{PYTHON}"] = (base / f"bin/python{PYTHON}").resolve().read_bytes()
    library = base / f"lib/python{PYTHON}"
    for directory, names, found in os.walk(library):
        names[:] = [name for name in names if not any(fnmatch.fnmatch(name, left) for left in _LEFT_OUT)]
        for name in found:
            if not name.endswith((".a", ".pyc")):
                path = Path(directory, name)
                files[str(path.relative_to(base))] = path.read_bytes()
    files[f"lib/python{PYTHON}/site-packages/README.txt"] = b"packages\n"
    for name in _shared_libraries(base):
        files[f"lib/{Path(name).name}"] = Path(name).resolve().read_bytes()
    moved = {path: _relocated(path, content, str(base)) for path, content in files.items()}
    programs = [path for path in moved if ".so" in path]
    machine = "linux-64" if os.uname().machine == "x86_64" else "linux-aarch64"
    [other] = [subdir for subdir in SUBDIRS[1:] if subdir != machine]
    return [
        Package("python", version, moved, subdir=machine, links=links, programs=programs),
        Package("python", version, {"bin/python": "never run\n"}, subdir=other),
    ]


def _shared_libraries(base: Path) -> list[str]:
    """libpython, and what Python's own modules need beyond the C library."""
    modules = [str(path) for path in (base / f"lib/python{PYTHON}/lib-dynload").glob("*.so")]
    said = subprocess.run(
        ["ldd", *modules, str(base / f"bin/python{PYTHON}")], capture_output=True, text=True, check=False
    ).stdout
    found = set(re.findall(r"=> (/\S+)", said))
    of_system = re.compile(r"/(libc|libm|libdl|libpthread|librt|libutil|ld-linux[^/]*)\.so")
    return sorted(path for path in found if not of_system.search(path))


def _relocated(path: str, content: bytes, base: str) -> bytes:
    """Without the place that this Python was built for: a search path becomes relative, a text a placeholder."""
    if base.encode() not in content:
        return content
    if b"\0" not in content:
        return content.replace(base.encode(), PLACEHOLDER.encode())
    up = "/".join([".."] * (len(Path(path).parts) - 1))
    origin = f"$ORIGIN/{up}/lib".encode()
    old = f"{base}/lib".encode()
    if len(origin) <= len(old):
        content = content.replace(old + b"\0", origin.ljust(len(old), b"\0") + b"\0")
    # Whatever else names it must not lead back there; the length stays, since linkers let texts share their ends.
    first = Path(base).parts[1]
    return content.replace(base.encode(), f"/{'_' * len(first)}{base[1 + len(first) :]}".encode())


# -- packages of PyPI ------------------------------------------------------------------------------------------------


def packages_of(environment: Path, wanted: Sequence[str], names: Mapping[str, str]) -> list[Package]:
    """What is installed in a virtual environment as packages of a channel: the wanted ones and all that they need.

    `names` are those that conda has for packages of PyPI, where they differ.
    """
    site = environment / f"lib/python{PYTHON}/site-packages"
    installed = {
        canonicalize_name(path.name.split("-")[0]): PathDistribution(path) for path in site.glob("*.dist-info")
    }
    todo, made = [canonicalize_name(name) for name in wanted], {}
    while todo:
        name = todo.pop()
        if name in made or name not in installed:
            continue
        needed = [canonicalize_name(need) for need in _needs(installed[name])]
        todo += needed
        made[name] = Package(
            names.get(name, name),
            installed[name].version,
            _files_of(installed[name], site, environment),
            ["python", *(names.get(need, need) for need in needed if need in installed)],
            entry_points=[
                f"{e.name} = {e.value}" for e in installed[name].entry_points if e.group == "console_scripts"
            ],
        )
    return list(made.values())


def _needs(distribution: Distribution) -> list[str]:
    found = [Requirement(text) for text in distribution.requires or []]
    return [need.name for need in found if not need.marker or need.marker.evaluate({"extra": ""})]


def _files_of(distribution: Distribution, site: Path, environment: Path) -> dict[str, bytes]:
    files = {}
    for entry in distribution.files or []:
        path = Path(os.path.normpath(site / entry))
        if not path.is_file() or path.suffix == ".pyc" or path.parent == environment / "bin":
            continue
        if path.is_relative_to(site):
            files[f"site-packages/{path.relative_to(site)}"] = path.read_bytes()
        else:
            files[str(path.relative_to(environment))] = path.read_bytes()
    return files


def tampered(file: Path) -> None:
    """Change a package so that it is still one, but not the one that its digest names."""
    with zipfile.ZipFile(file) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    beside = file.with_suffix(".new")
    with zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name, (1999, 1, 1, 0, 0, 0)), content)
    shutil.move(beside, file)
