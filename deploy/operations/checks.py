"""Verify as an operation, for stock pyinfra: it changes nothing, and fails where a check falls short."""

from __future__ import annotations

from pyinfra import host, logger

from deploy.facts.probe import checks_of_current_host
from deploy.operations import Commands, Refusal, host_operation
from deploy.settings import Settings


@host_operation
def pass_all(settings: Settings) -> Commands:
    """Run the probe, say what it found, and refuse when a check failed."""
    results = checks_of_current_host(settings)
    for result in results:
        logger.info(f"{host.print_prefix}{result.status:<8}{result.id}: {result.detail}")
    failed = [result for result in results if result.status == "failed"]
    if failed:
        yield Refusal("\n".join(f"{result.id}: {result.detail}" for result in failed))
    else:
        host.noop("every check passed")
