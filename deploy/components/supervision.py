"""Who keeps the server running: a supervisord of the site's own, or the one of the distribution.

Both have the program from a file of the same template; they differ in where it lies, and in how supervisord itself
comes to run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from deploy.environment.releases import supervisor_of
from deploy.operations import environment
from deploy.paths import PROGRAM
from deploy.settings import Settings
from deploy.tree import Directory, File, Tree
from jupyfleet_host.distribution import Distribution

Render = Callable[..., bytes]


def digest(*parts: bytes) -> str:
    """A short name for content: it changes when one of the parts does."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


class OwnSupervisor:
    """User scope: supervisord from PyPI in an environment of its own, so that no switch of releases ends it."""

    def __init__(self, settings: Settings, render: Render) -> None:
        self._settings = settings
        self._paths = settings.paths
        self._render = render
        self._release = supervisor_of(settings)
        self._environment = self._paths.tools / f"supervisor-{self._release.identifier}"
        conf = render("supervisord.conf.j2", identifier="")
        #: Of the running supervisord: it differs when its files do, which supervisord itself would not notice.
        self._identifier = "jupyfleet-" + digest(conf, self._release.identifier.encode())

    def install(self) -> None:
        environment.installed(
            name="Supervisor",
            release=self._release,
            paths=self._paths,
            directory=self._environment,
            link=None,
        )

    def configure(self, tree: Tree, program: bytes) -> None:
        """Add supervisord's files, with the program's among them."""
        conf = self._render("supervisord.conf.j2", identifier=self._identifier)
        tree.add(
            Directory(self._paths.supervisor, 0o700),
            File(self._conf, conf, 0o600),
            Directory(self._paths.supervisor / "programs", 0o700),
            File(self._program, program, 0o600),
        )

    def spec(self) -> dict[str, Any]:
        """What `jupyfleet_host.service` must know of supervisord."""
        return {
            "socket": str(self._paths.supervisor_socket),
            "identifier": self._identifier,
            "start": [str(self._environment / "bin/supervisord"), "--configuration", str(self._conf)],
            "unit": None,
            "log": str(self._paths.logs / "supervisord.log"),
            "program_file": str(self._program),
        }

    @property
    def _program(self) -> PurePosixPath:
        return self._paths.supervisor / "programs" / f"{PROGRAM}.ini"

    @property
    def _conf(self) -> PurePosixPath:
        return self._paths.supervisor / "supervisord.conf"


class SystemSupervisor:
    """System scope: the distribution's supervisord, a service of systemd; other programs of it are left alone."""

    def __init__(self, distribution: Distribution) -> None:
        self._distribution = distribution

    def install(self) -> None:
        """Its package comes with the host's."""

    def configure(self, tree: Tree, program: bytes) -> None:
        """Add the program's file; it holds no secret, and supervisord reads it as root."""
        tree.add(File(self._program, program, 0o644, system=True))

    def spec(self) -> dict[str, Any]:
        """What `jupyfleet_host.service` must know of supervisord."""
        return {
            "socket": self._distribution.socket,
            "identifier": None,
            "start": ["systemctl", "enable", "--now", self._distribution.unit],
            "unit": self._distribution.unit,
            "log": "/var/log/supervisor/supervisord.log",
            "program_file": str(self._program),
        }

    @property
    def _program(self) -> PurePosixPath:
        return PurePosixPath(self._distribution.programs) / f"{PROGRAM}{self._distribution.suffix}"
