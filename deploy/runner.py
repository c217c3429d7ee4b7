"""Driving pyinfra: one State per host, so that hosts neither wait for nor harm each other.

gevent must be patched before this module is imported (`deploy.cli` does): pyinfra's connections run in greenlets.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

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

from deploy.checks import CheckResult, probe_spec, results_of
from deploy.facts.hostscript import ask
from deploy.inventory import SiteHost
from jupyfleet_host.common import FAILURE, PROGRESS

StepState = Literal["changed", "unchanged", "failed"]
HostState = Literal["ok", "changed", "unchanged", "failed", "unreachable"]

#: How many hosts are worked on at once; each costs a connection and little else.
_PARALLEL = 50


@dataclass(frozen=True)
class Step:
    """One operation on one host: what became of it, in seconds, with its summary or the reason of its failure."""

    name: str
    state: StepState
    seconds: float
    detail: str


@dataclass
class HostResult:
    """What happened on one host. `reason` says why, when the state is failed or unreachable."""

    host: str
    state: HostState = "ok"
    steps: list[Step] = field(default_factory=list)
    checks: list[CheckResult] = field(default_factory=list)
    reason: str = ""
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        return self.state not in ("failed", "unreachable") and all(check.status != "failed" for check in self.checks)


class Watcher(Protocol):
    """Whoever wants to know what happens while it happens."""

    def progress(self, host: str, text: str) -> None: ...

    def step(self, host: str, step: Step) -> None: ...

    def finished(self, result: HostResult) -> None: ...


def run_site(
    hosts: Sequence[SiteHost], deploy: Callable[[], object] | None, *, verify: bool, watcher: Watcher
) -> list[HostResult]:
    """Deploy to every host at once, and verify those where that went well; results are in the order of the hosts."""
    # pyinfra keeps the current state in one place for all greenlets; with a state per host each needs its own.
    ctx_state.context._container = local()
    # Its spinner would write over our own lines.
    os.environ["PYINFRA_PROGRESS"] = "off"
    recorders = {host.name: _Recorder(host.name, watcher) for host in hosts}
    set_echo(functools.partial(_hand_on, recorders))
    pool = Pool(_PARALLEL)
    greenlets = [pool.spawn(_run_host, host, deploy, verify, recorders[host.name], watcher) for host in hosts]
    pool.join()
    return [greenlet.get() for greenlet in greenlets]


class _Recorder(BaseStateCallback):
    """Turns pyinfra's callbacks, and what commands print, into the steps of one host."""

    def __init__(self, host: str, watcher: Watcher) -> None:
        self.steps: list[Step] = []
        self._host = host
        self._watcher = watcher
        self._started = 0.0
        self._said: list[str] = []

    def hear(self, line: str) -> None:
        """Take one line that a command of the current operation printed."""
        if line.startswith(PROGRESS):
            self._watcher.progress(self._host, line.removeprefix(PROGRESS))
        else:
            self._said.append(line)

    def operation_host_start(self, state: State, host: Host, op_hash: str) -> None:  # type: ignore[override]
        self._started = time.monotonic()
        self._said = []
        self._watcher.progress(self._host, _operation_name(state, op_hash).lower())

    def operation_host_success(self, state: State, host: Host, op_hash: str, retry_count: int = 0) -> None:  # type: ignore[override]
        # An operation that yields no command changed nothing; each of ours prints its result when it did.
        self._add(state, op_hash, "changed" if self._said else "unchanged", summary_of(self._said))

    def operation_host_error(  # type: ignore[override]
        self, state: State, host: Host, op_hash: str, retry_count: int = 0, max_retries: int = 0
    ) -> None:
        self._add(state, op_hash, "failed", reason_of(self._said))

    def _add(self, state: State, op_hash: str, became: StepState, detail: str) -> None:
        seconds = time.monotonic() - self._started
        step = Step(_operation_name(state, op_hash), became, seconds, detail)
        self.steps.append(step)
        self._watcher.step(self._host, step)


def _operation_name(state: State, op_hash: str) -> str:
    [name, *_] = state.get_op_meta(op_hash).names
    return str(name).rpartition(" | ")[2]


def _hand_on(recorders: Mapping[str, _Recorder], message: str = "", **_options: Any) -> None:
    """pyinfra prints every line of a command behind the name of its host."""
    name, _, line = message.removeprefix("[").partition("] ")
    if name in recorders:
        recorders[name].hear(line.strip())


def summary_of(said: Sequence[str]) -> str:
    """What a host script that succeeded says of its work, if anything."""
    for line in reversed(said):
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if isinstance(answer, dict) and isinstance(answer.get("result"), dict):
            return str(answer["result"].get("summary", ""))
    return ""


def reason_of(said: Sequence[str]) -> str:
    """Why a command failed: the reason that a host script gives, or else the end of what was printed."""
    reasons = [line.removeprefix(FAILURE) for line in said if line.startswith(FAILURE)]
    return "\n".join(reasons or said[-10:]) or "it failed and said nothing"


def _run_host(
    site_host: SiteHost, deploy: Callable[[], object] | None, verify: bool, recorder: _Recorder, watcher: Watcher
) -> HostResult:
    started = time.monotonic()
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
                # 'serial' is over the hosts of one state, and keeps the operations in this greenlet with its state.
                run_ops(state, serial=True)
                result.state = "changed" if any(step.state == "changed" for step in result.steps) else "unchanged"
            if verify:
                watcher.progress(result.host, "verifying")
                with ctx_host.use(inventory.get_host(site_host.name)):
                    result.checks = results_of(ask("probe", "main", probe_spec(site_host.settings)))
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
