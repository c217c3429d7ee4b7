"""Nothing on a host is changed before this has passed."""

from __future__ import annotations

from pyinfra import host

from deploy.facts.machine import Machine
from deploy.operations import Commands, Refusal, host_operation


@host_operation
def passed(machine: Machine) -> Commands:
    """Refuse a host whose Python, directories, port or system do not allow the deploy."""
    if machine.problems:
        yield Refusal("\n".join(machine.problems))
    else:
        host.noop(f"Python {machine.python} on {machine.architecture}")
