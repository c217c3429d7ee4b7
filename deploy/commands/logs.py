"""``jupyfleet logs``: what the servers have to say."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer
from pyinfra.api import Host, State
from pyinfra.context import ctx_host
from rich.markup import escape

from deploy import report
from deploy.commands import common
from deploy.facts.foresight import Question
from deploy.facts.hostscript import tell
from deploy.inventory import SiteHost
from deploy.recorder import Recorder
from deploy.results import HostResult
from deploy.runner import Strategy, run_job

Lines = Annotated[int, typer.Option("--lines", "-n", min=0, max=100_000, help="How many lines from the end.")]
Follow = Annotated[bool, common.flag("--follow", "-f", help="Go on with what is written from now on, until Ctrl-C.")]


def logs(
    inventory: common.Inventory,
    limit: common.Limit = None,
    data: common.Data = None,
    lines: Lines = 50,
    follow: Follow = False,
    json: common.Json = False,
    verbose: common.Verbose = False,
) -> None:
    """Show the end of the servers' logs; with several hosts every line names its own.

    With `--follow --json` every line is a JSON object with `host` and `line`. A token that should ever be in a log is
    not shown.

    Examples: `jupyfleet logs inventories/lab.py --limit gpu1 -n 200`; `jupyfleet logs inventories/lab.py --follow`
    """
    hosts = common.load(inventory, limit, data, verbose)
    if follow:
        common.leave(_follow(hosts, lines, as_json=json))

    def question(host: SiteHost) -> Question:
        return Question.of("logs", "tail", _spec(host, lines), host.settings.as_root)

    results = common.ask("logs", hosts, question, as_json=json)
    if not json:
        for result in results:
            for line in (result.answer or {}).get("lines", []):
                _print(result.host, line, many=len(hosts) > 1)
    common.leave(results)


def _spec(host: SiteHost, lines: int) -> dict[str, object]:
    settings = host.settings
    token = str(settings.paths.token) if settings.auth == "token" else None
    return {"file": str(settings.paths.logs / "jupyter.log"), "lines": lines, "token_file": token}


def _follow(hosts: list[SiteHost], lines: int, *, as_json: bool) -> list[HostResult]:
    def job(state: State, host: Host, site_host: SiteHost, result: HostResult, recorder: Recorder) -> None:
        recorder.listener = lambda line: (
            typer.echo(json_module.dumps({"host": site_host.name, "line": line}))
            if as_json
            else _print(site_host.name, line, many=len(hosts) > 1)
        )
        command = tell(
            "logs", "follow", _spec(site_host, lines), plan=(), as_user=site_host.settings.as_root, seconds=0
        )
        with ctx_host.use(host):
            host.run_shell_command(command, print_output=True, **command.connector_arguments)
        result.state, result.reason = "failed", "the host's log ended: is it there? Run jupyfleet verify."

    watcher = report.SilentWatcher()
    try:
        results = run_job(hosts, job, watcher=watcher, strategy=Strategy(parallel=len(hosts)))
    except KeyboardInterrupt:
        return []
    common.print_reasons(results)
    return results


def _print(host: str, line: str, *, many: bool) -> None:
    who = f"[bold]{escape(host)}[/] " if many else ""
    report.console().print(f"{who}{report.shown(line)}", highlight=False, soft_wrap=True)
