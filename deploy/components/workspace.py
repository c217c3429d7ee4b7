"""The directory of the notebooks, and a first notebook to start from."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from deploy.components.base import Component
from deploy.operations import share
from deploy.paths import FILES
from deploy.tree import Directory, File, Tree
from jupyfleet_host.distribution import SUPERVISOR_UNITS

_STARTER = FILES / "notebooks/welcome.ipynb"
#: A share carries no labels; with this one all that users' programs may do at home they may do there.
_SELINUX_CONTEXT = 'context="system_u:object_r:user_home_t:s0"'


class Workspace(Component):
    """The workspace is the users': its mode and its files are theirs once it is there.

    A share is mounted first of all: what is laid down later must not end up in the directory underneath.
    """

    def install(self) -> None:
        if self.settings.workspace_mount == "virtiofs":
            share.mounted(name="Workspace", spec=self._spec())

    def configure(self, tree: Tree) -> None:
        workspace = PurePosixPath(self.settings.workspace)
        tree.add(
            Directory(workspace, keep=True),
            File(workspace / _STARTER.name, _STARTER.read_bytes(), seed=True),
        )

    def remove(self) -> None:
        if self.settings.workspace_mount == "virtiofs":
            share.unmounted(name="Workspace", spec=self._spec())

    def mount_unit(self) -> str:
        """The unit by which systemd mounts the share at every boot."""
        options = ["nofail", *([_SELINUX_CONTEXT] if self.machine.has_selinux else [])]
        return self.render("workspace.mount.j2", supervisors=sorted(SUPERVISOR_UNITS), options=options).decode()

    def _spec(self) -> dict[str, Any]:
        return {
            "where": self.settings.workspace,
            "tag": self.settings.workspace_tag,
            "user": self.settings.user,
            "unit": self.mount_unit(),
        }
