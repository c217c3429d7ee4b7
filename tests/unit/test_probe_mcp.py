"""The probe against MCP servers: transports, sessions, and answers that are wrong."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from probe_servers import IDS, NOTEBOOKS, TOOLS, Handler, Host, failed

from jupyfleet_host import (
    probe_web,
)


def test_mcp_headers_are_those_of_the_revision(host: Host) -> None:
    host.verify(timeout=0)
    sent = dict(zip(host.jupyter.log, host.jupyter.headers_seen, strict=True))[("POST", "tools/list")]
    assert sent["MCP-Protocol-Version"] == "2025-11-25"
    assert sent["Accept"] == "application/json, text/event-stream"
    assert ("POST", "initialize") not in host.jupyter.log


def test_mcp_over_event_streams_that_stay_open(host: Host) -> None:
    host.jupyter.sse = True
    begun = time.monotonic()
    assert failed(host.verify()) == []
    assert time.monotonic() - begun < 10


def test_mcp_event_stream_without_the_answer(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_web, "REQUEST_SECONDS", 0.2)
    host.jupyter.sse = host.jupyter.sse_silent = True
    checks = host.fails("mcp-jupyter-ping", "without a JSON-RPC message")
    assert checks["mcp-jupyter-list-tools"]["detail"].startswith("not reached: ")


@pytest.mark.parametrize("sse", [False, True])
def test_mcp_session_is_opened_carried_and_given_back(host: Host, sse: bool) -> None:
    host.jupyter.session = "s-1"
    host.jupyter.sse = sse
    assert failed(host.verify()) == []
    methods = [method for verb, method in host.jupyter.log if verb == "POST"]
    assert methods[:4] == ["ping", "initialize", "notifications/initialized", "ping"]
    ends = [at for at, entry in enumerate(host.jupyter.log) if entry == ("DELETE", "/mcp")]
    assert len(ends) == methods.count("initialize")
    assert {host.jupyter.headers_seen[at]["Mcp-Session-Id"] for at in ends} == {"s-1"}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, "text/html", ""), ["not installed or not enabled"]),
        ((500, "text/plain", "boom"), ["answered 500 boom"]),
        ((400, "text/plain", "bad version"), ["answered 400 bad version"]),
        ((403, "text/plain", "foreign"), ["answered 403 foreign", "does not know the token"]),
        ((503, "text/plain", "starting"), ["answered 503 starting"]),
        ((200, "text/html", "<h1>"), ["200 (text/html) without a JSON-RPC message"]),
        ((200, "application/json", "{"), ["without a JSON-RPC message"]),
        ((200, "application/json", '{"jsonrpc": "2.0", "id": 99, "result": {}}'), ["that belongs to it"]),
    ],
)
def test_mcp_ping_that_fails(host: Host, answer: tuple[int, str, str], words: list[str]) -> None:
    host.jupyter.answers["/mcp"] = answer
    checks = host.fails("mcp-jupyter-ping", *words)
    assert failed(checks) == IDS[6:9]
    assert checks["jupyter-api"]["status"] == "ok"


def test_mcp_ping_answered_with_an_error_says_nothing_about_tools(host: Host) -> None:
    host.jupyter.errors["ping"] = {"code": -32601, "message": "Method not found"}
    assert failed(host.fails("mcp-jupyter-ping", "error -32601 Method not found")) == ["mcp-jupyter-ping"]


def test_mcp_ping_answered_without_a_result(host: Host) -> None:
    host.jupyter.results["ping"] = None
    host.fails("mcp-jupyter-ping", "without a result")


def test_mcp_that_hangs_costs_one_wait(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_web, "REQUEST_SECONDS", 0.2)
    host.jupyter.sse = True
    release = threading.Event()
    monkeypatch.setattr(Handler, "mcp", lambda self, request: release.wait(10) and None)
    checks = host.fails("mcp-jupyter-ping", "got no answer")
    release.set()
    assert checks["mcp-jupyter-list-tools"]["seconds"] < 0.1
    assert checks["mcp-jupyter-auth-required"]["status"] == "ok"


def test_tools_over_several_pages(host: Host) -> None:
    host.jupyter.tool_pages = [["notebook_list"], ["cell_get"], ["cell_execute", "cell_move"]]
    host.passes("mcp-jupyter-list-tools", "4 tools, all 3 documented")


def test_tools_missing_and_forbidden(host: Host) -> None:
    host.jupyter.tool_pages = [["notebook_list", "room_open"]]
    words = ["names 2 tools", "missing: cell_get, cell_execute", "must not be there: room_open"]
    assert failed(host.fails("mcp-jupyter-list-tools", *words)) == ["mcp-jupyter-list-tools"]


def test_tools_forbidden_on_a_later_page(host: Host) -> None:
    host.jupyter.tool_pages = [TOOLS, ["room_close"]]
    host.fails("mcp-jupyter-list-tools", "must not be there: room_close")


def test_tools_without_end(host: Host) -> None:
    host.jupyter.cursor_circle = True
    host.fails("mcp-jupyter-list-tools", "does not come to an end")


def test_tools_that_are_no_list(host: Host) -> None:
    host.jupyter.errors["tools/list"] = {"code": -32603, "message": "boom"}
    host.fails("mcp-jupyter-list-tools", "-32603 boom")


TEXT = json.dumps(NOTEBOOKS)


@pytest.mark.parametrize(
    "result",
    [
        {"structuredContent": {"result": NOTEBOOKS}},
        {"structuredContent": {"result": []}, "content": []},
        {"structuredContent": NOTEBOOKS},
        {"content": [{"type": "text", "text": TEXT}]},
        {"content": [{"type": "image"}, {"type": "text", "text": json.dumps({"result": NOTEBOOKS})}]},
    ],
)
def test_notebook_list_shapes_that_are_accepted(host: Host, result: dict[str, Any]) -> None:
    host.jupyter.results["tools/call"] = result
    host.passes("mcp-jupyter-call-list-notebooks", "a list of ")


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"isError": True, "content": [{"type": "text", "text": "no contents\nmore"}]}, ["failed: no contents"]),
        ({"isError": True}, ["gave no reason"]),
        ({"structuredContent": {"result": "a.ipynb"}}, ["not answer with a list but str"]),
        ({"structuredContent": {"result": [*NOTEBOOKS, {"path": "x"}]}}, ["entry 1 of 2"]),
        ({"structuredContent": {"result": ["a.ipynb"]}}, ["entry 0 of 1"]),
        ({"structuredContent": {"result": [{"path": 1, "name": "x"}]}}, ["entry 0 of 1"]),
        ({"content": [{"type": "text", "text": "a.ipynb"}]}, ["not answer with a list"]),
        ({"content": []}, ["but NoneType"]),
    ],
)
def test_notebook_list_that_is_wrong(host: Host, result: dict[str, Any], words: list[str]) -> None:
    host.jupyter.results["tools/call"] = result
    assert failed(host.fails("mcp-jupyter-call-list-notebooks", *words)) == ["mcp-jupyter-call-list-notebooks"]
