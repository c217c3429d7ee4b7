"""``jupyfleet verify``: run every check."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.commands import common
from deploy.commands.common import Format


def verify(
    inventory: common.Inventory,
    limit: common.Limit = None,
    data: common.Data = None,
    format: Annotated[Format, typer.Option(help="How to print the results.")] = Format.TABLE,  # noqa: A002
    json: common.Json = False,
    verbose: common.Verbose = False,
) -> None:
    """Prove every host, and change nothing.

    One remote command per host runs all checks: the environment, the workspace, the service, JupyterLab, and MCP with
    and without the token.

    Example: `jupyfleet verify inventories/local.py --format junit > report.xml`
    """
    hosts = common.load(inventory, limit, data, verbose)
    as_json = json or format is not Format.TABLE
    common.leave(common.run("verify", hosts, None, verify=True, as_json=as_json, format=format, inventory=inventory))
