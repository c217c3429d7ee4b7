"""The share of a hypervisor, mounted where the workspace is."""

from __future__ import annotations

from typing import Any

from pyinfra import host

from deploy.facts.hostscript import ask, tell
from deploy.operations import Commands, host_operation


@host_operation
def mounted(spec: dict[str, Any]) -> Commands:
    """Have a mount unit, enabled and started. `spec` is that of `jupyfleet_host.share`."""
    actions = ask("share", "look", spec, as_user="root")["actions"]
    if actions:
        yield tell("share", "mount", spec, plan=actions, as_user="root")
    else:
        host.noop(f"{spec['where']} is mounted")


@host_operation
def unmounted(spec: dict[str, Any]) -> Commands:
    """Unmount it, and remove the unit; what is in the share stays."""
    actions = ask("share", "look_back", spec, as_user="root")["actions"]
    if actions:
        yield tell("share", "unmount", spec, plan=actions, as_user="root")
    else:
        host.noop("there is no mount unit")
