"""What is told of a run: to people on a terminal or in a log, and to machines as JSON and JUnit."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from deploy import report
from deploy.checks import CheckResult, results_of
from deploy.inventory import SiteHost
from deploy.recorder import reason_of, summary_of
from deploy.results import HostResult, Step
from deploy.runs import run_of, to_json
from deploy.settings import read_settings

NASTY = [
    "[red]",
    "[/]",
    "[/red]",
    "[bold]x[/bold]",
    "[link=https://x.invalid]y[/link]",
    "[@click=a]",
    "\\[red]",
    ":smile:",
]


def result_of(**changes: Any) -> HostResult:
    values: dict[str, Any] = {
        "host": "lab1",
        "state": "changed",
        "steps": [Step("Files", "changed", 0.5, "3 files"), Step("Service", "unchanged", 0.1, "")],
        "checks": [
            CheckResult("jupyter-port", "ok", "127.0.0.1 port 8888 accepts", 0.01),
            CheckResult("spacy-import", "skipped", "profile core has no spaCy", 0.0),
        ],
        "seconds": 1.5,
    }
    return HostResult(**(values | changes))


FAILED = CheckResult("jupyter-api", "failed", "GET /api is 500", 0.2)


def parsed(junit: str) -> ElementTree.Element:
    return ElementTree.fromstring(junit)  # noqa: S314 - it was written here.


def as_json(command: str, results: list[HostResult]) -> str:
    """The result document of a run."""
    return to_json(run_of(command, results))


def printed(*results: HostResult, terminal: bool = False) -> str:
    """All that a person is told of a run."""
    out = io.StringIO()
    console = Console(file=out, width=200, emoji=False, force_terminal=terminal, color_system=None)
    watcher = report.ConsoleWatcher(console, many=len(results) > 1)
    for result in results:
        for step in result.steps:
            watcher.progress(result.host, step.detail)
            watcher.step(result.host, step)
        watcher.finished(result)
    watcher.close()
    report.print_checks(console, results)
    report.print_summary(console, results)
    return out.getvalue()


# --- while it works -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("terminal", [True, False])
def test_what_a_host_says_is_a_line_of_its_own_only_where_nothing_can_move(terminal: bool) -> None:
    out = io.StringIO()
    console = Console(file=out, width=200, emoji=False, force_terminal=terminal, color_system=None)
    watcher = report.ConsoleWatcher(console, many=True)
    watcher.said("lab1", "installing 150 [packages]\x1b[2J")
    watcher.close()
    lines = [line for line in out.getvalue().splitlines() if "installing 150 [packages]" in line and "lab1" in line]
    assert terminal or len(lines) == 1
    assert "\x1b[2J" not in out.getvalue()
    if not terminal:
        assert out.getvalue().count("\n") == 1


def test_beside_a_document_it_is_a_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    watcher = report.LineWatcher()
    watcher.progress("lab1", "looking")
    watcher.said("lab1", "installing 150 packages")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "lab1: installing 150 packages\n")


def test_of_many_hosts_only_what_is_more_than_a_look_is_told() -> None:
    step = Step("Preflight", "unchanged", 0.1, "")
    assert "Preflight" in printed(result_of(steps=[step]))
    assert "Preflight" not in printed(result_of(steps=[step]), result_of(host="lab2", steps=[step]))


def test_many_hosts_are_counted_and_who_is_not_well_is_named() -> None:
    good = [result_of(host=f"lab{number}", steps=[]) for number in range(30)]
    assert printed(*good).splitlines()[-1] == "30 hosts: 30 changed"
    bad = [result_of(host=f"bad[{number}]", state="unreachable", checks=[], reason="gone") for number in range(25)]
    said = printed(*good, *bad, result_of(host="ill", checks=[FAILED])).splitlines()[-1]
    assert said.startswith("56 hosts: 31 changed, 25 unreachable; not well: bad[0], bad[1]")
    assert said.endswith("bad[19] and 6 more")
    assert "hosts:" not in printed(good[0])


# --- what ends well -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "is_good"),
    [
        ({}, True),
        ({"state": "unchanged"}, True),
        ({"state": "ok", "steps": []}, True),
        ({"checks": []}, True),
        ({"state": "failed"}, False),
        ({"state": "unreachable", "checks": []}, False),
        ({"checks": [FAILED]}, False),
        ({"state": "unchanged", "checks": [CheckResult("a", "ok", "", 0), FAILED]}, False),
    ],
)
def test_a_host_is_good_when_it_did_not_fail_and_no_check_fell_short(changes: dict[str, Any], is_good: bool) -> None:
    result = result_of(**changes)
    assert result.is_good is is_good
    assert json.loads(as_json("up", [result]))["ok"] is is_good
    assert json.loads(as_json("up", [result_of(), result]))["ok"] is is_good


# --- for machines ---------------------------------------------------------------------------------------------------


def test_the_json_document_has_every_field_that_readers_lean_on() -> None:
    document = json.loads(as_json("up", [result_of(checks=[FAILED], reason="why")]))
    assert set(document) >= {"schema", "command", "ok", "hosts", "id", "inventory", "controller", "started", "seconds"}
    assert document["schema"] == "jupyfleet/result/1"
    assert document["command"] == "up"
    [host] = document["hosts"]
    assert set(host) >= {"host", "state", "steps", "checks", "reason", "seconds"}
    step = {"name": "Files", "state": "changed", "seconds": 0.5, "detail": "3 files", "plan": [], "began": 0.0}
    assert host["steps"][0] == step
    assert host["checks"] == [{"id": "jupyter-api", "status": "failed", "detail": "GET /api is 500", "seconds": 0.2}]
    assert host["reason"] == "why"


def test_junit_has_a_suite_per_host_and_a_case_per_check() -> None:
    one, two = result_of(), result_of(host="lab2", checks=[FAILED])
    suites = parsed(report.to_junit([one, two]))
    assert [
        (suite.get("name"), suite.get("tests"), suite.get("failures"), suite.get("skipped")) for suite in suites
    ] == [
        ("lab1", "2", "0", "1"),
        ("lab2", "1", "1", "0"),
    ]
    case = suites[1][0]
    assert (case.get("name"), case.get("classname"), case.get("time")) == ("jupyter-api", "lab2", "0.200")
    assert [(child.tag, child.get("message")) for child in case] == [("failure", "GET /api is 500")]
    assert [child.tag for child in suites[0][1]] == ["skipped"]


def test_junit_of_a_host_that_was_not_reached_has_a_failure() -> None:
    suites = parsed(report.to_junit([result_of(state="unreachable", checks=[], reason="no route")]))
    assert suites[0].get("failures") == "1"
    assert suites[0][0][0].get("message") == "no route"


@pytest.mark.parametrize(
    "text", ["\x1b[31mred\x1b[0m", "nul\0", "\x08\x0c", "\ud800 alone", "\uffff", '<&">]]>', "a\nb\tc"]
)
def test_machines_can_read_whatever_a_host_says(text: str) -> None:
    results = [result_of(checks=[CheckResult("x", "failed", f"it said {text}.", 0.1)], reason=text)]
    message = parsed(report.to_junit(results))[0][0][0].get("message")
    assert message
    assert message.startswith("it said ")
    assert message.endswith(".")
    report.to_junit(results).encode()
    as_json("verify", results).encode()
    assert json.loads(as_json("verify", results))["hosts"][0]["reason"] == text


def test_what_a_probe_answers_becomes_results() -> None:
    answer = {"checks": [{"id": "a", "status": "ok", "detail": "b", "seconds": 0.5}]}
    assert results_of(answer) == [CheckResult("a", "ok", "b", 0.5)]


# --- for people -----------------------------------------------------------------------------------------------------


def test_a_run_is_told_step_by_step_then_check_by_check_then_in_a_line() -> None:
    lines = printed(result_of()).splitlines()
    assert lines[0].split() == ["changed", "Files", "3", "files"]
    assert lines[1].split() == ["unchanged", "Service"]
    assert lines[-1] == "lab1: 1 of 2 steps changed something, 1 checks ok, 1 skipped, 1.5 s"


def test_a_run_that_changed_nothing_says_so() -> None:
    assert printed(result_of(state="unchanged", checks=[])).splitlines()[-1] == "lab1: nothing changed, 1.5 s"


def test_a_failure_is_told_with_its_reason_line_by_line() -> None:
    text = printed(result_of(state="failed", reason="could not install:\nno such package", checks=[FAILED]))
    assert "    could not install:\n    no such package\n" in text
    assert text.splitlines()[-1] == "lab1: failed, 0 checks ok, 1 failed, 1.5 s"


def test_with_many_hosts_every_step_names_its_host() -> None:
    lines = printed(result_of(), result_of(host="lab2")).splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["lab1", "lab2"]


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("text", NASTY)
def test_a_host_s_text_is_printed_as_it_is_and_never_as_markup(text: str, terminal: bool) -> None:
    result = result_of(
        host=f"h{text}h",
        state="failed",
        steps=[Step(f"s{text}s", "changed", 0.1, f"d{text}d")],
        checks=[CheckResult("x", "failed", f"c{text}c", 0.1)],
        reason=f"r{text}r",
    )
    shown = printed(result, terminal=terminal)
    for letter in "hsdcr":
        assert f"{letter}{text}{letter}" in shown


def test_a_host_cannot_steer_the_terminal() -> None:
    evil = "\x1b]0;title\x07\x1b[2J\r\x9b31m\ud800"
    shown = printed(
        result_of(
            steps=[Step("s", "changed", 0, evil)],
            checks=[CheckResult("x", "failed", evil, 0)],
            state="failed",
            reason=evil,
        )
    )
    assert not set("\x1b\x07\r\x9b\ud800").intersection(shown)
    assert "]0;title" in shown


def test_the_console_of_a_log_is_wide_and_shows_no_pictures() -> None:
    console = report.console()
    assert console.is_terminal or console.width == 120
    with console.capture() as capture:
        console.print("port:100:refused")
    assert capture.get() == "port:100:refused\n"


# --- the way in -----------------------------------------------------------------------------------------------------


def way_in(home: str, **data: Any) -> str:
    settings = read_settings("lab1", {"jupyter_home": home} | data)
    out = io.StringIO()
    report.print_way_in(Console(file=out, width=60), SiteHost("@local", {}, settings), Path("inventories/local.py"))
    return out.getvalue()


def test_the_way_in_names_the_page_the_token_s_file_and_a_client_s_configuration_but_no_token(tmp_path: Path) -> None:
    home = tmp_path / "a home"
    (home / ".config/jupyfleet").mkdir(parents=True)
    (home / ".config/jupyfleet/token").write_text("s3cret-token")
    text = way_in(str(home), jupyter_port=9000, jupyter_base_url="/lab1/")
    assert "Open   http://127.0.0.1:9000/lab1/lab\n" in text
    assert f"Token  {home}/.config/jupyfleet/token\n" in text
    assert f"$(cat '{home}/.config/jupyfleet/token')" in text
    assert "s3cret-token" not in text
    document = json.loads(text[text.index("{\n") :])
    assert document["mcpServers"]["jupyfleet"] == {
        "type": "http",
        "url": "http://127.0.0.1:9000/lab1/mcp",
        "headers": {"Authorization": "Bearer ${JUPYFLEET_TOKEN}"},
    }


def test_without_authentication_the_way_in_speaks_of_no_token() -> None:
    text = way_in("/srv/lab", jupyter_auth="none")
    assert "oken" not in text
    assert "headers" not in text


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8888/"),
        ("::", "http://[::1]:8888/"),
        ("::1", "http://[::1]:8888/"),
        ("fd00::5", "http://[fd00::5]:8888/"),
        ("10.0.0.7", "http://10.0.0.7:8888/"),
    ],
)
def test_a_server_is_reached_at_an_address_that_one_can_connect_to(bind: str, url: str) -> None:
    text = way_in("/srv/lab", jupyter_bind=bind)
    assert f"Open   {url}lab\n" in text
    assert f'"{url}mcp"' in text


def test_the_way_to_another_host_leads_there_from_here() -> None:
    def told(**data: Any) -> list[str]:
        settings = read_settings("lab1", {"jupyter_scope": "system", "jupyter_provider": "uv"} | data)
        out = io.StringIO()
        host = SiteHost("lab1", {"ssh_hostname": "lab1.example.org"}, settings)
        report.print_way_in(Console(file=out, width=60), host, Path("my site.py"))
        return out.getvalue().splitlines()

    assert told() == [
        "",
        "Open    http://lab1.example.org:8888/lab",
        "Token   jupyfleet token show 'my site.py' --limit lab1",
        "Agents  jupyfleet mcp-config 'my site.py' --limit lab1",
    ]
    assert "Open    https://lab1.example.org:8888/lab" in told(jupyter_tls="self-signed")
    local = told(jupyter_auth="none")
    assert "ssh -L 8888:127.0.0.1:8888" in local[2]
    assert not any("token show" in line for line in local)


# --- what commands say ----------------------------------------------------------------------------------------------


def test_a_summary_is_the_last_result_among_what_was_said() -> None:
    said = [
        "Looking in links",
        '{"result": {"summary": "old"}}',
        '{"result": {"summary": "3 packages"}}',
        "{}",
        "3",
        "null",
    ]
    assert summary_of(said) == "3 packages"
    assert summary_of(["nothing", "[1]", '{"result": null}', '{"failure": "x"}']) == ""


def test_a_reason_is_the_host_s_own_or_else_the_end_of_what_was_said() -> None:
    assert reason_of(["noise", "jupyfleet-failure: one", "jupyfleet-failure: two"]) == "one\ntwo"
    assert reason_of([str(number) for number in range(20)]) == "\n".join(map(str, range(10, 20)))
    assert reason_of([]) == ""
    assert reason_of(['{"result": {"summary": "done, and no exit code came"}}']) == ""
