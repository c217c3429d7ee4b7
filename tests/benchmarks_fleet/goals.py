"""What was measured as tables, and beside it what was aimed at.

A goal is decided by `plan`: it looks at what the others look at, and at nothing else. `up` has all checks on top, which
none of the others has; it stands beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmarks_fleet.contenders import ANSIBLE, FLOOR, PLAN, PYINFRA, UP
from tests.benchmarks_fleet.measure import Figures

_MOST_COMMANDS = 6
_MOST_CPU_MILLISECONDS = 60
_MOST_MEGABYTES = 300
#: By how much the costs of one more host may differ, between few and many hosts, for growth to be called linear.
_LINEAR = 1.3


@dataclass(frozen=True)
class _Goal:
    text: str
    plan: float
    up: float
    #: Whether more is better.
    is_least: bool
    limit: float
    unit: str = "×"

    def __str__(self) -> str:
        held = self.plan >= self.limit if self.is_least else self.plan <= self.limit
        wanted = f"{'≥' if self.is_least else '≤'} {self.limit:g}{self.unit}"
        numbers = f"{self.plan:.3g}{self.unit} | {self.up:.3g}{self.unit}"
        return f"| {self.text} | {wanted} | {numbers} | {'held' if held else 'not held'} |"


def table(figures: Sequence[Figures], count: int, *, rtt: float) -> str:
    """Everyone's figures, and the goals that are for so many hosts."""
    floor = next(each for each in figures if each.contender.name == FLOOR)
    hosts = f"{count} host{'s' if count > 1 else ''}" + (f" behind {rtt:g} ms" if rtt else "")
    lines = [
        f"\n{hosts}, nothing to change; medians of {len(floor.walls)} rounds\n",
        "| | wall | against the floor | controller's CPU per host | remote commands per host |",
        "| --- | --- | --- | --- | --- |",
    ]
    for each in figures:
        cpu = f"{each.cpu / count * 1000:.0f} ms"
        lines.append(
            f"| {each.contender.name} | {each.wall:.2f} s | {each.wall / floor.wall:.1f}× | {cpu} | {each.commands} |"
        )
    goals = _goals({each.contender.name: each for each in figures}, count, rtt)
    lines += ["", "| goal | wanted | `plan` | `up`, beside it | |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*lines, *map(str, goals)])


def _goals(by_name: dict[str, Figures], count: int, rtt: float) -> list[_Goal]:
    plan, up = by_name[PLAN], by_name[UP]

    def faster(than: str, limit: float) -> _Goal:
        wall = by_name[than].wall
        return _Goal(f"faster than {than}", wall / plan.wall, wall / up.wall, is_least=True, limit=limit)

    # All checks are in it: this one is decided by `up`.
    found = [_Goal("remote commands per host", up.commands, up.commands, is_least=False, limit=_MOST_COMMANDS, unit="")]
    if rtt:
        return [*found, faster(ANSIBLE, 15)]
    if count == 1:
        floor = by_name[FLOOR].wall
        found.append(_Goal("wall against the floor", plan.wall / floor, up.wall / floor, is_least=False, limit=2))
    if count >= 30:
        found += [faster(ANSIBLE, 20), faster(PYINFRA, 2.5)]
        cpus = [each.cpu / count * 1000 for each in (plan, up)]
        found.append(
            _Goal("controller's CPU per host", *cpus, is_least=False, limit=_MOST_CPU_MILLISECONDS, unit=" ms")
        )
    return found


def growth_table(found: Sequence[tuple[int, Figures]]) -> str:
    """What one more host costs, between few and many of them."""
    lines = [
        "\n`jupyfleet plan` over many names of one host\n",
        "| names | wall | controller's CPU | largest size |",
        "| --- | --- | --- | --- |",
    ]
    for count, each in found:
        lines.append(f"| {count} | {each.wall:.1f} s | {each.cpu:.1f} s | {each.megabytes[-1]:.0f} MB |")
    (a, few), (b, some), (c, many) = found
    walls = (some.wall - few.wall) / (b - a), (many.wall - some.wall) / (c - b)
    sizes = [(some.megabytes[-1] - few.megabytes[-1]) / (b - a), (many.megabytes[-1] - some.megabytes[-1]) / (c - b)]
    is_linear = walls[1] <= _LINEAR * walls[0]
    is_small = many.megabytes[-1] <= _MOST_MEGABYTES
    lines += [
        "",
        f"One more host costs {walls[0] * 1000:.0f} ms and {sizes[0]:.2f} MB from {a} to {b}, "
        f"{walls[1] * 1000:.0f} ms and {sizes[1]:.2f} MB from {b} to {c}: "
        f"{'linear' if is_linear else 'NOT linear'}; {'no more' if is_small else 'MORE'} than {_MOST_MEGABYTES} MB.",
    ]
    return "\n".join(lines)
