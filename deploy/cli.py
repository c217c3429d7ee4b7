"""The program ``jupyfleet``: its commands are in `deploy.commands`.

Exit codes: 0 all good; 1 a host failed or a check fell short; 2 wrong usage or settings, and nothing was touched.
"""

# pyinfra runs its connections in greenlets: this must come before anything that opens a socket or starts a process.
from gevent import monkey

monkey.patch_all()

import signal  # noqa: E402

import gevent  # noqa: E402
import typer  # noqa: E402

from deploy.commands import token  # noqa: E402
from deploy.commands.bundle import bundle  # noqa: E402
from deploy.commands.doctor import doctor  # noqa: E402
from deploy.commands.down import down  # noqa: E402
from deploy.commands.lock import lock, outdated  # noqa: E402
from deploy.commands.logs import logs  # noqa: E402
from deploy.commands.mcp_config import mcp_config  # noqa: E402
from deploy.commands.plan import plan  # noqa: E402
from deploy.commands.report import report  # noqa: E402
from deploy.commands.rollback import rollback  # noqa: E402
from deploy.commands.status import status  # noqa: E402
from deploy.commands.up import up  # noqa: E402
from deploy.commands.verify import verify  # noqa: E402

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

#: In the order in which ``--help`` lists them.
for _command in (doctor, plan, up, verify, rollback, lock, outdated, bundle, status, logs, report, mcp_config, down):
    app.command()(_command)
app.add_typer(token.app, name="token")


def main() -> None:
    """Run the program."""
    # As an exception Ctrl-C would come up in whatever greenlet runs at that moment, and be printed there.
    gevent.signal_handler(signal.SIGINT, gevent.getcurrent().throw, KeyboardInterrupt)
    app()
