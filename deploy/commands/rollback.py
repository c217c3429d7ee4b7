"""``jupyfleet rollback``: the release before, at once."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy import site
from deploy.commands import common


def rollback(
    inventory: common.Inventory,
    to: Annotated[
        str | None,
        typer.Option(help="The release to go to, by its first digits; else the one before.", metavar="ID"),
    ] = None,
    limit: common.Limit = None,
    data: common.Data = None,
    json: common.Json = False,
    verbose: common.Verbose = False,
) -> None:
    """Switch every host to the release that was active before, restart, and prove it.

    Nothing is installed or downloaded. A release that fails its checks is taken back, and the host stays as it was.
    The next `up` goes to the release that the settings want again.

    Example: `jupyfleet rollback inventories/local.py`
    """
    hosts = common.load(inventory, limit, data, verbose)
    common.leave(common.run("rollback", hosts, lambda: site.rollback(to=to), verify=True, as_json=json))
