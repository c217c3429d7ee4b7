"""``jupyfleet down``: stop and remove."""

from __future__ import annotations

from rich.markup import escape

from deploy import report, site
from deploy.commands import common
from deploy.runner import PARALLEL


def down(
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
    """Stop every host's server and remove what was deployed. The workspace stays.

    Example: `jupyfleet down inventories/local.py`
    """
    hosts = common.load(inventory, limit, data, verbose)
    strategy = common.strategy_of(serial, parallel, canary, max_failures)
    results = common.run("down", hosts, site.down, verify=False, as_json=json, strategy=strategy)
    if not json and all(result.is_good for result in results):
        for host in hosts:
            stays = f"The workspace stays: {escape(host.settings.workspace)}"
            report.console().print(stays, highlight=False, soft_wrap=True)
    common.leave(results)
