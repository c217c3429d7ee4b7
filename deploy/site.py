"""A site, as pyinfra deploys: what ``up``, ``rollback``, ``verify`` and ``down`` do on the current host.

Both ways in end here: the program ``jupyfleet`` and the entry files ``deploy/*.py`` of stock pyinfra.
"""

from __future__ import annotations

from pyinfra import host, inventory
from pyinfra.api import deploy

from deploy.components import ORDER, Component
from deploy.components.service import Service
from deploy.environment.releases import release_of
from deploy.environment.solving import check_lock, ensure_lock
from deploy.facts.machine import Machine, machine_of_current_host
from deploy.inventory import inventory_of_stock_pyinfra, locks_beside
from deploy.operations import access_token, checks, environment, preflight, removal
from deploy.operations import tree as tree_operations
from deploy.settings import Settings, read_all_settings
from deploy.tree import Tree


def settings_of_current_host() -> Settings:
    """The settings of the current host, once those of all hosts of the inventory have been found good."""
    settings = read_all_settings({other.name: other.data.dict() for other in inventory})[host.name]
    if settings.locks is None and (file := inventory_of_stock_pyinfra()):
        settings = settings.model_copy(update={"locks": str(locks_beside(file))})
    return settings


@deploy("jupyfleet")
def up(planning: bool = False) -> None:
    """Bring the host into the wanted state: all installs, then all files at once, then what makes them take effect.

    When `planning`, what is only known once packages have been solved is left open.
    """
    settings = settings_of_current_host()
    machine = machine_of_current_host(settings)
    if machine.problems:
        preflight.passed(name="Preflight", machine=machine, settings=settings)
        return
    check_lock(settings) if planning else ensure_lock(settings)
    components: list[Component] = [component(settings, machine) for component in ORDER]
    for component in components:
        component.install()
    tree_operations.in_place(name="Files", tree=_files(components), settings=settings)
    for component in components:
        component.activate()


def _files(components: list[Component]) -> Tree:
    tree = Tree()
    for component in components:
        component.configure(tree)
    return tree


@deploy("jupyfleet rollback")
def rollback(to: str | None = None) -> None:
    """Go back to the release that was active before, or to one that is named by its first digits."""
    settings = settings_of_current_host()
    machine = machine_of_current_host(settings) if settings.scope == "system" else Machine()
    if settings.scope == "system" and machine.distribution is None:
        preflight.passed(name="Preflight", machine=machine, settings=settings)
        return
    proof = Service(settings, machine).proof()
    environment.rolled_back(
        name="Rollback",
        paths=settings.paths,
        # Of supervisord whatever runs will do: a rollback changes the release and nothing else.
        proof=proof | {"service": proof["service"] | {"identifier": None}},
        to=to,
        wanted=_wanted(settings),
        as_user=settings.as_root,
    )


def _wanted(settings: Settings) -> str | None:
    """The release that the next up goes to, where that can be told."""
    release = release_of(settings)
    return release.identifier if release.is_solved else None


@deploy("jupyfleet verify")
def verify() -> None:
    """Run every check on the host; it fails where one falls short."""
    checks.pass_all(name="Checks", settings=settings_of_current_host())


@deploy("jupyfleet down")
def down() -> None:
    """Stop the site and remove what was deployed. The workspace stays."""
    _remove(frozenset())


@deploy("jupyfleet down --purge")
def purge(workspaces: frozenset[str]) -> None:
    """As `down`, and remove the workspace, too, where its path is among those that were named."""
    _remove(workspaces)


def _remove(workspaces: frozenset[str]) -> None:
    settings = settings_of_current_host()
    # What keeps a deploy from a host, a taken port for one, does not keep it from being cleared.
    machine = machine_of_current_host(settings) if settings.scope == "system" else Machine()
    if settings.scope == "system" and machine.distribution is None:
        preflight.passed(name="Preflight", machine=machine, settings=settings)
        return
    components: list[Component] = [component(settings, machine) for component in ORDER]
    system = [entry.path for entry in _files(components) if entry.system]
    for component in reversed(components):
        component.remove()
    if settings.workspace in workspaces:
        removal.workspace_removed(name="Workspace", settings=settings)
    removal.removed(name="Files", settings=settings, system=system)


@deploy("jupyfleet token rotate")
def rotate_token() -> None:
    """Give the host a new token, and restart what has the old one, which is JupyterLab alone."""
    settings = settings_of_current_host()
    machine = machine_of_current_host(settings)
    if machine.problems:
        preflight.passed(name="Preflight", machine=machine, settings=settings)
        return
    components: list[Component] = [component(settings, machine) for component in ORDER]
    _files(components)
    access_token.rotated(name="Token", settings=settings)
    for component in components:
        if isinstance(component, Service):
            component.activate()
