"""The probe against ports and servers that are slow, broken or something else."""

from __future__ import annotations

import socket
import socketserver
import threading
import time

import pytest
from probe_servers import IDS, PAGE, TOKEN, Host, Jupyter, Rude, closed_port, failed

from jupyfleet_host import probe_http


def test_closed_port_makes_later_checks_quick(host: Host) -> None:
    port = closed_port()
    checks = host.fails("jupyter-port", f"127.0.0.1:{port} accepts no connection", "refused", port=port)
    assert checks["jupyter-service"]["status"] == "ok"
    for name in IDS[5:]:
        assert checks[name]["detail"] == "not reached: jupyter-port failed, see there"
        assert checks[name]["seconds"] < 0.1


@pytest.mark.parametrize("state", ["FATAL", "STOPPED"])
def test_closed_port_of_a_service_that_gave_up_is_not_waited_for(host: Host, state: str) -> None:
    host.supervisor.states = [state]
    begun = time.monotonic()
    checks = host.verify(port=closed_port(), timeout=60)
    assert failed(checks) == IDS[3:]
    assert time.monotonic() - begun < 10


def test_closed_port_without_supervisor_is_not_waited_for(host: Host) -> None:
    begun = time.monotonic()
    host.fails("jupyter-port", port=closed_port(), supervisor_socket="/nowhere", timeout=60)
    assert time.monotonic() - begun < 10


def test_service_that_gives_up_while_the_port_is_waited_for(host: Host) -> None:
    host.supervisor.states = ["RUNNING", "BACKOFF", "FATAL"]
    begun = time.monotonic()
    host.fails("jupyter-port", port=closed_port(), timeout=60)
    assert time.monotonic() - begun < 10


def test_slow_start_of_port_and_api(host: Host) -> None:
    port = closed_port()
    late: list[Jupyter] = []

    def start() -> None:
        late.append(Jupyter(("127.0.0.1", port)))
        late[0].not_yet = 2
        late[0].mcp_not_yet = 1
        late[0].__enter__()

    timer = threading.Timer(0.3, start)
    timer.start()
    try:
        assert failed(host.verify(port=port, timeout=20)) == []
    finally:
        timer.join()
        late[0].__exit__()


def test_port_that_accepts_and_never_answers(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_http, "LEAST_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        checks = host.fails("jupyter-api", "got no answer", port=silent.getsockname()[1])
    assert checks["jupyter-port"]["status"] == "ok"
    assert all(checks[name]["detail"].startswith("not reached: ") for name in IDS[6:])
    assert time.monotonic() - begun < 10


def test_port_of_something_else(host: Host) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Rude) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        host.fails("jupyter-api", "does not speak HTTP", port=server.server_address[1])
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "answer", "words"),
    [
        ("/api", (500, "text/plain", "boom\nmore"), ["GET /api answered 500 boom"]),
        ("/api", (503, "text/plain", "starting"), ["GET /api answered 503"]),
        ("/api", (200, "text/html", "<h1>nginx</h1>"), ["without a version"]),
        ("/api", (200, "application/json", "[1]"), ["without a version"]),
        ("/lab", (500, "text/html", "<h1>boom</h1>"), ["GET /lab answered 500"]),
        ("/lab", (302, "text/html", ""), ["with the token answered 302", "restart"]),
        ("/lab", (200, "application/json", "{}"), ["GET /lab", "instead of a page"]),
        ("/lab", (200, "text/html", "<h1>lab</h1>"), ["names no /static/lab/"]),
        ("/static/lab/main.1f.js", (404, "text/html", ""), ["/static/lab/main.1f.js", "answered 404"]),
        ("/static/lab/main.1f.js", (200, "text/html", "<h1>"), ["(text/html)"]),
        ("/static/lab/main.1f.js", (200, "text/javascript", ""), ["answered 200"]),
    ],
)
def test_api_or_page_that_is_wrong(host: Host, path: str, answer: tuple[int, str, str], words: list[str]) -> None:
    host.jupyter.answers[path] = answer
    checks = host.fails("jupyter-api", *words)
    assert failed(checks) == ["jupyter-api"]


def test_api_below_a_base_url(host: Host) -> None:
    host.jupyter.prefix = "/team/a"
    host.jupyter.answers["/lab"] = (200, "text/html", PAGE.replace("/static", "/team/a/static"))
    checks = host.verify(base_url="/team/a/")
    assert failed(checks) == []
    assert "/team/a/lab" in checks["jupyter-api"]["detail"]


def test_page_that_names_another_server_does_not_get_the_token_there(host: Host) -> None:
    with Jupyter() as elsewhere:
        page = f'<script src="http://127.0.0.1:{elsewhere.port}/static/lab/x.js"></script>'
        host.jupyter.answers["/lab"] = (200, "text/html", page)
        host.fails("jupyter-api", "/static/lab/x.js", "404")
        assert elsewhere.log == []


def test_requests_go_past_a_proxy(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert failed(host.verify()) == []


def test_the_api_is_asked_without_the_token_and_all_else_with_it_in_a_header(host: Host) -> None:
    host.verify(timeout=0)
    asked = dict(zip(host.jupyter.log, host.jupyter.headers_seen, strict=True))
    assert "Authorization" not in asked[("GET", "/api")]
    assert asked[("GET", "/lab")]["Authorization"] == f"Bearer {TOKEN}"
    assert asked[("POST", "tools/call")]["Authorization"] == f"Bearer {TOKEN}"
    assert all(TOKEN not in path for _, path in host.jupyter.log)
