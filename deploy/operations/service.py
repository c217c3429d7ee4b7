"""The server as a program of supervisord."""

from __future__ import annotations

from typing import Any

from pyinfra import host

from deploy.facts.hostscript import ask, tell
from deploy.operations import Commands, host_operation
from jupyfleet_host.common import plural


@host_operation
def running(spec: dict[str, Any], proof: dict[str, Any], as_user: str | None) -> Commands:
    """Have supervisord run with its files as they are, and the program RUNNING; restart only what changed.

    A release that was just made active has to pass every check; else the one before it is put back, and the host
    fails. `spec` is that of `jupyfleet_host.service.ensure`, `proof` that of `jupyfleet_host.rollback.prove`.
    """
    state = ask("service", "state", spec, as_user=as_user)
    actions = state["actions"]
    if state["unproven"]:
        release, before = state["unproven"]
        trial = f"check release {release}, and put {before} back should it fail"
        yield tell("rollback", "prove", proof, plan=[*actions, trial], as_user=as_user)
    elif actions:
        yield tell("service", "ensure", spec, plan=actions, as_user=as_user)
    else:
        host.noop(f"{spec['program']} is RUNNING")


@host_operation
def stopped(spec: dict[str, Any], as_user: str | None) -> Commands:
    """End supervisord and every process of the site. `spec` is that of `jupyfleet_host.service.stop`."""
    pids = ask("service", "processes_of_site", spec, as_user=as_user)["pids"]
    if pids:
        plan = [f"end {plural(len(pids), 'process', 'processes')} of the site"]
        yield tell("service", "stop", spec, plan=plan, as_user=as_user)
    else:
        host.noop("nothing runs")
