"""The server as a service: supervisord, its files, and JupyterLab's own configuration."""

from __future__ import annotations

import hashlib
from typing import Any

from deploy.components.base import Component
from deploy.environment.releases import release_of, supervisor_of
from deploy.operations import environment, service
from deploy.settings import Settings
from deploy.tree import Directory, File, Tree

PROGRAM = "jupyter"
#: Seconds until a server that is started must be RUNNING; a slow, loaded or emulated host needs many.
_PATIENCE = 180


class Service(Component):
    """supervisord keeps one program, ``jupyter``, which is JupyterLab from the active environment."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        release = supervisor_of(settings)
        self._release = release
        #: What a running server was started from; the files decide, so they are known once these are configured.
        self._marks: dict[str, str] = {}
        self._supervisor = self.paths.tools / f"supervisor-{release.identifier}"
        conf = self.render("supervisord.conf.j2", identifier="")
        #: Of the running supervisord: it differs when its files do, which supervisord itself would not notice.
        self._identifier = "jupyfleet-" + _digest(conf, release.identifier.encode())

    def install(self) -> None:
        environment.installed(
            name="Supervisor",
            release=self._release,
            paths=self.paths,
            directory=self._supervisor,
            link=None,
        )

    def configure(self, tree: Tree) -> None:
        server, lab = self.paths.jupyter_config, self.paths.jupyter_config / "labconfig"
        tree.add(
            File(server / "jupyter_server_config.py", self.render("jupyter_server_config.py.j2"), 0o600),
            # JSON wins over Python, and Jupyter writes into this file: a password that somebody set in the browser
            # would outlive a new token.
            File(server / "jupyter_server_config.json", self.render("jupyter_server_config.json.j2"), 0o600),
            Directory(lab, 0o700),
            File(lab / "default_setting_overrides.json", self.render("default_setting_overrides.json.j2"), 0o600),
        )
        self._marks = {
            "JUPYFLEET_RELEASE": release_of(self.settings).identifier,
            "JUPYFLEET_CONFIGURATION": _digest(self._program_file({}), tree.digest(self.paths.jupyter_config).encode()),
        }
        conf = self.render("supervisord.conf.j2", identifier=self._identifier)
        tree.add(
            Directory(self.paths.supervisor, 0o700),
            File(self.paths.supervisor / "supervisord.conf", conf, 0o600),
            Directory(self.paths.supervisor / "programs", 0o700),
            File(
                self.paths.supervisor / "programs/jupyter.ini",
                self._program_file(self._marks),
                0o600,
            ),
        )

    def _program_file(self, marks: dict[str, str]) -> bytes:
        return self.render("jupyter.ini.j2", program=PROGRAM, marks=marks)

    def activate(self) -> None:
        service.running(name="Service", spec=self._spec())

    def remove(self) -> None:
        """End everything of the site that runs."""
        service.stopped(name="Service", spec=self._spec())

    def _spec(self) -> dict[str, Any]:
        conf = self.paths.supervisor / "supervisord.conf"
        return {
            "home": self.settings.home,
            "socket": str(self.paths.supervisor_socket),
            "program": PROGRAM,
            "identifier": self._identifier,
            "start": [str(self._supervisor / "bin/supervisord"), "--configuration", str(conf)],
            "log": str(self.paths.logs / "supervisord.log"),
            "program_log": str(self.paths.logs / "jupyter.log"),
            "marks": self._marks,
            "token_file": str(self.paths.token) if self.settings.auth == "token" else None,
            "wait": _PATIENCE,
        }


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
