"""``jupyfleet up``: provision and prove."""

from __future__ import annotations

from deploy import report, site
from deploy.commands import common
from deploy.runner import PARALLEL


def up(
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
    """Provision every host, and prove it.

    Run it again at any time: what is as it should be is left alone, and what was interrupted is finished.

    Hosts neither wait for nor harm each other: a step that fails stops its own host only, and the run goes on.

    Examples: `jupyfleet up inventories/local.py --data jupyter_profile=full`;
    `jupyfleet up inventories/lab.py --canary 1 --max-failures 2`
    """
    hosts = common.load(inventory, limit, data, verbose)
    strategy = common.strategy_of(serial, parallel, canary, max_failures)
    results = common.run("up", hosts, site.up, verify=True, as_json=json, strategy=strategy, inventory=inventory)
    if not json and len(hosts) == 1 and results[0].is_good:
        report.print_way_in(report.console(), hosts[0], inventory)
    common.leave(results)
