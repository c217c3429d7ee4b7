"""Nothing on a host is changed before this has passed."""

from __future__ import annotations

from pyinfra import host

from deploy.facts.hostscript import ask
from deploy.operations import Commands, host_operation, refusal
from deploy.settings import Settings


@host_operation
def passed(settings: Settings) -> Commands:
    """Refuse a host whose Python, directories or port do not allow the deploy."""
    names = {"home", "workspace", "bind", "port", "python"}
    report = ask("preflight", "check", settings.model_dump(include=names))
    if report["problems"]:
        yield refusal("\n".join(report["problems"]))
    else:
        host.noop(f"Python {report['python']} on {report['machine']}")
