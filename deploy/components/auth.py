"""Who may come in: a token that the host makes for itself, in a file that only the service user reads."""

from __future__ import annotations

from deploy.components.base import Component
from deploy.tree import Secret, Tree


class Auth(Component):
    """The token never leaves the host; with auth 'none' there is none, and the server listens on loopback only."""

    def configure(self, tree: Tree) -> None:
        if self.settings.auth == "token":
            tree.add(Secret(self.paths.token))
