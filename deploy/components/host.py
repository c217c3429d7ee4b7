"""The host itself: what it must bring along."""

from __future__ import annotations

from deploy.components.base import Component
from deploy.operations import preflight
from deploy.tree import Directory, Tree


class Host(Component):
    """Python, directories and a free port are looked at before anything changes."""

    def install(self) -> None:
        preflight.passed(name="Preflight", settings=self.settings)

    def configure(self, tree: Tree) -> None:
        tree.add(
            Directory(self.paths.config, mode=0o700),
            Directory(self.paths.jupyter_config, mode=0o700),
            Directory(self.paths.data, mode=0o700),
            Directory(self.paths.runtime, mode=0o700),
            Directory(self.paths.logs, mode=0o700),
        )
