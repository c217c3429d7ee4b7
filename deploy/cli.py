"""The program ``jupyfleet``: its commands are in `deploy.commands`.

Exit codes: 0 all good; 1 a host failed or a check fell short; 2 wrong usage or settings, and nothing was touched.
"""

# pyinfra runs its connections in greenlets: this must come before anything that opens a socket or starts a process.
from deploy import startup

startup.prepare()

import gc  # noqa: E402
import importlib.metadata  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from typing import Annotated  # noqa: E402

import gevent  # noqa: E402
import typer  # noqa: E402

_HELP = """
    Turn hosts into collaborative JupyterLab servers that people and AI agents share.

    Every command takes an INVENTORY, a Python file that lists hosts and their settings
    (see docs/settings.md); `inventories/local.py` is this machine, without root.

    Exit codes: 0 all good; 1 a host failed or a check fell short; 2 wrong usage or settings,
    and nothing was touched.
    """

#: Each command and the module of `deploy.commands` with its function, in the order in which ``--help`` lists them.
COMMANDS = {
    "doctor": "doctor",
    "plan": "plan",
    "up": "up",
    "verify": "verify",
    "rollback": "rollback",
    "lock": "lock",
    "outdated": "lock",
    "bundle": "bundle",
    "status": "status",
    "logs": "logs",
    "report": "report",
    "mcp-config": "mcp_config",
    "down": "down",
}
#: Commands with commands of their own, likewise.
GROUPS = {"token": "token"}


def everything() -> list[str]:
    """What the first argument may be."""
    return [*COMMANDS, *GROUPS]


def program(arguments: Sequence[str] = ()) -> typer.Typer:
    """The program; where the arguments begin with a command, with that one alone, since each takes time to load."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        help=_HELP,
    )
    # Without it a program of a single command would take the command's name for an argument.
    app.callback()(_options)
    for name in [arguments[0]] if arguments and arguments[0] in everything() else everything():
        module = importlib.import_module(f"deploy.commands.{GROUPS.get(name) or COMMANDS[name]}")
        if name in GROUPS:
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(getattr(module, name.replace("-", "_")))
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"jupyfleet {importlib.metadata.version('jupyfleet')}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", metavar="", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """What stands before the command."""


def main() -> None:
    """Run the program."""
    # As an exception Ctrl-C would come up in whatever greenlet runs at that moment, and be printed there.
    gevent.signal_handler(signal.SIGINT, gevent.getcurrent().throw, KeyboardInterrupt)
    app = program(sys.argv[1:])
    startup.after_pyinfra()
    gc.freeze()
    gc.enable()
    app()
