"""What every command shares: its options, how it loads an inventory, how it runs over hosts, and how it ends."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.markup import escape

from deploy import report
from deploy.facts.foresight import Question
from deploy.inventory import InventoryError, SiteHost, load_site, parse_override
from deploy.results import HostResult
from deploy.runner import Strategy, Work, ask_site, run_site
from deploy.runs import Run, keep, run_of, to_json
from deploy.settings import SettingsError

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130


def flag(*names: str, help: str) -> Any:  # noqa: A002
    """An option without a value; by itself typer's help shows one."""
    return typer.Option(*names, help=help, metavar="")


Inventory = Annotated[
    Path,
    typer.Argument(help="The inventory file, such as inventories/local.py.", show_default=False, metavar="INVENTORY"),
]
Limit = Annotated[
    list[str] | None, typer.Option("--limit", "-l", help="Only these hosts: names, patterns or groups.", metavar="HOST")
]
Data = Annotated[
    list[str] | None,
    typer.Option("--data", "-D", help="A setting for all hosts, as in jupyter_profile=full.", metavar="KEY=VALUE"),
]
Json = Annotated[
    bool, flag("--json", help="Print one JSON document on standard output; progress is on standard error.")
]
Serial = Annotated[bool, flag("--serial", help="One host after the other, in the order of the inventory.")]
Parallel = Annotated[
    int, typer.Option("--parallel", min=1, max=500, help="How many hosts to work on at once.", metavar="N")
]
Canary = Annotated[
    int,
    typer.Option(
        "--canary",
        min=0,
        help="The first N hosts must end well before any other is touched.",
        metavar="N",
        show_default=False,
    ),
]
MaxFailures = Annotated[
    int | None,
    typer.Option(
        "--max-failures", min=0, help="Begin with no further host once more than N did not end well.", metavar="N"
    ),
]
Verbose = Annotated[bool, flag("--verbose", "-v", help="Show what pyinfra does, on standard error.")]


class Format(StrEnum):
    """How verify prints."""

    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"


def load(inventory: Path, limit: list[str] | None, data: list[str] | None, verbose: bool) -> list[SiteHost]:
    """The hosts that a command is for; wrong usage ends here, before anything is touched."""
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


def run(
    command: str,
    hosts: list[SiteHost],
    deploy: Callable[[], object] | None,
    *,
    verify: bool,
    as_json: bool,
    work: Work = Work.APPLY,
    format: Format = Format.JSON,  # noqa: A002
    strategy: Strategy | None = None,
    inventory: Path | None = None,
) -> list[HostResult]:
    """Run a deploy over the hosts, tell of it, keep the result document, and return what became of each."""
    console, started = report.console(), datetime.now(UTC)
    watcher = report.LineWatcher() if as_json else report.ConsoleWatcher(console, many=len(hosts) > 1)
    if not as_json:
        for host in hosts:
            settings = host.settings
            about = f"{host.name}: profile {settings.profile}, port {settings.port}, home {settings.home}"
            console.print(escape(about), highlight=False, soft_wrap=True)
    with _interruptible(watcher):
        results = run_site(hosts, deploy, work=work, verify=verify, watcher=watcher, strategy=strategy)
    document = run_of(command, results, inventory=inventory, started=started)
    if inventory is not None:
        _keep(document)
    if not as_json:
        # Of many hosts only what fell short is told, unless the checks are what was wanted.
        is_all = command == "verify" or len(results) == 1
        report.print_checks(console, [result for result in results if is_all or not result.is_good])
        report.print_summary(console, results)
    else:
        typer.echo(report.to_junit(results) if format is Format.JUNIT else to_json(document))
    return results


def ask(
    command: str,
    hosts: list[SiteHost],
    question: Callable[[SiteHost], Question],
    *,
    as_json: bool,
    quiet: bool = False,
    finish: Callable[[HostResult], None] | None = None,
) -> list[HostResult]:
    """Ask every host one question, and return the answers; `finish` may look at each before it is told.

    As JSON they are printed unless it is to be `quiet`; what a person is to see of them is the command's to print.
    """
    watcher = report.SilentWatcher() if as_json else report.ConsoleWatcher(report.console(), many=len(hosts) > 1)
    started = datetime.now(UTC)
    with _interruptible(watcher):
        results = ask_site(hosts, question, watcher=watcher)
    for result in results:
        if finish:
            finish(result)
    if as_json and not quiet:
        typer.echo(to_json(run_of(command, results, started=started)))
    return results


@contextlib.contextmanager
def _interruptible(watcher: report.SilentWatcher | report.ConsoleWatcher) -> Iterator[None]:
    """Ctrl-C ends the program with one sentence."""
    try:
        yield
    except KeyboardInterrupt:
        watcher.close()
        typer.echo("jupyfleet: interrupted. Run the same command again: it goes on where this one stopped.", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    finally:
        watcher.close()


def _keep(document: Run) -> None:
    """A run is not a failure because its document cannot be kept."""
    try:
        keep(document)
    except OSError as error:
        typer.echo(f"jupyfleet: the result could not be kept for `report`: {error}", err=True)


def print_reasons(results: Sequence[HostResult]) -> None:
    """Why hosts did not answer, on standard error."""
    for result in results:
        if result.reason:
            typer.echo(f"jupyfleet: {result.host}: {report.plain(result.reason)}", err=True)


def refuse(reason: str) -> NoReturn:
    """End the program because of wrong usage."""
    typer.echo(f"jupyfleet: {reason}", err=True)
    raise typer.Exit(EXIT_USAGE)


def strategy_of(serial: bool, parallel: int, canary: int, max_failures: int | None) -> Strategy:
    """The strategy that options ask for."""
    return Strategy(1 if serial else parallel, canary, max_failures)


def leave(results: Sequence[HostResult]) -> NoReturn:
    """End the program with the exit code that the results deserve."""
    raise typer.Exit(EXIT_OK if all(result.is_good for result in results) else EXIT_FAILED)


def _log(verbose: bool) -> None:
    """The logs of libraries are for whoever asks for them; without a handler Python would print errors beside ours."""
    for name, level in (("pyinfra", logging.DEBUG), ("paramiko", logging.INFO)):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.addHandler(logging.StreamHandler(sys.stderr) if verbose else logging.NullHandler())
        logger.setLevel(level if verbose else logging.CRITICAL)
    if not verbose:
        # How a thread of paramiko's ended is told by whoever waits for it.
        threading.excepthook = lambda _: None
