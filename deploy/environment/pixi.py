"""Releases of the provider pixi: conda-forge's packages and PyPI's from one lock, and the pixi that installs them."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement

from deploy.environment import sitelock
from deploy.environment.bundle import Bundle, bundle_of
from deploy.environment.extension import JUPYTER_MCP, Extension
from deploy.environment.profiles import CONDA_BASE, PROFILES, SPACY_MODEL, SPACY_TRIAL
from deploy.environment.wheel import Wheel
from deploy.rendering import render
from deploy.settings import Settings
from jupyfleet_host import architecture

#: Of each pinned pixi, by the machine's architecture: the sha256 of the archive and of the executable in it. Two
#: independent public sources agree on them; pixi's own installer checks none.
PINNED: Final = {
    "0.75.0": {
        "x86_64": [
            "bcd825d62905c29b3c754b71f9cdc9d6f119454398f58330f111a7b6a0de0a3f",
            "4383aed18b2d5569cf34a19638daf954aa4415cc87ad3a9da9f34059cc4a004c",
        ],
        "aarch64": [
            "6476588859faa7232def49ff590f199390bd93fae3826617596befc52382724f",
            "ea8f527789260a91b5b9afe96e226b3769512c7a5ed81a095f3d6e7cbdd95d2c",
        ],
    }
}
_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class PixiRelease:
    """What an environment is made from; `build_spec` is what `jupyfleet_host.environment_pixi.install` takes of it."""

    tool: dict[str, Any]
    manifest: str
    lock: sitelock.Lock | None
    extension: Extension
    trials: tuple[tuple[str, ...], ...]
    cache: str
    megabytes: int
    index: str | None = None
    wheels: tuple[Wheel, ...] = ()
    bundle: Bundle | None = None

    @functools.cached_property
    def identifier(self) -> str:
        """16 hexadecimal digits of manifest, lock, extension and pixi's version, not where that is from."""
        wheels = [[wheel.name, wheel.sha256] for wheel in self.wheels]
        parts = ["pixi", self.tool["version"], self.manifest, self.lock, wheels, self.extension.digest]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    @property
    def count(self) -> int:
        """How many packages the lock names, for all platforms together."""
        return len(sitelock.packages(self.lock)) + len(self.wheels) + 1

    @property
    def is_solved(self) -> bool:
        """Whether its lock is there."""
        return self.lock is not None

    def build_spec(self) -> dict[str, Any]:
        lock, added = self.lock or ("", "")
        return {
            "provider": "pixi",
            "pixi": self.tool if self.bundle else with_content(self.tool),
            "cache": self.cache,
            "manifest": self.manifest,
            "lock": lock,
            "added": added,
            "index": self.index,
            "wheels": [*(wheel.build_spec() for wheel in self.wheels), Wheel(*self.extension.build()).build_spec()],
            "trials": [list(trial) for trial in self.trials],
            "megabytes": self.megabytes,
        }


def pixi_release_of(settings: Settings) -> PixiRelease:
    """The release that serves a host; its lock is missing until the site has one (see `sitelock`)."""
    profile = PROFILES[settings.profile]
    manifest = manifest_of(settings)
    return PixiRelease(
        tool=tool_of(settings),
        manifest=manifest,
        lock=sitelock.read(settings, manifest),
        extension=JUPYTER_MCP,
        trials=profile.trials + ((SPACY_TRIAL,) if settings.has_spacy_model else ()),
        cache=str(settings.paths.cache),
        megabytes=2 * profile.megabytes,
        index=settings.pypi_index,
        bundle=bundle_of(settings),
    )


def manifest_of(settings: Settings) -> str:
    """pixi.toml for a profile, with what the site adds to it."""
    profile = PROFILES[settings.profile]
    conda = [*CONDA_BASE, *profile.conda, *settings.extra_conda_packages]
    if settings.has_spacy_model:
        conda += SPACY_MODEL.conda
    pypi = [Requirement(text) for text in (*profile.beside_conda, *settings.extra_packages)]
    tasks = [(f"verify-{number}", _command(trial)) for number, trial in enumerate(profile.trials, 1)]
    return render(
        "pixi.toml.j2",
        settings=settings,
        channels=[settings.conda_channel],
        platforms=[known.conda for known in architecture.KNOWN.values()],
        conda=sorted(_split(spec) for spec in conda),
        pypi=sorted((found.name, sorted(found.extras), str(found.specifier) or "*") for found in pypi),
        index=settings.pypi_index,
        added=sorted(profile.added),
        tasks=tasks,
    )


def tool_of(settings: Settings) -> dict[str, Any]:
    """Which pixi, from where, and what it must be."""
    return {
        "home": str(settings.paths.pixi),
        "version": settings.pixi_version,
        "digests": settings.pixi_digests or PINNED[settings.pixi_version],
        "url": settings.pixi_url,
    }


def with_content(tool: dict[str, Any]) -> dict[str, Any]:
    """The same, with the archives themselves where they are on the machine that deploys."""
    url = tool["url"]
    if not url.startswith("/"):
        return tool
    content = {}
    for arch in tool["digests"]:
        archive = Path(url.format(version=tool["version"], arch=arch))
        if archive.is_file():
            content[arch] = base64.b64encode(archive.read_bytes()).decode()
    return tool | {"content": content}


def _split(spec: str) -> tuple[str, str]:
    """``numpy>=2`` as pixi.toml has it: the name, and the versions or a star."""
    found = _NAME.match(spec)
    name = found.group() if found else spec
    return name, spec.removeprefix(name).strip() or "*"


def _command(trial: tuple[str, ...]) -> str:
    return " ".join(f"'{part}'" if " " in part else part for part in trial)
