"""The server as a service: JupyterLab's own configuration, and a program of supervisord."""

from __future__ import annotations

from typing import Any

from deploy import clients
from deploy.checks import probe_spec
from deploy.clients import Client
from deploy.components.base import Component
from deploy.components.supervision import OwnSupervisor, SystemSupervisor, digest
from deploy.environment.releases import release_of
from deploy.facts.machine import Machine
from deploy.operations import service
from deploy.paths import PROGRAM
from deploy.settings import Settings
from deploy.tree import Directory, File, Tree


class Service(Component):
    """supervisord keeps one program, ``jupyter``, which is JupyterLab from the active environment."""

    def __init__(self, settings: Settings, machine: Machine) -> None:
        super().__init__(settings, machine)
        #: What a running server was started from; the files decide, so they are known once these are configured.
        self._marks: dict[str, str] = {}
        self._supervisor = (
            SystemSupervisor(machine.distribution)
            if machine.distribution is not None
            else OwnSupervisor(settings, self.render)
        )

    def install(self) -> None:
        self._supervisor.install()

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
            "JUPYFLEET_CONFIGURATION": digest(self._program_file({}), tree.digest(self.paths.jupyter_config).encode()),
        }
        self._supervisor.configure(tree, self._program_file(self._marks))

    def _program_file(self, marks: dict[str, str]) -> bytes:
        server = clients.Server("jupyfleet", f"{clients.url_of(self.settings)}mcp", None)
        published = clients.configuration(Client.OV_MCP_SERVERS, [server]) if self.settings.mcp_publish else None
        return self.render("jupyter.ini.j2", program=PROGRAM, marks=marks, ov_mcp_servers=published)

    def activate(self) -> None:
        service.running(name="Service", spec=self._spec(), proof=self.proof(), as_user=self.settings.as_root)

    def remove(self) -> None:
        """End everything of the site that runs."""
        service.stopped(name="Service", spec=self._spec(), as_user=self.settings.as_root)

    def proof(self) -> dict[str, Any]:
        """What `jupyfleet_host.rollback` needs to prove a release, and to put the one before it back."""
        return {
            "lock_file": str(self.paths.lock),
            "link": str(self.paths.environment),
            "keep": self.settings.keep_releases,
            "owner": self.settings.user,
            "service": self._spec(),
            "probe": probe_spec(self.settings),
        }

    def _spec(self) -> dict[str, Any]:
        return {
            "home": self.settings.home,
            "program": PROGRAM,
            "program_log": str(self.paths.logs / "jupyter.log"),
            "marks": self._marks,
            "link": str(self.paths.environment),
            "owner": self.settings.user,
            "token_file": str(self.paths.token) if self.settings.auth == "token" else None,
            "certificate": str(self.settings.tls_files.certificate) if self.settings.tls_files else None,
            "wait": self.settings.start_timeout,
        } | self._supervisor.spec()
