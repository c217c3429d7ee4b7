"""The program ``jupyfleet``.

Exit codes: 0 all good; 1 a host failed or a check fell short; 2 wrong usage or settings, and nothing was touched.
"""

# pyinfra runs its connections in greenlets: this must come before anything that opens a socket or starts a process.
from gevent import monkey

monkey.patch_all()

import logging  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from enum import StrEnum  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Annotated  # noqa: E402

import gevent  # noqa: E402
import typer  # noqa: E402
from rich.markup import escape  # noqa: E402

from deploy import report, site  # noqa: E402
from deploy.inventory import InventoryError, SiteHost, load_site, parse_override  # noqa: E402
from deploy.results import HostResult  # noqa: E402
from deploy.runner import Work, run_site  # noqa: E402
from deploy.settings import SettingsError  # noqa: E402

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""
    Turn hosts into collaborative JupyterLab servers that people and AI agents share.

    Every command takes an INVENTORY, a Python file that lists hosts and their settings
    (see docs/settings.md); `inventories/local.py` is this machine, without root.

    Exit codes: 0 all good; 1 a host failed or a check fell short; 2 wrong usage or settings,
    and nothing was touched.
    """,
)

Inventory = Annotated[
    Path, typer.Argument(help="The inventory file, such as inventories/local.py.", show_default=False)
]
Limit = Annotated[
    list[str] | None, typer.Option("--limit", "-l", help="Only these hosts: names, patterns or groups.", metavar="HOST")
]
Data = Annotated[
    list[str] | None,
    typer.Option("--data", "-D", help="A setting for all hosts, as in jupyter_profile=full.", metavar="KEY=VALUE"),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, and nothing else.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show what pyinfra does, on standard error.")]


class Format(StrEnum):
    """How verify prints."""

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"


@app.command()
def up(
    inventory: Inventory, limit: Limit = None, data: Data = None, json: Json = False, verbose: Verbose = False
) -> None:
    """Provision every host, and prove it.

    Run it again at any time: what is as it should be is left alone, and what was interrupted is finished.

    Example: `jupyfleet up inventories/local.py --data jupyter_profile=full`
    """
    hosts = _load(inventory, limit, data, verbose)
    results = _run("up", hosts, site.up, verify=True, as_json=json)
    if not json and len(hosts) == 1 and results[0].is_good:
        report.print_way_in(report.console(), hosts[0])
    _exit(results)


@app.command()
def plan(
    inventory: Inventory, limit: Limit = None, data: Data = None, json: Json = False, verbose: Verbose = False
) -> None:
    """Say what `up` would change on every host, with the differences of files, and change nothing.

    Example: `jupyfleet plan inventories/local.py --data jupyter_profile=full`
    """
    hosts = _load(inventory, limit, data, verbose)
    _exit(_run("plan", hosts, site.up, work=Work.PLAN, verify=False, as_json=json))


@app.command()
def verify(
    inventory: Inventory,
    limit: Limit = None,
    data: Data = None,
    format: Annotated[Format, typer.Option(help="How to print the results.")] = Format.TABLE,  # noqa: A002
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Prove every host, and change nothing.

    One remote command per host runs all checks: the environment, the workspace, the service, JupyterLab, and MCP with
    and without the token.

    Example: `jupyfleet verify inventories/local.py --format junit > report.xml`
    """
    hosts = _load(inventory, limit, data, verbose)
    results = _run("verify", hosts, None, verify=True, as_json=json or format is not Format.TABLE, format=format)
    _exit(results)


@app.command()
def down(
    inventory: Inventory, limit: Limit = None, data: Data = None, json: Json = False, verbose: Verbose = False
) -> None:
    """Stop every host's server and remove what was deployed. The workspace stays.

    Example: `jupyfleet down inventories/local.py`
    """
    hosts = _load(inventory, limit, data, verbose)
    results = _run("down", hosts, site.down, verify=False, as_json=json)
    if not json and all(result.is_good for result in results):
        for host in hosts:
            stays = f"The workspace stays: {escape(host.settings.workspace)}"
            report.console().print(stays, highlight=False, soft_wrap=True)
    _exit(results)


def _load(inventory: Path, limit: list[str] | None, data: list[str] | None, verbose: bool) -> list[SiteHost]:
    """The hosts that the command is for; wrong usage ends here, before anything is touched."""
    _log(verbose)
    try:
        overrides = dict(parse_override(text) for text in data or [])
        return load_site(inventory, limit=limit or [], overrides=overrides)
    except SettingsError as error:
        for problem in error.problems:
            typer.echo(f"jupyfleet: {inventory}: {problem}", err=True)
    except InventoryError as error:
        typer.echo(f"jupyfleet: {error}", err=True)
    raise typer.Exit(EXIT_USAGE)


def _run(
    command: str,
    hosts: list[SiteHost],
    deploy: Callable[[], object] | None,
    *,
    verify: bool,
    as_json: bool,
    work: Work = Work.APPLY,
    format: Format = Format.JSON,  # noqa: A002
) -> list[HostResult]:
    console = report.console()
    watcher = report.SilentWatcher() if as_json else report.ConsoleWatcher(console, many=len(hosts) > 1)
    if not as_json:
        for host in hosts:
            settings = host.settings
            about = f"{host.name}: profile {settings.profile}, port {settings.port}, home {settings.home}"
            console.print(escape(about), highlight=False, soft_wrap=True)
    try:
        results = run_site(hosts, deploy, work=work, verify=verify, watcher=watcher)
    except KeyboardInterrupt:
        watcher.close()
        typer.echo("jupyfleet: interrupted. Run the same command again: it goes on where this one stopped.", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    finally:
        watcher.close()
    if not as_json:
        report.print_checks(console, results)
        report.print_summary(console, results)
    else:
        typer.echo(report.to_junit(results) if format is Format.JUNIT else report.to_json(command, results))
    return results


def _exit(results: list[HostResult]) -> None:
    raise typer.Exit(EXIT_OK if all(result.is_good for result in results) else EXIT_FAILED)


def _log(verbose: bool) -> None:
    """pyinfra's log is for whoever asks for it; without a handler Python would print its errors beside our own."""
    logger = logging.getLogger("pyinfra")
    logger.propagate = False
    logger.addHandler(logging.StreamHandler(sys.stderr) if verbose else logging.NullHandler())
    logger.setLevel(logging.DEBUG if verbose else logging.CRITICAL)


def main() -> None:
    """Run the program."""
    # As an exception Ctrl-C would come up in whatever greenlet runs at that moment, and be printed there.
    gevent.signal_handler(signal.SIGINT, gevent.getcurrent().throw, KeyboardInterrupt)
    app()
