"""A site, as pyinfra deploys: what ``up``, ``verify`` and ``down`` do on the current host.

Both ways in end here: the program ``jupyfleet`` and the entry files ``deploy/*.py`` of stock pyinfra.
"""

from __future__ import annotations

from pyinfra import host, inventory
from pyinfra.api import deploy

from deploy.components import ORDER, Component
from deploy.components.service import Service
from deploy.operations import checks, removal
from deploy.operations import tree as tree_operations
from deploy.settings import Settings, read_all_settings
from deploy.tree import Tree


def settings_of_current_host() -> Settings:
    """The settings of the current host, once those of all hosts of the inventory have been found good."""
    return read_all_settings({other.name: other.data.dict() for other in inventory})[host.name]


@deploy("jupyfleet")
def up() -> None:
    """Bring the host into the wanted state: all installs, then all files at once, then what makes them take effect."""
    settings = settings_of_current_host()
    components: list[Component] = [component(settings) for component in ORDER]
    for component in components:
        component.install()
    _put_files_in_place(components)
    for component in components:
        component.activate()


def _put_files_in_place(components: list[Component]) -> None:
    tree = Tree()
    for component in components:
        component.configure(tree)
    tree_operations.in_place(name="Files", tree=tree)


@deploy("jupyfleet verify")
def verify() -> None:
    """Run every check on the host; it fails where one falls short."""
    checks.pass_all(name="Checks", settings=settings_of_current_host())


@deploy("jupyfleet down")
def down() -> None:
    """Stop the site and remove what was deployed. The workspace stays."""
    settings = settings_of_current_host()
    Service(settings).remove()
    removal.removed(name="Files", settings=settings)
