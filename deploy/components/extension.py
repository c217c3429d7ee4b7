"""jupyter_mcp on a host: its code comes with the environment, its configuration from here."""

from __future__ import annotations

from deploy.components.base import Component
from deploy.tree import File, Tree


class ExtensionConfiguration(Component):
    """Hands the extension its settings; its wheel enables it (``etc/jupyter/jupyter_server_config.d``)."""

    def configure(self, tree: Tree) -> None:
        # Jupyter Server makes this name from the extension's, jupyter_mcp.
        name = "jupyter_jupyter_mcp_config.json"
        tree.add(File(self.paths.jupyter_config / name, self.render(f"{name}.j2"), mode=0o600))
