"""The server as a program of supervisord."""

from __future__ import annotations

from typing import Any

from pyinfra import host

from deploy.facts.hostscript import ask, tell
from deploy.operations import Commands, host_operation


@host_operation
def running(spec: dict[str, Any]) -> Commands:
    """Have supervisord run with its files as they are, and the program RUNNING; restart only what changed.

    `spec` is that of `jupyfleet_host.service.ensure`.
    """
    actions = ask("service", "state", spec)["actions"]
    if actions:
        yield tell("service", "ensure", spec, plan=actions)
    else:
        host.noop(f"{spec['program']} is RUNNING")


@host_operation
def stopped(spec: dict[str, Any]) -> Commands:
    """End supervisord and every process of the site. `spec` is that of `jupyfleet_host.service.stop`."""
    pids = ask("service", "processes_of_site", spec)["pids"]
    if pids:
        yield tell("service", "stop", spec, plan=[f"end {len(pids)} processes of the site"])
    else:
        host.noop("nothing runs")
