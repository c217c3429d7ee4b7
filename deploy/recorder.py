"""Turning what pyinfra reports, callback by callback and line by line, into the steps of one host."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence

from pyinfra.api import Host, State
from pyinfra.api.state import BaseStateCallback

from deploy.facts import foresight
from deploy.facts.hostscript import CHANGE_SECONDS, HostCommand, lost_after
from deploy.operations import Refusal
from deploy.results import Step, StepState, Watcher
from jupyfleet_host.common import FAILURE, PROGRESS


class Recorder(BaseStateCallback):
    """Turns pyinfra's callbacks, and what commands print, into the steps of one host."""

    def __init__(self, host: str, watcher: Watcher) -> None:
        self.steps: list[Step] = []
        self._host = host
        self._watcher = watcher
        self._began = self._started = time.monotonic()
        self._said: list[str] = []
        #: Takes every line as it is said, for a command whose output is what is wanted.
        self.listener: Callable[[str], object] | None = None

    def begin(self) -> None:
        """The run of this host begins now: the times of its steps count from here."""
        self._began = time.monotonic()

    def progress(self, text: str) -> None:
        self._watcher.progress(self._host, text)

    def hear(self, line: str) -> None:
        """Take one line that a command of the current operation printed."""
        if self.listener:
            self.listener(line)
            return
        line = line.strip()
        if line.startswith(PROGRESS):
            self._watcher.said(self._host, line.removeprefix(PROGRESS))
        else:
            self._said.append(line)

    def plan(self, state: State, host: Host) -> None:
        """Ask every operation what it would do, in their order, and run none of its commands."""
        for op_hash in state.get_op_order():
            self.operation_host_start(state, host, op_hash)
            commands = list(state.ops[host][op_hash].command_generator())
            if refusals := [command.reason for command in commands if isinstance(command, Refusal)]:
                self._add(state, op_hash, "failed", "\n".join(refusals))
                return
            lines = tuple(line for command in commands if isinstance(command, HostCommand) for line in command.plan)
            self._add(state, op_hash, "planned" if commands else "unchanged", "", lines)

    def operation_host_start(self, state: State, host: Host, op_hash: str) -> None:  # type: ignore[override]
        self._started = time.monotonic()
        self._said = []
        self._watcher.progress(self._host, _operation_name(state, op_hash).lower())

    def operation_host_success(self, state: State, host: Host, op_hash: str, retry_count: int = 0) -> None:  # type: ignore[override]
        # An operation that yields no command changed nothing; each of ours prints its result when it did.
        if self._said:
            foresight.forget(host)
        self._add(state, op_hash, "changed" if self._said else "unchanged", summary_of(self._said))

    def operation_host_error(  # type: ignore[override]
        self, state: State, host: Host, op_hash: str, retry_count: int = 0, max_retries: int = 0
    ) -> None:
        seconds = time.monotonic() - self._started
        self._add(state, op_hash, "failed", reason_of(self._said) or lost_after(seconds, CHANGE_SECONDS))

    def _add(self, state: State, op_hash: str, became: StepState, detail: str, plan: tuple[str, ...] = ()) -> None:
        seconds = time.monotonic() - self._started
        step = Step(_operation_name(state, op_hash), became, seconds, detail, plan, self._started - self._began)
        self.steps.append(step)
        self._watcher.step(self._host, step)


def _operation_name(state: State, op_hash: str) -> str:
    [name, *_] = state.get_op_meta(op_hash).names
    return str(name).rpartition(" | ")[2]


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
    """Why a command failed: the reason that a host script gives, or else the end of what was printed, if anything.

    The answer of one that did its work is no reason: then the connection was lost before its exit code came.
    """
    reasons = [line.removeprefix(FAILURE) for line in said if line.startswith(FAILURE)]
    return "\n".join(reasons or [line for line in said if not line.startswith('{"result":')][-10:])
