"""Nothing on a host is changed before this has passed."""

from __future__ import annotations

from pyinfra import host

from deploy.facts.hostscript import ask
from deploy.facts.machine import Machine, preflight_spec
from deploy.operations import Commands, Refusal, host_operation
from deploy.settings import Settings


@host_operation
def passed(machine: Machine, settings: Settings) -> Commands:
    """Refuse a host whose Python, directories, port or system do not allow the deploy.

    A machine that was asked before is not asked again.
    """
    problems, python, architecture = list(machine.problems), machine.python, machine.architecture
    if not problems and not python:
        report = ask("preflight", "check", preflight_spec(settings), as_user=settings.as_root)
        problems, python, architecture = report["problems"], report["python"], report["machine"]
    if problems:
        yield Refusal("\n".join(problems))
    else:
        host.noop(f"Python {python} on {architecture}")
