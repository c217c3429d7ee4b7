"""``jupyfleet token show`` and ``jupyfleet token rotate``."""

from __future__ import annotations

import json as json_module

import typer

from deploy import report, site
from deploy.commands import common
from deploy.facts.foresight import Question
from deploy.inventory import SiteHost
from deploy.runner import PARALLEL

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Show or replace the tokens of hosts. A token travels to this machine only with `show`.",
)


@app.command()
def show(
    inventory: common.Inventory,
    limit: common.Limit = None,
    data: common.Data = None,
    json: common.Json = False,
    verbose: common.Verbose = False,
) -> None:
    """Print the token of every host: alone for a single host, behind the host's name otherwise.

    This is the only command that fetches a token. It is printed, and kept nowhere.

    Example: `export JUPYFLEET_TOKEN="$(jupyfleet token show inventories/lab.py --limit gpu1)"`
    """
    hosts = common.load(inventory, limit, data, verbose)
    # Quietly: what is printed is the token, and nothing else.
    results = common.ask("token show", hosts, _question, as_json=True, quiet=True)
    tokens = [(result, (result.answer or {}).get("token") or "") for result in results]
    if json:
        shown = [{"host": result.host, "token": token, "reason": result.reason} for result, token in tokens]
        typer.echo(json_module.dumps({"hosts": shown}, indent=2))
    else:
        for result, token in tokens:
            if result.is_good:
                typer.echo(token if len(hosts) == 1 else f"{result.host} {token}")
    common.print_reasons(results)
    common.leave(results)


def _question(host: SiteHost) -> Question:
    settings = host.settings
    token = str(settings.paths.token) if settings.auth == "token" else None
    return Question.of("access_token", "show", {"token_file": token}, settings.paths.owner)


@app.command()
def rotate(
    inventory: common.Inventory,
    limit: common.Limit = None,
    data: common.Data = None,
    serial: common.Serial = False,
    parallel: common.Parallel = PARALLEL,
    canary: common.Canary = 0,
    max_failures: common.MaxFailures = None,
    json: common.Json = False,
    verbose: common.Verbose = False,
) -> None:
    """Give every host a new token, made on the host itself, and prove it. The old one is refused from then on.

    Only JupyterLab is restarted, which alone has read the old one; supervisord and everything else go on. Kernels end
    with it, so say so before. An interrupted rotation is finished by `jupyfleet up`.

    Example: `jupyfleet token rotate inventories/lab.py --limit gpu1`
    """
    hosts = common.load(inventory, limit, data, verbose)
    strategy = common.strategy_of(serial, parallel, canary, max_failures)
    results = common.run(
        "token rotate", hosts, site.rotate_token, verify=True, as_json=json, strategy=strategy, inventory=inventory
    )
    if not json and len(hosts) == 1 and results[0].is_good:
        report.print_way_in(report.console(), hosts[0], inventory)
    common.leave(results)
