"""Firewall and SELinux of a host, made to let the server through, and back again."""

from __future__ import annotations

from typing import Any

from pyinfra import host

from deploy.facts.hostscript import ask, tell
from deploy.operations import Commands, host_operation


@host_operation
def adjusted(spec: dict[str, Any]) -> Commands:
    """Open the port where firewalld runs, and label where SELinux is on. `spec` is `jupyfleet_host.protection`'s."""
    actions = ask("protection", "look", spec, as_user="root")["actions"]
    if actions:
        yield tell("protection", "adjust", spec, plan=actions, as_user="root")
    else:
        host.noop("firewall and SELinux let the server through")


@host_operation
def restored(spec: dict[str, Any]) -> Commands:
    """Take back what `adjusted` did."""
    actions = ask("protection", "look_back", spec, as_user="root")["actions"]
    if actions:
        yield tell("protection", "restore", spec, plan=actions, as_user="root")
    else:
        host.noop("firewall and SELinux know nothing of the server")
