"""Releases of the provider uv: PyPI's packages from locks with hashes, and which uv installs them."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.environment import sitelock
from deploy.environment.bundle import Bundle, bundle_of
from deploy.environment.extension import JUPYTER_MCP, Extension
from deploy.environment.profiles import PROFILES, SPACY_TRIAL
from deploy.environment.wheel import Wheel
from deploy.paths import REQUIREMENTS
from deploy.settings import Settings


@dataclass(frozen=True)
class UvRelease:
    """What an environment is made from; `build_spec` is what `jupyfleet_host.environment_uv.install` takes of it."""

    python: str
    uv: str | None
    locks: tuple[str, ...]
    extra: tuple[str, ...] = ()
    wheels: tuple[Wheel, ...] = ()
    extension: Extension | None = None
    trials: tuple[tuple[str, ...], ...] = ()
    index: str | None = None
    python_mirror: str | None = None
    megabytes: int = 0
    bundle: Bundle | None = None

    @functools.cached_property
    def identifier(self) -> str:
        """16 hexadecimal digits of what decides the content. Which uv installs it, and from where, does not."""
        parts = [
            self.python,
            self.locks,
            sorted(self.extra),
            [[wheel.name, wheel.sha256] for wheel in self.wheels],
            self.extension.digest if self.extension else None,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    @property
    def count(self) -> int:
        """How many packages the locks name, those for other platforms among them."""
        return sum(lock.count("==") for lock in self.locks) + len(self.extra) + len(self.wheels) + bool(self.extension)

    @property
    def is_solved(self) -> bool:
        """Whether its lock is there; a committed one always is."""
        return True

    def build_spec(self) -> dict[str, Any]:
        wheels = [wheel.build_spec() for wheel in self.wheels]
        if self.extension:
            wheels.append(Wheel(*self.extension.build()).build_spec())
        return {
            "provider": "uv",
            "python": self.python,
            "python_mirror": self.python_mirror,
            "uv": self.uv,
            "uv_lock": committed_lock("uv"),
            "index": self.index,
            "locks": list(self.locks),
            "extra": list(self.extra),
            "wheels": wheels,
            "trials": [list(trial) for trial in self.trials],
            "megabytes": self.megabytes,
        }


def uv_release_of(settings: Settings) -> UvRelease:
    """The release that serves a host: from the site's lock where there is one, else from the committed one."""
    profile = PROFILES[settings.profile]
    trials: tuple[tuple[str, ...], ...] = profile.trials
    wheels: tuple[Wheel, ...] = ()
    if settings.spacy_model_wheel:
        wheels = (_spacy_model(settings.spacy_model_wheel),)
        trials += (SPACY_TRIAL,)
    of_site = sitelock.read(settings, requirements_of(settings))
    return UvRelease(
        python=settings.python,
        uv=settings.uv,
        locks=of_site or (committed_lock(settings.profile),),
        extra=() if of_site else tuple(settings.extra_packages),
        wheels=wheels,
        extension=JUPYTER_MCP,
        trials=trials,
        index=settings.pypi_index,
        python_mirror=settings.python_mirror,
        megabytes=profile.megabytes,
        bundle=bundle_of(settings),
    )


def requirements_of(settings: Settings) -> str:
    """What is asked for on the way to a lock of the site's own: requirements.in."""
    lines = [f"# Made by jupyfleet from the profile {settings.profile}.", *PROFILES[settings.profile].requirements]
    return "\n".join([*lines, *sorted(settings.extra_packages)]) + "\n"


def supervisor_of(settings: Settings) -> UvRelease:
    """supervisord's environment in user scope: apart, so that a switch of releases never ends it."""
    return UvRelease(
        python=settings.python,
        uv=settings.uv,
        locks=(committed_lock("supervisor"),),
        trials=(("supervisord", "--version"),),
        index=settings.pypi_index,
        python_mirror=settings.python_mirror,
        megabytes=50,
        bundle=bundle_of(settings),
    )


def committed_lock(name: str) -> str:
    """The text of a lock that comes with jupyfleet."""
    return (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")


def _spacy_model(source: str) -> Wheel:
    location, _, digest = source.partition("#sha256=")
    return Wheel(location, digest or hashlib.sha256(Path(location).read_bytes()).hexdigest())
