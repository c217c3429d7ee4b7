"""``jupyfleet plan``: what ``up`` would do."""

from __future__ import annotations

import functools

from deploy import site
from deploy.commands import common
from deploy.runner import Work


def plan(
    inventory: common.Inventory,
    limit: common.Limit = None,
    data: common.Data = None,
    json: common.Json = False,
    verbose: common.Verbose = False,
) -> None:
    """Say what `up` would change on every host, with the differences of files, and change nothing.

    Example: `jupyfleet plan inventories/local.py --data jupyter_profile=full`
    """
    hosts = common.load(inventory, limit, data, verbose)
    deploy = functools.partial(site.up, planning=True)
    common.leave(common.run("plan", hosts, deploy, work=Work.PLAN, verify=False, as_json=json, inventory=inventory))
