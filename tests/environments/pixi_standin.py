"""A stand-in for pixi, for tests on machines that cannot have the real one: pixi's library (py-rattler) and uv.

It takes the part of pixi's command line that jupyfleet uses, reads the same pixi.toml, writes and reads real lock
files (version 7), and lays environments out as pixi does. What it does not know it refuses. It proves jupyfleet's
side: digests, isolation, what is installed when, what becomes of errors and kills. Of pixi itself it proves nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any, NoReturn

import rattler
from packaging.utils import canonicalize_name
from rattler.lock import CondaLockedBinaryPackage, PypiLockedPackage

VERSION = "0.75.0"
SUBDIR = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}[platform.machine()]
UV_PLATFORMS = {"linux-64": "x86_64-manylinux_2_28", "linux-aarch64": "aarch64-manylinux_2_28"}
UV = str(Path(sys.executable).parent / "uv")


def give_up(reason: str) -> NoReturn:
    print(f"Error:   × {reason}", file=sys.stderr)
    sys.exit(1)


class Workspace:
    """pixi.toml, and the lock and environment beside it."""

    def __init__(self, manifest: Path) -> None:
        if not os.environ.get("PIXI_NO_CONFIG"):
            give_up("the stand-in is only for isolated runs: PIXI_NO_CONFIG is not set")
        self.cache = Path(os.environ["PIXI_CACHE_DIR"])
        self.root = manifest.parent.resolve()
        self.lock = self.root / "pixi.lock"
        self.prefix = self.root / ".pixi/envs/default"
        try:
            document = tomllib.loads(manifest.read_text())
        except tomllib.TOMLDecodeError as error:
            give_up(f"failed to parse {manifest}: {error}")
        table = document["workspace"]
        self.platforms: list[str] = table["platforms"]
        self.channels = [
            channel if "://" in channel else f"https://conda.anaconda.org/{channel}" for channel in table["channels"]
        ]
        self.conda = {f"{name} {version}".strip() for name, version in document["dependencies"].items()}
        self.pypi = {_requirement(name, spec) for name, spec in document.get("pypi-dependencies", {}).items()}
        self.index = document.get("pypi-options", {}).get("index-url")


def _requirement(name: str, spec: str | dict[str, Any]) -> str:
    if isinstance(spec, str):
        return name + spec.replace("*", "")
    return f"{name}[{','.join(spec['extras'])}]{spec.get('version', '').replace('*', '')}"


def _virtual(subdir: str) -> list[rattler.GenericVirtualPackage]:
    found = [("__unix", "0"), ("__linux", "4.18"), ("__glibc", "2.28")]
    return [
        rattler.GenericVirtualPackage(rattler.PackageName(name), rattler.Version(version), rattler.BuildString("0"))
        for name, version in found
    ]


def _lock_platform(subdir: str) -> rattler.LockPlatform:
    return rattler.LockPlatform(subdir, virtual_packages=["__unix=0=0", "__linux=4.18", "__glibc=2.28"])


def locked(workspace: Workspace, subdir: str) -> list[Any] | None:
    """The packages that the lock has for a platform, or none when there is no lock or it knows no such platform."""
    if not workspace.lock.is_file():
        return None
    try:
        environment = rattler.LockFile.from_path(workspace.lock).environment("default")
    except Exception as error:
        give_up(f"Failed to load lock file from `{workspace.lock}`\n  {error}")
    found = [known for known in environment.platforms() if known.name == subdir] if environment else []
    return environment.packages(found[0]) if environment and found else None


def is_stale(workspace: Workspace) -> bool:
    """Whether the manifest asks for something that the lock does not have."""
    for subdir in workspace.platforms:
        packages = locked(workspace, subdir)
        if packages is None:
            return True
        conda = [package for package in packages if isinstance(package, CondaLockedBinaryPackage)]
        pypi = [package for package in packages if isinstance(package, PypiLockedPackage)]
        names = {canonicalize_name(package.name) for package in conda}
        for spec in workspace.conda:
            if not any(package.satisfies(rattler.MatchSpec(spec)) for package in conda):
                return True
        for requirement in workspace.pypi:
            name = canonicalize_name(re.split(r"[^A-Za-z0-9._-]", requirement)[0])
            if name not in names and not any(package.satisfies(requirement) for package in pypi):
                return True
    return False


# -- solving ---------------------------------------------------------------------------------------------------------


async def solve(workspace: Workspace) -> None:
    """Write a lock for all platforms."""
    platforms = {subdir: _lock_platform(subdir) for subdir in workspace.platforms}
    lock = rattler.LockFile(list(platforms.values()))
    lock.set_channels("default", [rattler.LockChannel(channel) for channel in workspace.channels])
    gateway = rattler.Gateway(cache_dir=workspace.cache / "repodata")
    digests: dict[str, str] = {}
    for subdir in workspace.platforms:
        try:
            records = await rattler.solve(
                [rattler.Channel(channel) for channel in workspace.channels],
                sorted(workspace.conda),
                gateway=gateway,
                platforms=[subdir, "noarch"],
                virtual_packages=_virtual(subdir),
            )
        except Exception as error:
            give_up(f"failed to solve requirements of environment 'default' for platform '{subdir}'\n  {error}")
        for record in sorted(records, key=lambda record: record.name.normalized):
            lock.add_conda_package("default", platforms[subdir], record)
        for name, version, url, sha256 in solve_pypi(workspace, subdir, records):
            lock.add_pypi_package("default", platforms[subdir], name, version, url)
            digests[url] = sha256
    beside = workspace.root / "pixi.lock.new"
    lock.to_path(beside)

    def with_digest(found: re.Match[str]) -> str:
        return f"{found[0]}  sha256: {digests[found[1]]}\n"

    # py-rattler has no way yet to say a wheel's digest.
    text = re.sub(r"(?m)^- pypi: (\S+)\n(?:  .*\n)*?  version: .*\n", with_digest, beside.read_text())
    beside.write_text(text)
    beside.rename(workspace.lock)


def solve_pypi(workspace: Workspace, subdir: str, records: list[Any]) -> list[tuple[str, str, str, str]]:
    """Name, version, URL and sha256 of every wheel; what conda has is not taken from PyPI as well."""
    if not workspace.pypi:
        return []
    versions = {canonicalize_name(record.name.normalized): str(record.version) for record in records}
    with tempfile.TemporaryDirectory() as scratch:
        asked, known, found = (Path(scratch) / name for name in ("asked.in", "known.txt", "pylock.found.toml"))
        asked.write_text("\n".join(sorted(workspace.pypi)) + "\n")
        known.write_text("".join(f"{name}=={version}\n" for name, version in versions.items() if name != "python"))
        left_out = [part for name in versions for part in ("--no-emit-package", name)]
        options = ["--quiet", "--no-header", "--no-build", "--constraints", str(known), "--output-file", str(found)]
        target = ["--python-platform", UV_PLATFORMS[subdir], "--python-version", versions["python"]]
        uv(workspace, "pip", "compile", "--format", "pylock.toml", *options, *target, *left_out, str(asked))
        packages = tomllib.loads(found.read_text()).get("packages", [])
    wheels = [(package, package["wheels"][0]) for package in packages]
    return [(p["name"], p["version"], wheel["url"], wheel["hashes"]["sha256"]) for p, wheel in wheels]


def uv(workspace: Workspace, *arguments: str) -> None:
    index = ["--default-index", workspace.index] if workspace.index else []
    environ = {name: os.environ[name] for name in ("HOME", "PATH", "SSL_CERT_FILE") if name in os.environ}
    environ |= {"UV_CACHE_DIR": str(workspace.cache / "uv-cache"), "UV_PYTHON_DOWNLOADS": "never", "UV_NO_CONFIG": "1"}
    done = subprocess.run([UV, *arguments, *index], env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        give_up(f"failed to {'solve' if 'compile' in arguments else 'install'} the pypi requirements\n{done.stderr}")


# -- installing ------------------------------------------------------------------------------------------------------


async def install(workspace: Workspace, *, again: bool) -> None:
    """Bring the environment into the state that the lock describes."""
    packages = locked(workspace, SUBDIR)
    if packages is None:
        give_up(f"the workspace does not support '{SUBDIR}'")
    marker = workspace.prefix / "conda-meta/.pixi-environment-fingerprint"
    again = again or (marker.is_file() and marker.read_text() == "installing")
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_text("installing")
    conda = [package.repo_data_record() for package in packages if isinstance(package, CondaLockedBinaryPackage)]
    try:
        await rattler.install(
            conda,
            workspace.prefix,
            cache_dir=workspace.cache / "pkgs",
            installed_packages=[
                rattler.PrefixRecord.from_path(file) for file in (workspace.prefix / "conda-meta").glob("*.json")
            ],
            reinstall_packages={record.name.normalized for record in conda} if again else None,
            show_progress=False,
        )
    except Exception as error:
        give_up(f"failed to install the packages of 'default'\n  {error}")
    install_pypi(workspace, [package for package in packages if isinstance(package, PypiLockedPackage)], again=again)
    marker.write_text(json.dumps({"pixi": VERSION}))


def install_pypi(workspace: Workspace, packages: list[Any], *, again: bool) -> None:
    if not packages:
        return
    rows = ['lock-version = "1.0"\ncreated-by = "pixi-standin"\n']
    for package in packages:
        wheel = f'{{ url = "{package.location}", hashes = {{ sha256 = "{package.hashes.sha256.hex()}" }} }}'
        rows.append(f'[[packages]]\nname = "{package.name}"\nversion = "{package.version}"\nwheels = [{wheel}]\n')
    with tempfile.TemporaryDirectory() as scratch:
        lock = Path(scratch) / "pylock.toml"
        lock.write_text("\n".join(rows))
        options = ["--quiet", "--no-deps", "--break-system-packages", *(["--reinstall"] if again else [])]
        uv(workspace, "pip", "install", "--python", str(workspace.prefix / "bin/python"), *options, "-r", str(lock))


def main() -> None:
    """The part of pixi's command line that jupyfleet uses; anything else ends with 2, as pixi's own does."""
    if sys.argv[1:] == ["--version"]:
        print(f"pixi {VERSION}")
        return
    parser = argparse.ArgumentParser("pixi", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("install", "reinstall", "lock"):
        command = commands.add_parser(name, allow_abbrev=False)
        command.add_argument("--manifest-path", type=Path, required=True)
        if name != "lock":
            command.add_argument("--locked", action="store_true")
            command.add_argument("--frozen", action="store_true")
    arguments = parser.parse_args()
    workspace = Workspace(arguments.manifest_path)
    if arguments.command == "lock":
        if is_stale(workspace):
            asyncio.run(solve(workspace))
        return
    if not arguments.frozen and is_stale(workspace):
        if arguments.locked:
            give_up("lock file not up-to-date with the workspace")
        asyncio.run(solve(workspace))
    asyncio.run(install(workspace, again=arguments.command == "reinstall"))


if __name__ == "__main__":
    main()
