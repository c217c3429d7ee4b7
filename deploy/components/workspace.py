"""The directory of the notebooks, and a first notebook to start from."""

from __future__ import annotations

from pathlib import PurePosixPath

from deploy.components.base import Component
from deploy.paths import FILES
from deploy.tree import Directory, File, Tree

_STARTER = FILES / "notebooks/welcome.ipynb"


class Workspace(Component):
    """The workspace is the users': its mode and its files are theirs once it is there."""

    def configure(self, tree: Tree) -> None:
        workspace = PurePosixPath(self.settings.workspace)
        tree.add(
            Directory(workspace, keep=True),
            File(workspace / _STARTER.name, _STARTER.read_bytes(), seed=True),
        )
