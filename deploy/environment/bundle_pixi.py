"""Bundles for the provider pixi: the packages of a site's lock for one architecture, and the pixi that installs them.

pixi needs no channel for what its lock names by URL and digest, so packages are kept under the URLs that they have
there; on a host they are served from the bundle.
"""

from __future__ import annotations

import re
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from packaging.version import Version
from pyinfra.api.exceptions import PyinfraError

from deploy.environment import sitelock
from deploy.environment.bundle import digest_of, written
from deploy.environment.bundle_uv import collect
from deploy.environment.pixi import pixi_release_of
from deploy.environment.uv import committed_lock
from deploy.settings import Settings
from jupyfleet_host import architecture
from jupyfleet_host.common import HostError
from jupyfleet_host.environment_pixi import archive_of, digest_of_lock

_PARALLEL: Final = 8
_SECONDS: Final = 60


def make(settings: Settings, arch: str, output: Path) -> int:
    """Write a bundle of the site's lock; return how many packages it has.

    Raises:
        PyinfraError: the site has no lock, or what could not be fetched; no file is left then.
    """
    release = pixi_release_of(settings)
    if release.lock is None:
        raise PyinfraError(
            f"there is no lock for profile {settings.profile} in {settings.locks}. Make it with jupyfleet lock "
            "INVENTORY, with --here where only this machine has internet."
        )
    lock, added = release.lock
    files = {url: (_place_of(url), digest) for url, digest in files_of(lock, architecture.KNOWN[arch].conda).items()}
    contents: dict[str, Any] = {"provider": "pixi", "profile": settings.profile, "arch": arch, "python": None}
    contents |= {"lock": digest_of_lock(lock, added), "packages": {url: place for url, (place, _) in files.items()}}
    python = ".".join(min(sitelock.packages((lock,))["python"].split(", "), key=Version).split(".")[:2])
    with written(output, contents) as directory:
        try:
            (directory / "pixi.tar.gz").write_bytes(archive_of(release.build_spec()["pixi"], arch))
        except HostError as error:
            raise PyinfraError(str(error)) from error
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for done in [pool.submit(_fetch, url, directory / place, sha) for url, (place, sha) in files.items()]:
                done.result()
        wheels = {"added": added, "supervisor": committed_lock("supervisor"), "uv": committed_lock("uv")}
        collect(wheels, directory, arch, python, index=settings.pypi_index)
        return len(files) + len(sitelock.packages((added,)))


def files_of(lock: str, platform: str) -> dict[str, str]:
    """URL and sha256 of everything that a lock names for one platform.

    Raises:
        PyinfraError: it does not know the platform, or names something without a digest.
    """
    environments, _, described = lock.partition("\npackages:\n")
    found = re.search(rf"^ +{platform}:\n((?: +- .*\n?)*)", environments, re.MULTILINE)
    urls = re.findall(r"- (?:conda|pypi): (\S+)", found[1]) if found else []
    digests = {}
    for entry in re.split(r"(?m)^- ", described)[1:]:
        kind_and_url, _, fields = entry.partition("\n")
        digest = re.search(r"^  sha256: '?([0-9a-f]{64})", fields, re.MULTILINE)
        digests[kind_and_url.split(" ")[1]] = digest[1] if digest else ""
    if not urls:
        raise PyinfraError(f"the lock names nothing for {platform}.")
    if without := [url for url in urls if not digests.get(url)]:
        raise PyinfraError(f"the lock names no digest of {without[0]}.")
    return {url: digests[url] for url in urls}


def _place_of(url: str) -> str:
    """Where a package is in the bundle: conda's in the directory of its platform, wheels at the top."""
    parts = [unquote(part) for part in urlsplit(url).path.split("/")]
    return parts[-1] if parts[-1].endswith(".whl") else "/".join(parts[-2:])


def _fetch(url: str, file: Path, sha256: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310 - the lock names it, with its digest.
            file.write_bytes(answer.read())
    except OSError as error:
        raise PyinfraError(f"could not fetch {url}: {getattr(error, 'reason', None) or error}") from error
    if (found := digest_of(file)) != sha256:
        raise PyinfraError(f"{url} is not what the lock says: its sha256 is {found}, and {sha256} was expected")
