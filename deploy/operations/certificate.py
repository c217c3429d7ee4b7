"""The certificate of a server that speaks HTTPS."""

from __future__ import annotations

from typing import Any

from pyinfra import host

from deploy.facts.hostscript import ask, tell
from deploy.operations import Commands, host_operation


@host_operation
def usable(spec: dict[str, Any], as_user: str | None) -> Commands:
    """Have a certificate that holds for the host, and will for a while. `spec` is `jupyfleet_host.certificate`'s."""
    actions = ask("certificate", "look", spec, as_user=as_user)["actions"]
    if actions:
        yield tell("certificate", "make", spec, plan=actions, as_user=as_user)
    else:
        host.noop(f"{spec['certificate']} can be used")
