"""A release: everything that decides what an environment holds, named by a digest of exactly that.

The same settings and the same jupyfleet give the same name on every host; any difference gives another name, so an
environment is never changed in place.
"""

from __future__ import annotations

from typing import Any, Protocol

from deploy.environment.bundle import Bundle
from deploy.environment.pixi import pixi_release_of
from deploy.environment.uv import supervisor_of, uv_release_of
from deploy.settings import Settings

__all__ = ["Release", "release_of", "supervisor_of"]


class Release(Protocol):
    """What every provider's release has."""

    @property
    def identifier(self) -> str:
        """Its name: 16 hexadecimal digits."""

    @property
    def count(self) -> int:
        """How many packages it names."""

    @property
    def bundle(self) -> Bundle | None:
        """Where its packages come from instead of the internet."""

    @property
    def is_solved(self) -> bool:
        """Whether its lock is there."""

    def build_spec(self) -> dict[str, Any]:
        """What `jupyfleet_host.environment.build` takes of it."""


def release_of(settings: Settings) -> Release:
    """The release that serves a host."""
    return pixi_release_of(settings) if settings.provider == "pixi" else uv_release_of(settings)
