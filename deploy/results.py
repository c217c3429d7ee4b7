"""What a run finds out, host by host and step by step: plain data for reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from deploy.checks import CheckResult

StepState = Literal["changed", "unchanged", "failed", "planned"]
HostState = Literal["ok", "changed", "unchanged", "failed", "skipped", "unreachable", "planned"]


@dataclass(frozen=True)
class Step:
    """One operation on one host: what became of it, in seconds, with its summary or the reason of its failure.

    Of a step that is only planned, `plan` says line by line what it would do. `began` counts from the beginning of the
    host's run, in seconds.
    """

    name: str
    state: StepState
    seconds: float
    detail: str
    plan: tuple[str, ...] = ()
    began: float = 0.0


@dataclass
class HostResult:
    """What happened on one host.

    `reason` says why, when the state is failed, skipped or unreachable; `answer` is what it said to a single question.
    """

    host: str
    state: HostState = "ok"
    steps: list[Step] = field(default_factory=list)
    checks: list[CheckResult] = field(default_factory=list)
    reason: str = ""
    seconds: float = 0.0
    answer: dict[str, Any] | None = None

    @property
    def is_good(self) -> bool:
        return self.state not in ("failed", "skipped", "unreachable") and all(
            check.status != "failed" for check in self.checks
        )


class Watcher(Protocol):
    """Whoever wants to know what happens while it happens."""

    def progress(self, host: str, text: str) -> None:
        """What is being done on a host."""

    def said(self, host: str, text: str) -> None:
        """What a host says itself while it works on something that takes long."""

    def step(self, host: str, step: Step) -> None:
        """A step has come to its end."""

    def finished(self, result: HostResult) -> None:
        """A host has."""
