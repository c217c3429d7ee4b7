"""``jupyfleet lock`` and ``jupyfleet outdated``: the versions of a site."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated

import typer
from pyinfra.api.exceptions import PyinfraError
from rich.markup import escape

from deploy import report
from deploy.commands import common
from deploy.environment import sitelock, solving
from deploy.environment.profiles import PROFILES
from deploy.facts.foresight import Question
from deploy.inventory import SiteHost
from deploy.runner import ask_site
from deploy.settings import Settings

_Here = Annotated[
    bool, common.flag("--here", help="With provider pixi: solve on this machine, where no host reaches the internet.")
]


def lock(
    inventory: common.Inventory,
    upgrade: Annotated[
        bool, common.flag("--upgrade", help="Take the newest versions; else only what the settings need changes.")
    ] = False,
    here: _Here = False,
    limit: common.Limit = None,
    data: common.Data = None,
    verbose: common.Verbose = False,
) -> None:
    """Find versions that go together, for both architectures and both profiles, and keep them beside the inventory.

    Hosts are not changed. With provider pixi the first host of the inventory solves, or, with --here, this machine.

    Example: `jupyfleet lock inventories/lab.py --upgrade`
    """

    def keep(settings: Settings, asked: str, old: sitelock.Lock | None, new: sitelock.Lock) -> None:
        directory = sitelock.write(settings, asked, new)
        _say(str(directory), sitelock.changes(old, new))

    _solve_all(common.load(inventory, limit, data, verbose), keep, upgrade=upgrade, here=here)


def outdated(
    inventory: common.Inventory,
    here: _Here = False,
    limit: common.Limit = None,
    data: common.Data = None,
    verbose: common.Verbose = False,
) -> None:
    """Say what `lock --upgrade` would change, and change nothing.

    Example: `jupyfleet outdated inventories/lab.py`
    """

    def compare(settings: Settings, _asked: str, old: sitelock.Lock | None, new: sitelock.Lock) -> None:
        _say(f"{settings.provider}, profile {settings.profile}", sitelock.changes(old, new))

    _solve_all(common.load(inventory, limit, data, verbose), compare, upgrade=True, committed=True, here=here)


def _solve_all(
    hosts: list[SiteHost],
    use: Callable[[Settings, str, sitelock.Lock | None, sitelock.Lock], None],
    *,
    upgrade: bool,
    committed: bool = False,
    here: bool,
) -> None:
    """Solve once for whatever different things the hosts ask for; with `committed` against what they have today."""
    seen = set()
    try:
        for host in hosts:
            for profile in dict.fromkeys([host.settings.profile, *PROFILES]):
                settings = host.settings.model_copy(update={"profile": profile})
                if profile != host.settings.profile and settings.spacy_model_wheel:
                    continue
                key = str(sitelock.directory_of(settings))
                if key in seen:
                    continue
                seen.add(key)
                old = sitelock.earlier(settings)
                if committed and old is None:
                    old = solving.without_site_lock(settings)
                earlier = None if upgrade else old
                use(settings, solving.asked_for(settings), old, _solve(host, settings, earlier, here=here))
    except PyinfraError as error:
        typer.echo(f"jupyfleet: {error}", err=True)
        raise typer.Exit(common.EXIT_FAILED) from error


def _solve(host: SiteHost, settings: Settings, earlier: sitelock.Lock | None, *, here: bool) -> sitelock.Lock:
    if settings.provider == "uv" or here:
        return solving.solve_here(settings, earlier)
    question = Question("environment_pixi", "lock", json.dumps(solving.question(settings, earlier)))
    [result] = ask_site([host], lambda _: question, watcher=report.SilentWatcher())
    if not result.is_good:
        raise PyinfraError(f"{host.name}: {result.reason}")
    return solving.with_added(settings, str((result.answer or {})["lock"]), earlier)


def _say(title: str, lines: list[str]) -> None:
    console = report.console()
    console.print(
        escape(f"{title}: {'nothing changed' if not lines else ''}".rstrip()), highlight=False, soft_wrap=True
    )
    for line in lines:
        console.print(escape(line), highlight=False, soft_wrap=True)
