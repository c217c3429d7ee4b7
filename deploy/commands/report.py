"""``jupyfleet report``: the site on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy import runs
from deploy.commands import common, status
from deploy.page import page
from deploy.report import SilentWatcher
from deploy.runner import ask_site, run_site

Output = Annotated[Path, typer.Option("--output", "-o", help="The file to write.", dir_okay=False)]


def report(
    inventory: common.Inventory,
    limit: common.Limit = None,
    data: common.Data = None,
    output: Output = Path("report.html"),
    json: common.Json = False,
    verbose: common.Verbose = False,
) -> None:
    """Write one HTML page about the site: hosts, versions, checks, and what the last run did when on each host.

    Every host is verified and asked for its status; nothing is changed. The page stands by itself: it can be mailed, or
    put on any web server. It holds no secret.

    Example: `jupyfleet report inventories/lab.py --output lab.html`
    """
    hosts = common.load(inventory, limit, data, verbose)
    watcher = SilentWatcher()
    checks = run_site(hosts, None, verify=True, watcher=watcher)
    answers = {result.host: result.answer for result in ask_site(hosts, status.question, watcher=watcher)}
    last = runs.last(inventory, ("up", "down", "rollback", "token rotate"))
    try:
        output.write_text(page(str(inventory), checks, answers, last), encoding="utf-8")
    except OSError as error:
        common.refuse(f"--output {output} cannot be written: {error.strerror}")
    if json:
        typer.echo(runs.to_json(runs.run_of("report", checks, inventory=inventory)))
    else:
        typer.echo(f"{output} has {len(hosts)} hosts, {sum(result.is_good for result in checks)} of them well")
    common.leave(checks)
