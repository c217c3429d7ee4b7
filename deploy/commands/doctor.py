"""``jupyfleet doctor``: what could keep a deploy from working, before there is one."""

from __future__ import annotations

import time
from typing import Any

from rich.markup import escape
from rich.table import Table

from deploy import report
from deploy.commands import common
from deploy.facts.foresight import Question
from deploy.inventory import SiteHost
from deploy.results import HostResult

#: Seconds that a host's clock may be off before tokens, certificates and logs suffer.
_CLOCK_SECONDS = 30
_STYLE = {"ok": "green", "warning": "yellow", "failed": "red"}


def doctor(
    inventory: common.Inventory,
    limit: common.Limit = None,
    data: common.Data = None,
    json: common.Json = False,
    verbose: common.Verbose = False,
) -> None:
    """Examine the way to every host, and the host itself, before a deploy. It changes nothing.

    SSH and its host key, Python, directories, disk, memory, the port, the clock, how long a shell takes to start,
    SELinux and firewalld. What would make a deploy fail is `failed`, and the exit code is 1; what would make it slow or
    odd is a `warning`.

    Example: `jupyfleet doctor inventories/lab.py`
    """
    hosts = common.load(inventory, limit, data, verbose)
    results = common.ask("doctor", hosts, _question, as_json=json, finish=_finish)
    if not json:
        for result in results:
            report.console().print(_table(result))
    common.leave(results)


def _question(host: SiteHost) -> Question:
    names = {"home", "workspace", "bind", "port", "python", "scope", "user", "workspace_mount", "profile"}
    spec = host.settings.model_dump(include=names) | {"lock_file": str(host.settings.paths.lock)}
    return Question.of("doctor", "main", spec, host.settings.as_root)


def _finish(result: HostResult) -> None:
    """Add what only the controller can know, and let a finding that forbids a deploy be the host's failure."""
    if result.answer is None:
        return
    findings: list[dict[str, Any]] = result.answer["findings"]
    off = abs(result.answer.pop("now") - time.time())
    is_right = off < _CLOCK_SECONDS + result.seconds
    clock = "is right" if is_right else f"is {off:.0f} s off: have the host ask a time server (chronyd)"
    findings.insert(
        0, {"id": "clock", "status": "ok" if is_right else "warning", "detail": f"the host's clock {clock}"}
    )
    findings.insert(0, {"id": "ssh", "status": "ok", "detail": f"connected and answered within {result.seconds:.1f} s"})
    if failed := [finding["detail"] for finding in findings if finding["status"] == "failed"]:
        result.state, result.reason = "failed", "\n".join(failed)


def _table(result: HostResult) -> Table:
    table = Table(title=escape(result.host), title_justify="left", box=None, pad_edge=True)
    for name in ("examined", "result", "what was found"):
        table.add_column(name, no_wrap=name != "what was found", overflow="fold")
    findings = (result.answer or {}).get("findings") or [
        {"id": "ssh", "status": "failed", "detail": result.reason or result.state}
    ]
    for finding in findings:
        style = _STYLE[finding["status"]]
        table.add_row(finding["id"], f"[{style}]{finding['status']}[/]", escape(finding["detail"]))
    return table
