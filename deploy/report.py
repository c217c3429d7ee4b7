"""What a person reads, and what a machine does: results as text, JSON and JUnit."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from deploy.checks import CheckResult, reachable_address
from deploy.inventory import SiteHost
from deploy.results import HostResult, Step
from deploy.settings import Settings

#: Of the result document, so that readers can tell when its shape changes.
SCHEMA = "jupyfleet/result/1"

_LOG_WIDTH = 120
_UNPRINTABLE = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

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


def _plain(text: str) -> str:
    """A host's text without what would steer a terminal, or may not stand in XML."""
    return _UNPRINTABLE.sub("\ufffd", text)


def _shown(text: str) -> str:
    """A host's text as rich prints it unchanged."""
    return escape(_plain(text))


class ConsoleWatcher:
    """Says what happens, one line per step; on a terminal with what is being done at the moment below it."""

    def __init__(self, console: Console, *, many: bool) -> None:
        self._console = console
        self._many = many
        self._status: Status | None = console.status("connecting") if console.is_terminal else None
        if self._status:
            self._status.start()

    def progress(self, host: str, text: str) -> None:
        if self._status:
            self._status.update(_shown(f"{host}: {text}" if self._many else text))

    def step(self, host: str, step: Step) -> None:
        who = f"{host:<20} " if self._many else ""
        detail = "" if step.state == "failed" else step.detail
        line = f"  {_shown(who)}[{_STYLE[step.state]}]{step.state:<10}[/]{_shown(step.name)}"
        self._say(line + (f"  [dim]{_shown(detail)}[/]" if detail else ""))
        for planned in step.plan:
            self._say(f"    {_shown(planned)}")

    def finished(self, result: HostResult) -> None:
        if result.reason:
            self._say(f"  [red]{result.state:<10}[/]{_shown(result.host)}:")
            for line in result.reason.splitlines():
                self._say(f"    {_shown(line)}")

    def close(self) -> None:
        if self._status:
            self._status.stop()

    def _say(self, markup: str) -> None:
        self._console.print(markup, highlight=False, soft_wrap=True)


class SilentWatcher:
    """For machine output: the result says it all at the end."""

    def progress(self, host: str, text: str) -> None: ...

    def step(self, host: str, step: Step) -> None: ...

    def finished(self, result: HostResult) -> None: ...

    def close(self) -> None: ...


def print_checks(console: Console, results: Sequence[HostResult]) -> None:
    """A table of checks per host, with what each found."""
    for result in results:
        if not result.checks:
            continue
        table = Table(title=_shown(f"verify {result.host}"), title_justify="left", box=None, pad_edge=True)
        table.add_column("check", no_wrap=True)
        table.add_column("result", no_wrap=True)
        table.add_column("what was found", overflow="fold")
        for check in result.checks:
            table.add_row(check.id, f"[{_STYLE[check.status]}]{check.status}[/]", _shown(check.detail))
        console.print()
        console.print(table)


def print_summary(console: Console, results: Sequence[HostResult]) -> None:
    """One line per host: what became of it, how many checks passed, and how long it took."""
    console.print()
    for result in results:
        parts = [f"[{_STYLE[result.state]}]{_sentence(result)}[/]"]
        if result.checks:
            parts.append(_count_checks(result.checks))
        parts.append(f"{result.seconds:.1f} s")
        console.print(f"{_shown(result.host)}: {', '.join(parts)}", highlight=False, soft_wrap=True)


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


def print_way_in(console: Console, host: SiteHost) -> None:
    """Where to go from here: the page, the token, and the configuration of an MCP client. The token is not in it."""
    settings = host.settings
    console.print()
    console.print(f"Open   {url_of(settings)}lab", highlight=False, soft_wrap=True, markup=False)
    if settings.auth == "token":
        console.print(f"Token  {settings.paths.token}", highlight=False, soft_wrap=True, markup=False)
        console.print("\nFor an MCP client, with the token in its environment:", highlight=False)
        command = f'export JUPYFLEET_TOKEN="$(cat {shlex.quote(str(settings.paths.token))})"'
        console.print(command, highlight=False, soft_wrap=True, markup=False)
    else:
        console.print("\nFor an MCP client:", highlight=False)
    console.print(json.dumps(mcp_configuration(settings), indent=2), highlight=False, soft_wrap=True, markup=False)


def url_of(settings: Settings) -> str:
    """Where the server is reached from its own host, with its base URL."""
    address = reachable_address(settings.bind)
    return f"http://{f'[{address}]' if ':' in address else address}:{settings.port}{settings.base_url}"


def mcp_configuration(settings: Settings) -> dict[str, Any]:
    """What MCP clients read (``mcpServers``); the token comes from their environment, as JUPYFLEET_TOKEN."""
    server: dict[str, Any] = {"type": "http", "url": f"{url_of(settings)}mcp"}
    if settings.auth == "token":
        server["headers"] = {"Authorization": "Bearer ${JUPYFLEET_TOKEN}"}
    return {"mcpServers": {"jupyfleet": server}}


def to_json(command: str, results: Sequence[HostResult]) -> str:
    """The result document of one run."""
    document = {
        "schema": SCHEMA,
        "command": command,
        "ok": all(result.is_good for result in results),
        "hosts": [dataclasses.asdict(result) for result in results],
    }
    return json.dumps(document, indent=2)


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
                ElementTree.SubElement(case, "failure", message=_plain(check.detail))
            elif check.status == "skipped":
                ElementTree.SubElement(case, "skipped", message=_plain(check.detail))
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True)
