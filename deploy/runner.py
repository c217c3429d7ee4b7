"""Driving pyinfra: one State per host, so that hosts neither wait for nor harm each other.

gevent must be patched before this module is imported (`deploy.cli` does): pyinfra's connections run in greenlets.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import gevent
from gevent.local import local
from gevent.pool import Pool
from pyinfra import logger
from pyinfra.api import Host, Inventory, State
from pyinfra.api.deploy import add_deploy
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.operations import run_ops
from pyinfra.api.output import set_echo
from pyinfra.api.state import StateStage
from pyinfra.context import ctx_host, ctx_inventory, ctx_state

from deploy import connection
from deploy.facts import foresight
from deploy.facts.foresight import Question
from deploy.facts.hostscript import LOST, ask, ask_all
from deploy.facts.probe import checks_of_current_host
from deploy.inventory import SiteHost
from deploy.operations import locking
from deploy.recorder import Recorder
from deploy.results import HostResult, Step, Watcher

#: How many hosts are worked on at once; each costs a connection and little else.
PARALLEL = 50


class Work(StrEnum):
    """What a run does with a deploy."""

    APPLY = "apply"
    PLAN = "plan"


@dataclass(frozen=True)
class Strategy:
    """In which order hosts are worked on, and when the rest is left alone.

    The first `canary` hosts must end well before any other begins; with more than `max_failures` hosts that did not,
    no further one begins.
    """

    parallel: int = PARALLEL
    canary: int = 0
    max_failures: int | None = None


#: A job on one host that is connected: it fills in the result, and raises where it fails.
Job = Callable[[State, Host, SiteHost, HostResult, Recorder], None]


def run_site(
    hosts: Sequence[SiteHost],
    deploy: Callable[[], object] | None,
    *,
    work: Work = Work.APPLY,
    verify: bool,
    watcher: Watcher,
    strategy: Strategy | None = None,
) -> list[HostResult]:
    """Deploy to every host at once, and verify those where that went well; results are in the order of the hosts.

    With `Work.PLAN` every host is only asked what the deploy would do.
    """

    def job(state: State, host: Host, site_host: SiteHost, result: HostResult, recorder: Recorder) -> None:
        if deploy is not None:
            _deploy(state, host, deploy, work, recorder)
            result.state = next((step.state for step in result.steps if step.state != "unchanged"), "unchanged")
        if verify:
            watcher.progress(result.host, "verifying")
            settings = site_host.settings
            with ctx_host.use(host):
                result.checks = checks_of_current_host(settings)

    return run_job(hosts, job, watcher=watcher, strategy=strategy or Strategy())


def ask_site(
    hosts: Sequence[SiteHost], question: Callable[[SiteHost], Question], *, watcher: Watcher
) -> list[HostResult]:
    """Ask every host one question; what it answers is the `answer` of its result."""

    def job(state: State, host: Host, site_host: SiteHost, result: HostResult, recorder: Recorder) -> None:
        with ctx_host.use(host):
            wanted = question(site_host)
            result.answer = ask(wanted.module, wanted.function, json.loads(wanted.spec), as_user=wanted.as_user)

    return run_job(hosts, job, watcher=watcher, strategy=Strategy())


def run_job(hosts: Sequence[SiteHost], job: Job, *, watcher: Watcher, strategy: Strategy) -> list[HostResult]:
    """Do a job on every host, each in a connection of its own; results are in the order of the hosts."""
    # pyinfra keeps the current state in one place for all greenlets; with a state per host each needs its own.
    for context in (ctx_state, ctx_inventory):
        context.context._container = local()
    # Its spinner would write over our own lines.
    os.environ["PYINFRA_PROGRESS"] = "off"
    recorders = {host.name: Recorder(host.name, watcher) for host in hosts}
    set_echo(functools.partial(_hand_on, recorders))
    results: list[HostResult] = []
    failures: list[str] = []

    def run(host: SiteHost) -> HostResult:
        if reason := _reason_to_skip(failures, strategy, canary=host in hosts[: strategy.canary]):
            result = HostResult(host.name, "skipped", reason=reason)
            watcher.finished(result)
            return result
        result = _run_host(host, job, recorders[host.name], watcher)
        if not result.is_good:
            failures.append(host.name)
        return result

    for some in (hosts[: strategy.canary], hosts[strategy.canary :]):
        pool = Pool(strategy.parallel)
        greenlets = [pool.spawn(run, host) for host in some]
        try:
            pool.join()
        except BaseException:
            # Ctrl-C: what is told of the hosts from here on is nobody's business any more.
            gevent.killall(greenlets, block=False)
            raise
        results += [greenlet.get() for greenlet in greenlets]
    return results


def _reason_to_skip(failures: Sequence[str], strategy: Strategy, *, canary: bool) -> str | None:
    if strategy.canary and failures and not canary:
        return f"the canary {failures[0]} did not end well, so this host was left alone"
    if strategy.max_failures is not None and len(failures) > strategy.max_failures:
        return f"{len(failures)} hosts did not end well, {failures[-1]} the last, so this host was left alone"
    return None


def _hand_on(recorders: Mapping[str, Recorder], message: str = "", **_options: Any) -> None:
    """pyinfra prints every line of a command behind the name of its host."""
    name, _, line = message.removeprefix("[").partition("] ")
    if name in recorders:
        recorders[name].hear(line)


def _run_host(site_host: SiteHost, job: Job, recorder: Recorder, watcher: Watcher) -> HostResult:
    started = time.monotonic()
    recorder.begin()
    result = HostResult(site_host.name, steps=recorder.steps)
    inventory = Inventory(([(site_host.name, connection.data_with_defaults(site_host.data))], {}))
    state = State(inventory, connection.configuration(), check_for_changes=False)
    state.add_callback_handler(recorder)
    state.print_output = True
    watcher.progress(site_host.name, "connecting")
    with ctx_state.use(state), ctx_inventory.use(inventory):
        try:
            job(state, connection.connect(state), site_host, result, recorder)
        except connection.UnreachableError as error:
            result.state, result.reason = "unreachable", str(error)
        except PyinfraError as error:
            result.state, result.reason = "failed", reason_of(error, result.steps, is_lost=connection.is_lost(state))
        except connection.LOSSES:
            logger.debug("connection to %s", result.host, exc_info=True)
            result.state, result.reason = "failed", LOST
        except Exception as error:
            # A mistake of jupyfleet's own must end neither the other hosts nor the report.
            logger.debug("unexpected error on %s", result.host, exc_info=True)
            result.state, result.reason = "failed", f"unexpected {type(error).__name__}: {error} (more with --verbose)"
        finally:
            for host in inventory:
                locking.let_go(host)
            connection.disconnect(state)
    result.seconds = time.monotonic() - started
    watcher.finished(result)
    return result


def reason_of(error: PyinfraError, steps: Sequence[Step], *, is_lost: bool = False) -> str:
    """Why a host failed. pyinfra's own words are only "No hosts remaining"."""
    if failed := [step.detail for step in steps if step.state == "failed"]:
        return failed[-1]
    if is_lost:
        return LOST
    # No command failed, so what kept pyinfra from running one: that it sends no files, for example.
    return str(error.__context__ if isinstance(error.__context__, PyinfraError) else error)


def _deploy(state: State, host: Host, deploy: Callable[[], object], work: Work, recorder: Recorder) -> None:
    """Run the operations of a deploy, or only ask them.

    Raises:
        PyinfraError: one of them failed, or would.
    """
    add_deploy(state, deploy)
    state.set_stage(StateStage.Execute)
    recorder.progress("looking")
    with ctx_host.use(host):
        operations = (state.ops[host][op_hash].command_generator() for op_hash in state.get_op_order())
        if questions := foresight.first_questions(host, operations):
            foresight.remember(host, ask_all(questions))
        if work is Work.PLAN:
            recorder.plan(state, host)
    if work is Work.APPLY:
        # 'serial' is over the hosts of one state, and keeps the operations in this greenlet with its state.
        run_ops(state, serial=True)
    elif any(step.state == "failed" for step in recorder.steps):
        raise PyinfraError("the host refuses")
