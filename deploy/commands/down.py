"""``jupyfleet down``: stop and remove."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.markup import escape

from deploy import report, site
from deploy.commands import common
from deploy.inventory import SiteHost
from deploy.runner import PARALLEL
from jupyfleet_host.common import plural

Purge = Annotated[
    bool,
    common.flag("--purge", help="Remove workspaces, too: asks for the path of each, keeps what is not named."),
]
Workspace = Annotated[
    list[str] | None,
    typer.Option("--workspace", help="With --purge: a workspace to remove, by its path on the host.", metavar="PATH"),
]
Yes = Annotated[bool, common.flag("--yes", help="With --purge: do not ask; only workspaces named are removed.")]


def down(
    inventory: common.Inventory,
    limit: common.Limit = None,
    data: common.Data = None,
    purge: Purge = False,
    workspace: Workspace = None,
    yes: Yes = False,
    serial: common.Serial = False,
    parallel: common.Parallel = PARALLEL,
    canary: common.Canary = 0,
    max_failures: common.MaxFailures = None,
    json: common.Json = False,
    verbose: common.Verbose = False,
) -> None:
    """Stop every host's server and remove what was deployed. The workspace stays.

    With `--purge` the notebooks can go, too: you are asked to type the path of each workspace, and what you do not name
    stays. Without a terminal name them with `--workspace`, and say `--yes`.

    Examples: `jupyfleet down inventories/local.py`;
    `jupyfleet down inventories/lab.py --limit gpu1 --purge --workspace /srv/notebooks --yes`
    """
    hosts = common.load(inventory, limit, data, verbose)
    if (workspace or yes) and not purge:
        common.refuse("--workspace and --yes are for --purge; without it nothing but what was deployed is removed.")
    named = _named(hosts, workspace or [], yes) if purge else frozenset()
    strategy = common.strategy_of(serial, parallel, canary, max_failures)

    def purge_named() -> None:
        site.purge(workspaces=named)

    deploy = purge_named if purge else site.down
    results = common.run("down", hosts, deploy, verify=False, as_json=json, strategy=strategy, inventory=inventory)
    if not json and all(result.is_good for result in results):
        for host in hosts:
            if host.settings.workspace not in named:
                stays = f"The workspace of {escape(host.name)} stays: {escape(host.settings.workspace)}"
                report.console().print(stays, highlight=False, soft_wrap=True)
    common.leave(results)


def _named(hosts: list[SiteHost], workspaces: list[str], yes: bool) -> frozenset[str]:
    """The workspaces that somebody wants removed, by their paths; each has to be one of these hosts'."""
    known = {host.settings.workspace for host in hosts}
    if strangers := set(workspaces) - known:
        listed = ", ".join(sorted(known))
        common.refuse(f"--workspace {sorted(strangers)[0]}: no host has it; these hosts have {listed}.")
    if yes:
        return frozenset(workspaces)
    if not sys.stdin.isatty():
        common.refuse(
            "--purge asks, and nobody is there to answer: name what is to go with --workspace, and say --yes."
        )
    for path in sorted(known - set(workspaces)):
        names = ", ".join(host.name for host in hosts if host.settings.workspace == path)
        typer.echo(f"{path} on {names} holds people's notebooks.", err=True)
        if typer.prompt("Type its path to remove it, or nothing to keep it", default="", show_default=False) == path:
            workspaces = [*workspaces, path]
    gone = ", ".join(sorted(workspaces)) or "no workspace"
    if not typer.confirm(f"Remove the deploy on {plural(len(hosts), 'host', 'hosts')}, and {gone}?", err=True):
        raise typer.Exit(common.EXIT_FAILED)
    return frozenset(workspaces)
