"""``jupyfleet lock`` and ``jupyfleet outdated``: the versions of a site."""

from __future__ import annotations

import json as json_format
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
    json: common.Json = False,
    verbose: common.Verbose = False,
) -> None:
    """Find versions that go together, for both architectures and both profiles, and keep them beside the inventory.

    Hosts are not changed. With provider pixi the first host of the inventory solves, or, with --here, this machine.

    Example: `jupyfleet lock inventories/lab.py --upgrade`
    """

    teller = _Teller("lock", as_json=json)

    def keep(settings: Settings, asked: str, old: sitelock.Lock | None, new: sitelock.Lock) -> None:
        directory = sitelock.write(settings, asked, new)
        teller.tell(settings, str(directory), sitelock.changes(old, new))

    _solve_all(common.load(inventory, limit, data, verbose), keep, upgrade=upgrade, here=here)
    teller.end()


def outdated(
    inventory: common.Inventory,
    here: _Here = False,
    limit: common.Limit = None,
    data: common.Data = None,
    json: common.Json = False,
    verbose: common.Verbose = False,
) -> None:
    """Say what `lock --upgrade` would change, and change nothing.

    Example: `jupyfleet outdated inventories/lab.py`
    """

    teller = _Teller("outdated", as_json=json)

    def compare(settings: Settings, _asked: str, old: sitelock.Lock | None, new: sitelock.Lock) -> None:
        teller.tell(settings, f"{settings.provider}, profile {settings.profile}", sitelock.changes(old, new))

    _solve_all(common.load(inventory, limit, data, verbose), compare, upgrade=True, committed=True, here=here)
    teller.end()


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
    question = Question("environment_pixi", "lock", json_format.dumps(solving.question(settings, earlier)))
    [result] = ask_site([host], lambda _: question, watcher=report.SilentWatcher())
    if not result.is_good:
        raise PyinfraError(f"{host.name}: {result.reason}")
    return solving.with_added(settings, str((result.answer or {})["lock"]), earlier)


class _Teller:
    """Says what changes in each lock: in lines as they come, or in one document at the end."""

    def __init__(self, command: str, *, as_json: bool) -> None:
        self._command = command
        self._as_json = as_json
        self._locks: list[dict[str, object]] = []

    def tell(self, settings: Settings, title: str, changes: list[str]) -> None:
        about = {"provider": settings.provider, "profile": settings.profile}
        self._locks.append(about | {"directory": str(sitelock.directory_of(settings)), "changes": changes})
        if not self._as_json:
            console = report.console()
            first = f"{title}: {'nothing changed' if not changes else ''}".rstrip()
            for line in [first, *changes]:
                console.print(escape(line), highlight=False, soft_wrap=True)

    def end(self) -> None:
        if self._as_json:
            document = {"schema": "jupyfleet/locks/1", "command": self._command, "locks": self._locks}
            typer.echo(json_format.dumps(document, indent=2))
