"""What was measured, as one table for people and as JSON. Pure: from rows and goals to text."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from .measure import Series

__all__ = ["Goal", "Outcome", "Row", "as_json", "as_text"]


@dataclass(frozen=True)
class Row:
    """A line of the table. `ours` and `peer` are what was measured, or a remark why nothing was."""

    what: str
    ours: Series | str
    peer: Series | str


@dataclass(frozen=True)
class Goal:
    """`found` has to be at most (or at least) `limit`; None when there was nothing to compare with."""

    what: str
    limit: float
    unit: str
    found: float | None
    at_least: bool = False
    remark: str = ""

    @property
    def reached(self) -> bool | None:
        if self.found is None:
            return None
        return self.found >= self.limit if self.at_least else self.found <= self.limit


@dataclass
class Outcome:
    """What a scenario gives."""

    rows: list[Row] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)


def _milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    value = seconds * 1000
    return f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"


def _cells(side: Series | str) -> list[str]:
    if isinstance(side, str):
        return [side, "", "", ""]
    if not side.latencies:
        return ["no right answer", "", "", ""]
    rate = "-" if side.per_second is None else f"{side.per_second:.1f}/s"
    return [_milliseconds(side.p50), _milliseconds(side.p95), _milliseconds(side.cpu_per_call), rate]


def _ratio(row: Row) -> str:
    if isinstance(row.ours, str) or isinstance(row.peer, str):
        return "-"
    if row.ours.per_second is not None and row.peer.per_second is not None:
        return f"{row.ours.per_second / row.peer.per_second:.1f}× the rate" if row.peer.per_second else "-"
    if not row.ours.latencies or not row.peer.latencies:
        return "-"
    return f"{row.ours.p50 / row.peer.p50:.2f}×"


def _table(lines: list[list[str]]) -> list[str]:
    # A remark takes the room of its neighbours, so it does not widen its own column.
    remark = 14
    widths = [
        max(len(line[column]) for line in lines if len(line[column]) <= remark or not column)
        for column in range(len(lines[0]))
    ]
    text = []
    for line in lines:
        parts, owed = [], 0
        for column, (value, width) in enumerate(zip(line, widths, strict=True)):
            left = not column or len(value) > width
            part = value.ljust(width) if left else value.rjust(max(width - owed, 0))
            owed = max(owed + len(part) - width, 0)
            parts.append(part)
        text.append("  ".join(parts).rstrip())
    return text


def as_text(rows: list[Row], goals: list[Goal], about: dict[str, Any]) -> str:
    """The table, the goals, and where it was measured."""
    header = ["", "ours p50", "p95", "CPU/call", "rate", "peer p50", "p95", "CPU/call", "rate", "ours/peer"]
    lines = [header, *([row.what, *_cells(row.ours), *_cells(row.peer), _ratio(row)] for row in rows)]
    text = _table(lines)
    text.insert(1, "-" * max(len(line) for line in text))
    if goals:
        verdicts = {True: "reached", False: "MISSED", None: "not compared"}
        listed = [["goal", "wanted", "found", ""]]
        for goal in goals:
            sign = "≥" if goal.at_least else "≤"
            found = "-" if goal.found is None else f"{goal.found:.2f} {goal.unit}".strip()
            verdict = verdicts[goal.reached] + (f"  ({goal.remark})" if goal.remark else "")
            listed.append([goal.what, f"{sign} {goal.limit:g} {goal.unit}".strip(), found, verdict])
        widths = [max(len(line[column]) for line in listed) for column in range(3)]
        goal_lines = [
            "  ".join([line[0].ljust(widths[0]), line[1].rjust(widths[1]), line[2].rjust(widths[2]), line[3]]).rstrip()
            for line in listed
        ]
        text += ["", goal_lines[0], "-" * max(len(line) for line in goal_lines), *goal_lines[1:]]
    text += [
        "",
        "An answer of ours counts when its edit or output is in the file; the peer's when it answers.",
        *(f"{key}: {value}" for key, value in about.items()),
    ]
    return "\n".join(text)


def _series_json(side: Series | str) -> dict[str, Any] | str:
    if isinstance(side, str):
        return side
    return {
        "calls": len(side.latencies),
        "p50_ms": round(side.p50 * 1000, 3),
        "p95_ms": round(side.p95 * 1000, 3),
        "cpu_ms_per_call": None if side.cpu_per_call is None else round(side.cpu_per_call * 1000, 3),
        "calls_per_second": None if side.per_second is None else round(side.per_second, 2),
    }


def as_json(rows: list[Row], goals: list[Goal], about: dict[str, Any]) -> dict[str, Any]:
    """Everything in the table, for machines."""
    return {
        "about": about,
        "measured": [
            {"what": row.what, "ours": _series_json(row.ours), "peer": _series_json(row.peer)} for row in rows
        ],
        "goals": [{**asdict(goal), "reached": goal.reached} for goal in goals],
    }
