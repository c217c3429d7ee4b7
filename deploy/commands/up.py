"""``jupyfleet up``: provision and prove."""

from __future__ import annotations

from deploy import report, site
from deploy.commands import common


def up(
    inventory: common.Inventory,
    limit: common.Limit = None,
    data: common.Data = None,
    json: common.Json = False,
    verbose: common.Verbose = False,
) -> None:
    """Provision every host, and prove it.

    Run it again at any time: what is as it should be is left alone, and what was interrupted is finished.

    Example: `jupyfleet up inventories/local.py --data jupyter_profile=full`
    """
    hosts = common.load(inventory, limit, data, verbose)
    results = common.run("up", hosts, site.up, verify=True, as_json=json)
    if not json and len(hosts) == 1 and results[0].is_good:
        report.print_way_in(report.console(), hosts[0])
    common.leave(results)
