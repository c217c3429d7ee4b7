"""``jupyfleet status``: how every host is doing."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Table

from deploy import report
from deploy.checks import probe_spec
from deploy.commands import common
from deploy.facts.foresight import Question
from deploy.inventory import SiteHost
from deploy.results import HostResult


def status(
    inventory: common.Inventory,
    limit: common.Limit = None,
    data: common.Data = None,
    json: common.Json = False,
    verbose: common.Verbose = False,
) -> None:
    """Say how every host is doing: service, release, versions, uptime, users, kernels and disk. It changes nothing.

    One remote command per host. People are counted once, however many notebooks they have open.

    Example: `jupyfleet status inventories/lab.py --limit 'gpu*'`
    """
    hosts = common.load(inventory, limit, data, verbose)
    results = common.ask("status", hosts, question, as_json=json)
    if not json:
        report.console().print(_table(results))
    common.leave(results)


def question(host: SiteHost) -> Question:
    """What a host is asked about its status."""
    return Question.of("status", "main", probe_spec(host.settings), host.settings.as_root)


def _table(results: list[HostResult]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("host", "service", "release", "JupyterLab", "up", "users", "kernels", "disk free", "load"):
        table.add_column(name, no_wrap=name in ("host", "service", "release"))
    for result in results:
        if result.answer is None:
            table.add_row(escape(result.host), f"[red]{result.state}[/]", escape(result.reason.partition("\n")[0]))
        else:
            table.add_row(escape(result.host), *_row(result.answer))
    return table


def _row(answer: dict[str, Any]) -> list[str]:
    service = answer["service"] or "down"
    disk = answer["disk"]
    return [
        f"[{'green' if service == 'RUNNING' else 'red'}]{escape(service)}[/]",
        answer["release"] or "none",
        answer["versions"].get("jupyterlab", "none"),
        duration(answer["uptime"]),
        _number(answer["users"]),
        _number(answer["kernels"]),
        f"{disk['free'] / 1e9:.0f} of {disk['total'] / 1e9:.0f} GB",
        f"{answer['load']:.2f}",
    ]


def _number(value: int | None) -> str:
    return "?" if value is None else str(value)


def duration(seconds: int | None) -> str:
    """Seconds as a person says them."""
    if seconds is None:
        return "-"
    if seconds >= 86_400:
        return f"{seconds // 86_400} d {seconds // 3600 % 24} h"
    return (
        f"{seconds // 3600} h {seconds // 60 % 60} min" if seconds >= 3600 else f"{seconds // 60} min {seconds % 60} s"
    )
