"""A release: everything that decides what an environment holds, named by a digest of exactly that.

The same settings and the same jupyfleet give the same name on every host; any difference gives another name, so an
environment is never changed in place.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.environment.extension import Extension
from deploy.environment.profiles import PROFILES
from deploy.paths import FILES, REQUIREMENTS
from deploy.settings import Settings


@dataclass(frozen=True)
class Wheel:
    """A wheel that is installed on its own: from a URL with a digest, or from a file of this machine."""

    location: str
    sha256: str

    @property
    def name(self) -> str:
        return self.location.rsplit("/", 1)[-1]

    def build_spec(self) -> dict[str, Any]:
        spec = {"name": self.name, "sha256": self.sha256}
        if self.location.startswith(("http://", "https://")):
            return spec | {"url": self.location}
        return spec | {"content": base64.b64encode(Path(self.location).read_bytes()).decode()}


@dataclass(frozen=True)
class Release:
    """What an environment is made from; `build_spec` is what `jupyfleet_host.environment.build` takes of it."""

    python: str
    uv: str | None
    locks: tuple[str, ...]
    extra: tuple[str, ...] = ()
    wheels: tuple[Wheel, ...] = ()
    extension: Extension | None = None
    trials: tuple[tuple[str, ...], ...] = ()

    @functools.cached_property
    def identifier(self) -> str:
        """16 hexadecimal digits of what decides the content. Which uv installs it does not."""
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

    def build_spec(self) -> dict[str, Any]:
        wheels = [wheel.build_spec() for wheel in self.wheels]
        if self.extension:
            wheels.append(Wheel(*self.extension.build()).build_spec())
        return {
            "provider": "uv",
            "python": self.python,
            "uv": self.uv,
            "uv_lock": _lock("uv"),
            "locks": list(self.locks),
            "extra": list(self.extra),
            "wheels": wheels,
            "trials": [list(trial) for trial in self.trials],
        }


def release_of(settings: Settings) -> Release:
    """The release that serves a host."""
    trials = PROFILES[settings.profile].trials
    wheels: tuple[Wheel, ...] = ()
    if settings.spacy_model:
        wheels = (_spacy_model(settings.spacy_model),)
        trials += (("python", "-c", "import spacy; spacy.load('en_core_web_sm')"),)
    return Release(
        python=settings.python,
        uv=settings.uv,
        locks=(_lock(settings.profile),),
        extra=tuple(settings.extra_packages),
        wheels=wheels,
        extension=Extension(FILES / "jupyter_mcp"),
        trials=trials,
    )


def supervisor_of(settings: Settings) -> Release:
    """supervisord's environment in user scope: apart, so that a switch of releases never ends it."""
    return Release(
        python=settings.python,
        uv=settings.uv,
        locks=(_lock("supervisor"),),
        trials=(("supervisord", "--version"),),
    )


def _spacy_model(source: str) -> Wheel:
    location, _, digest = source.partition("#sha256=")
    return Wheel(location, digest or hashlib.sha256(Path(location).read_bytes()).hexdigest())


def _lock(name: str) -> str:
    return (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")
