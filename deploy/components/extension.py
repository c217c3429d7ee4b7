"""jupyter_mcp on a host: its code comes with the environment, its configuration from here."""

from __future__ import annotations

from deploy.components.base import Component
from deploy.tree import Directory, File, Tree


class ExtensionConfiguration(Component):
    """Enables the extension and hands it its settings."""

    def configure(self, tree: Tree) -> None:
        directory = self.paths.jupyter_config / "jupyter_server_config.d"
        tree.add(
            Directory(directory, mode=0o700),
            File(directory / "jupyter_mcp.json", self.render("jupyter_mcp.json.j2"), mode=0o600),
        )
