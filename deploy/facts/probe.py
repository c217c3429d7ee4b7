"""Proving the current host, in one command that changes nothing."""

from __future__ import annotations

from deploy.checks import CheckResult, probe_spec, results_of
from deploy.facts.hostscript import ANSWER_SECONDS, ask
from deploy.settings import Settings


def checks_of_current_host(settings: Settings) -> list[CheckResult]:
    """Run every check there, and wait for a server that is just starting.

    Raises:
        HostScriptError: the host does not answer.
    """
    seconds = ANSWER_SECONDS + settings.start_timeout
    return results_of(ask("probe", "main", probe_spec(settings), as_user=settings.as_root, seconds=seconds))
