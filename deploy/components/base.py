"""The stages that every component has, each doing nothing unless a component says otherwise."""

from __future__ import annotations

from typing import Any

from deploy.facts.machine import Machine
from deploy.rendering import render
from deploy.settings import Settings
from deploy.tree import Tree


class Component:
    """One part of a site on one host."""

    def __init__(self, settings: Settings, machine: Machine) -> None:
        self.settings = settings
        self.machine = machine
        self.paths = settings.paths

    def install(self) -> None:
        """Whatever is slow or downloads; what runs already is not touched."""

    def configure(self, tree: Tree) -> None:
        """Add the files that this component wants on the host."""

    def activate(self) -> None:
        """Make what was installed and configured take effect."""

    def remove(self) -> None:
        """End and undo what this component activated; its files are removed with those of all others."""

    def render(self, template: str, **values: Any) -> bytes:
        """A file of `templates/`, from the settings, the paths and `values`."""
        return render(template, settings=self.settings, paths=self.paths, **values).encode("utf-8")
