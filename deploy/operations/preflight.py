"""Nothing on a host is changed before this has passed."""

from __future__ import annotations

from pyinfra import host

from deploy.facts.hostscript import ask
from deploy.operations import Commands, Refusal, host_operation
from deploy.settings import Settings


@host_operation
def passed(settings: Settings) -> Commands:
    """Refuse a host whose Python, directories or port do not allow the deploy."""
    names = {"home", "workspace", "bind", "port", "python"}
    spec = settings.model_dump(include=names) | {"lock_file": str(settings.paths.lock)}
    report = ask("preflight", "check", spec)
    if report["problems"]:
        yield Refusal("\n".join(report["problems"]))
    else:
        host.noop(f"Python {report['python']} on {report['machine']}")
