"""The certificate of a server that speaks HTTPS."""

from __future__ import annotations

from typing import Any

from pyinfra import host

from deploy.facts.hostscript import ask, tell
from deploy.operations import Commands, host_operation


@host_operation
def usable(spec: dict[str, Any], contents: dict[str, str] | None, as_user: str | None) -> Commands:
    """Have a certificate that holds for the host, and will for a while. `spec` is `jupyfleet_host.certificate`'s.

    `contents` are the `certificate` and `key` to send, if any: only what is asked about them is part of a question.
    """
    actions = ask("certificate", "look", spec, as_user=as_user)["actions"]
    if actions:
        todo, extra = ("lay_down", {"contents": contents}) if contents else ("make", {})
        yield tell("certificate", todo, spec | extra, plan=actions, as_user=as_user)
    else:
        host.noop(f"{spec['certificate']} can be used")
