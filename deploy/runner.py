"""Driving pyinfra: one State per host, so that hosts neither wait for nor harm each other.

gevent must be patched before this module is imported (`deploy.cli` does): pyinfra's connections run in greenlets.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from gevent.local import local
from gevent.pool import Pool
from pyinfra import logger
from pyinfra.api import Config, Host, Inventory, State
from pyinfra.api.connect import connect_all, disconnect_all
from pyinfra.api.deploy import add_deploy
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.operations import run_ops
from pyinfra.api.output import set_echo
from pyinfra.api.state import BaseStateCallback, StateStage
from pyinfra.context import ctx_host, ctx_inventory, ctx_state

from deploy.checks import probe_spec, results_of
from deploy.facts.hostscript import ask
from deploy.inventory import SiteHost
from deploy.recorder import Recorder
from deploy.results import HostResult, Watcher

#: How many hosts are worked on at once; each costs a connection and little else.
_PARALLEL = 50


class Work(StrEnum):
    """What a run does with a deploy."""

    APPLY = "apply"
    PLAN = "plan"


def run_site(
    hosts: Sequence[SiteHost],
    deploy: Callable[[], object] | None,
    *,
    work: Work = Work.APPLY,
    verify: bool,
    watcher: Watcher,
) -> list[HostResult]:
    """Deploy to every host at once, and verify those where that went well; results are in the order of the hosts.

    With `Work.PLAN` every host is only asked what the deploy would do.
    """
    # pyinfra keeps the current state in one place for all greenlets; with a state per host each needs its own.
    ctx_state.context._container = local()
    # Its spinner would write over our own lines.
    os.environ["PYINFRA_PROGRESS"] = "off"
    recorders = {host.name: Recorder(host.name, watcher) for host in hosts}
    set_echo(functools.partial(_hand_on, recorders))
    pool = Pool(_PARALLEL)
    greenlets = [pool.spawn(_run_host, host, deploy, work, verify, recorders[host.name], watcher) for host in hosts]
    pool.join()
    return [greenlet.get() for greenlet in greenlets]


def _hand_on(recorders: Mapping[str, Recorder], message: str = "", **_options: Any) -> None:
    """pyinfra prints every line of a command behind the name of its host."""
    name, _, line = message.removeprefix("[").partition("] ")
    if name in recorders:
        recorders[name].hear(line.strip())


def _run_host(
    site_host: SiteHost,
    deploy: Callable[[], object] | None,
    work: Work,
    verify: bool,
    recorder: Recorder,
    watcher: Watcher,
) -> HostResult:
    started, settings = time.monotonic(), site_host.settings
    result = HostResult(site_host.name, steps=recorder.steps)
    inventory = Inventory(([(site_host.name, dict(site_host.data))], {}))
    state = State(inventory, Config(FAIL_PERCENT=0), check_for_changes=False)
    state.add_callback_handler(recorder)
    state.print_output = True
    with ctx_state.use(state), ctx_inventory.use(inventory):
        try:
            _connect(state)
            if deploy is not None:
                add_deploy(state, deploy)
                state.set_stage(StateStage.Execute)
                _work(state, work, recorder)
                result.state = next((step.state for step in result.steps if step.state != "unchanged"), "unchanged")
            if verify:
                watcher.progress(result.host, "verifying")
                with ctx_host.use(inventory.get_host(site_host.name)):
                    result.checks = results_of(ask("probe", "main", probe_spec(settings), as_user=settings.as_root))
        except _UnreachableError as error:
            result.state, result.reason = "unreachable", str(error)
        except PyinfraError as error:
            # pyinfra's own words are only "No hosts remaining": the step that failed has the reason.
            failed = [step.detail for step in result.steps if step.state == "failed"]
            result.state, result.reason = "failed", failed[-1] if failed else str(error)
        except Exception as error:
            # A mistake of jupyfleet's own must end neither the other hosts nor the report.
            logger.debug("unexpected error on %s", result.host, exc_info=True)
            result.state, result.reason = "failed", f"unexpected {type(error).__name__}: {error} (more with --verbose)"
        finally:
            disconnect_all(state)
    result.seconds = time.monotonic() - started
    watcher.finished(result)
    return result


def _work(state: State, work: Work, recorder: Recorder) -> None:
    """Run the operations of a state, or only ask them.

    Raises:
        PyinfraError: one of them failed, or would.
    """
    if work is Work.APPLY:
        # 'serial' is over the hosts of one state, and keeps the operations in this greenlet with its state.
        run_ops(state, serial=True)
        return
    [host] = state.inventory
    with ctx_host.use(host):
        recorder.plan(state, host)
    if any(step.state == "failed" for step in recorder.steps):
        raise PyinfraError("the host refuses")


class _UnreachableError(Exception):
    """There is no connection to a host."""


class _ConnectErrors(BaseStateCallback):
    """Keeps what pyinfra only logs."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def host_connect_error(self, state: State, host: Host, error: Exception) -> None:  # type: ignore[override]
        self.reasons.append(str(error))


def _connect(state: State) -> None:
    errors = _ConnectErrors()
    state.add_callback_handler(errors)
    state.set_stage(StateStage.Connect)
    try:
        connect_all(state)
    except PyinfraError as error:
        raise _UnreachableError(errors.reasons[0] if errors.reasons else str(error)) from error
    state.set_stage(StateStage.Prepare)
