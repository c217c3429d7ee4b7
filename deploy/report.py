"""What a person reads, and what a machine does: results as text, JSON and JUnit."""

from __future__ import annotations

import ipaddress
import re
import shlex
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table

from deploy import clients
from deploy.checks import CheckResult
from deploy.clients import Client, Server, url_of
from deploy.inventory import SiteHost
from deploy.results import HostResult, Step
from deploy.settings import Settings

_LOG_WIDTH = 120
_MOST_NAMES = 20
_UNPRINTABLE = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_SPINNER = Spinner("dots")
_STYLE = {
    "ok": "green",
    "changed": "yellow",
    "unchanged": "green",
    "failed": "red",
    "skipped": "dim",
    "unreachable": "red",
    "planned": "yellow",
}


def console() -> Console:
    """Standard output: as wide as the terminal, or as a log should be where there is none."""
    found = Console(emoji=False)
    return found if found.is_terminal else Console(width=_LOG_WIDTH, emoji=False)


def plain(text: str) -> str:
    """A host's text without what would steer a terminal, or may not stand in XML."""
    return _UNPRINTABLE.sub("\ufffd", text)


def shown(text: str) -> str:
    """A host's text as rich prints it unchanged."""
    return escape(plain(text))


class ConsoleWatcher:
    """Says what happens, one line per step; on a terminal with a live line per host below, of what it does just now.

    Where there is no terminal, what a host says while it works becomes a line, too. Of many hosts only those steps
    are told that are more than a look.
    """

    def __init__(self, console: Console, *, many: bool) -> None:
        self._console = console
        self._many = many
        self._busy: dict[str, tuple[str, float]] = {}
        self._live = Live(get_renderable=self._render, console=console, transient=True) if console.is_terminal else None
        if self._live:
            self._live.start()

    def progress(self, host: str, text: str) -> None:
        _, since = self._busy.get(host, ("", time.monotonic()))
        self._busy[host] = text, since

    def said(self, host: str, text: str) -> None:
        self.progress(host, text)
        if not self._live:
            who = f"{host:<20} " if self._many else ""
            self._say(f"  {shown(who)}[dim]{'':<10}{shown(text)}[/]")

    def step(self, host: str, step: Step) -> None:
        if self._many and step.state == "unchanged":
            return
        who = f"{host:<20} " if self._many else ""
        detail = "" if step.state == "failed" else step.detail
        line = f"  {shown(who)}[{_STYLE[step.state]}]{step.state:<10}[/]{shown(step.name)}"
        self._say(line + (f"  [dim]{shown(detail)}[/]" if detail else ""))
        for planned in step.plan:
            self._say(f"    {shown(planned)}")

    def finished(self, result: HostResult) -> None:
        self._busy.pop(result.host, None)
        if result.reason:
            self._say(f"  [red]{result.state:<11}[/] {shown(result.host)}:")
            for line in result.reason.splitlines():
                self._say(f"    {shown(line)}")

    def close(self) -> None:
        if self._live:
            self._live.stop()

    def _render(self) -> Table:
        """One line per host that is being worked on, and for how long."""
        table = Table.grid(padding=(0, 1))
        for host, (text, since) in self._busy.items():
            name = [shown(host)] if self._many else []
            table.add_row(_SPINNER, *name, f"[dim]{shown(text)}[/]", f"[dim]{time.monotonic() - since:.0f} s[/]")
        return table

    def _say(self, markup: str) -> None:
        self._console.print(markup, highlight=False, soft_wrap=True)


class SilentWatcher:
    """For machine output: the result says it all at the end."""

    def progress(self, host: str, text: str) -> None: ...

    def said(self, host: str, text: str) -> None: ...

    def step(self, host: str, step: Step) -> None: ...

    def finished(self, result: HostResult) -> None: ...

    def close(self) -> None: ...


class LineWatcher(SilentWatcher):
    """For machine output that takes a while: what hosts say while they work, on standard error."""

    def said(self, host: str, text: str) -> None:
        print(f"{host}: {plain(text)}", file=sys.stderr, flush=True)


def print_checks(console: Console, results: Sequence[HostResult]) -> None:
    """A table of checks per host, with what each found."""
    for result in results:
        if not result.checks:
            continue
        table = Table(title=shown(f"verify {result.host}"), title_justify="left", box=None, pad_edge=True)
        table.add_column("check", no_wrap=True)
        table.add_column("result", no_wrap=True)
        table.add_column("what was found", overflow="fold")
        for check in result.checks:
            table.add_row(check.id, f"[{_STYLE[check.status]}]{check.status}[/]", shown(check.detail))
        console.print()
        console.print(table)


def print_summary(console: Console, results: Sequence[HostResult]) -> None:
    """One line per host: what became of it, how many checks passed, and how long it took; then one of all of them."""
    console.print()
    for result in results:
        parts = [f"[{_STYLE[result.state]}]{_sentence(result)}[/]"]
        if result.checks:
            parts.append(_count_checks(result.checks))
        parts.append(f"{result.seconds:.1f} s")
        console.print(f"{shown(result.host)}: {', '.join(parts)}", highlight=False, soft_wrap=True)
    if len(results) > 1:
        console.print(_total(results), highlight=False, soft_wrap=True)


def _total(results: Sequence[HostResult]) -> str:
    """How many hosts there were of each state, and who is not well."""
    states = [f"[{_STYLE[state]}]{count} {state}[/]" for state, count in Counter(r.state for r in results).items()]
    text = f"{len(results)} hosts: {', '.join(states)}"
    if bad := [shown(result.host) for result in results if not result.is_good]:
        more = f" and {len(bad) - _MOST_NAMES} more" if len(bad) > _MOST_NAMES else ""
        text += f"; [red]not well: {', '.join(bad[:_MOST_NAMES])}{more}[/]"
    return text


def _sentence(result: HostResult) -> str:
    if result.state not in ("changed", "planned"):
        return "nothing changed" if result.state == "unchanged" else result.state
    changed = sum(step.state == result.state for step in result.steps)
    verb = "would change" if result.state == "planned" else "changed"
    return f"{changed} of {len(result.steps)} steps {verb} something"


def _count_checks(checks: Sequence[CheckResult]) -> str:
    failed = sum(check.status == "failed" for check in checks)
    skipped = sum(check.status == "skipped" for check in checks)
    parts = [f"{len(checks) - failed - skipped} checks ok"]
    parts += [f"[red]{failed} failed[/]"] if failed else []
    parts += [f"{skipped} skipped"] if skipped else []
    return ", ".join(parts)


def print_way_in(console: Console, host: SiteHost, inventory: Path) -> None:
    """Where to go from here: the page, the token, and the configuration of an MCP client. The token is not in it."""
    console.print()
    lines = _way_in_here(host.settings) if host.is_this_machine else _way_in_there(host, inventory)
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _way_in_here(settings: Settings) -> list[str]:
    lines = [f"Open   {url_of(settings)}lab"]
    if settings.auth == "token":
        export = f'export JUPYFLEET_TOKEN="$(cat {shlex.quote(str(settings.paths.token))})"'
        lines += [f"Token  {settings.paths.token}", "", "For an MCP client, with the token in its environment:", export]
    else:
        lines += ["", "For an MCP client:"]
    return [*lines, mcp_configuration(settings)]


def _way_in_there(host: SiteHost, inventory: Path) -> list[str]:
    """For a host that is not this machine: what leads there from here."""
    settings, which = host.settings, f"{shlex.quote(str(inventory))} --limit {shlex.quote(host.name)}"
    lines = [f"Open    {url_of(settings, host.address)}lab"]
    if ipaddress.ip_address(settings.bind).is_loopback:
        port = settings.port
        lines.append(
            f"        It listens on the host's loopback, and this leads there: ssh -L {port}:{settings.bind}:{port}"
        )
    if settings.auth == "token":
        lines.append(f"Token   jupyfleet token show {which}")
    return [*lines, f"Agents  jupyfleet mcp-config {which}"]


def mcp_configuration(settings: Settings) -> str:
    """What Claude Code, among others, reads on the host itself; the token comes from JUPYFLEET_TOKEN."""
    variable = "JUPYFLEET_TOKEN" if settings.auth == "token" else None
    return clients.configuration(Client.CLAUDE_CODE, [Server("jupyfleet", f"{url_of(settings)}mcp", variable)])


def to_junit(results: Sequence[HostResult]) -> str:
    """The checks as JUnit: a suite per host and a case per check, for CI systems."""
    suites = ElementTree.Element("testsuites", name="jupyfleet verify")
    for result in results:
        checks = result.checks or [CheckResult("connection", "failed", result.reason, result.seconds)]
        suite = ElementTree.SubElement(
            suites,
            "testsuite",
            name=result.host,
            tests=str(len(checks)),
            failures=str(sum(check.status == "failed" for check in checks)),
            skipped=str(sum(check.status == "skipped" for check in checks)),
            time=f"{result.seconds:.3f}",
        )
        for check in checks:
            case = ElementTree.SubElement(
                suite, "testcase", classname=result.host, name=check.id, time=f"{check.seconds:.3f}"
            )
            if check.status == "failed":
                ElementTree.SubElement(case, "failure", message=plain(check.detail))
            elif check.status == "skipped":
                ElementTree.SubElement(case, "skipped", message=plain(check.detail))
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True)
