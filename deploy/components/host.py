"""The host itself: what it must bring along, and what it gets."""

from __future__ import annotations

from pathlib import PurePosixPath

from deploy.components.base import Component
from deploy.operations import machine as machine_operations
from deploy.operations import preflight
from deploy.tree import Directory, File, Tree

#: What the server needs of a distribution, by its families; jupyterlab-git calls git.
_PACKAGES = {"fedora": ("git", "supervisor"), "debian": ("git", "supervisor", "python3-venv")}
_LOGIN_SHELLS = PurePosixPath("/etc/profile.d/jupyfleet.sh")


class Host(Component):
    """Python, directories and a free port are looked at before anything changes; in system scope packages and a
    user of the server's own are made."""

    def install(self) -> None:
        preflight.passed(name="Preflight", machine=self.machine, settings=self.settings)
        if self.machine.distribution is not None:
            packages = _PACKAGES[self.machine.distribution.family]
            machine_operations.prepared(name="Packages and user", packages=packages, settings=self.settings)

    def configure(self, tree: Tree) -> None:
        is_system = self.settings.scope == "system"
        tree.add(
            Directory(self.paths.config, mode=0o700),
            Directory(self.paths.jupyter_config, mode=0o700),
            Directory(self.paths.data, mode=0o700),
            Directory(self.paths.runtime, mode=0o700),
            Directory(self.paths.logs, mode=0o700, system=is_system),
        )
        if is_system:
            shells = self.render("jupyfleet.sh.j2", pixi=self.paths.home / ".pixi")
            tree.add(File(_LOGIN_SHELLS, shells, mode=0o644, system=True))
