"""The environment that JupyterLab runs from: one release, made active once it is complete."""

from __future__ import annotations

from deploy.components.base import Component
from deploy.environment.releases import release_of
from deploy.operations import environment


class Environment(Component):
    """Built beside the running release, and switched to in the last stage."""

    def install(self) -> None:
        release = release_of(self.settings)
        environment.installed(
            name=f"Environment {release.identifier} (profile {self.settings.profile})",
            release=release,
            paths=self.paths,
            directory=self.paths.release(release.identifier),
            link=self.paths.environment,
        )

    def activate(self) -> None:
        directory = self.paths.release(release_of(self.settings).identifier)
        environment.active(
            name="Active environment", paths=self.paths, directory=directory, keep=self.settings.keep_releases
        )
