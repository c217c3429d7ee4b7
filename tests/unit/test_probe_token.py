"""The token: files that are no use, and no way for it to get out."""

from __future__ import annotations

import json
import urllib.parse

import pytest
from probe_servers import IDS, TOKEN, Host, closed_port, failed, script

from jupyfleet_host import (
    probe_token,
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (TOKEN + "\n", ["ends with a newline"]),
        ("", ["is empty", "jupyfleet up"]),
        (f"two {TOKEN}", ["no header can carry"]),
        ("t\u00f6ken", ["no header can carry"]),
        (None, ["is missing: run jupyfleet up"]),
    ],
)
def test_token_file_that_is_no_use(host: Host, content: str | None, words: list[str]) -> None:
    if content is None:
        host.token_file.unlink()
    else:
        host.write_token(content)
    checks = host.fails("jupyter-api", *words)
    assert failed(checks) == IDS[5:9]
    assert all(word in checks["mcp-jupyter-ping"]["detail"] for word in words)
    assert checks["mcp-jupyter-list-tools"]["detail"].startswith("not reached: ")


def test_token_file_that_is_a_directory(host: Host) -> None:
    host.token_file.unlink()
    host.token_file.mkdir(mode=0o700)
    host.fails("jupyter-api", "cannot be read: Is a directory")


def test_server_with_another_token(host: Host) -> None:
    host.jupyter.token = "older"
    checks = host.fails("jupyter-api", "does not know the token in its file")
    assert "does not know the token" in checks["mcp-jupyter-ping"]["detail"]
    assert checks["mcp-jupyter-auth-required"]["status"] == "ok"


def test_a_site_without_tokens(host: Host) -> None:
    host.jupyter.token = None
    checks = host.verify(token_file=None)
    assert failed(checks) == []
    assert checks["mcp-jupyter-auth-required"]["status"] == "skipped"
    assert "jupyter_auth none" in checks["mcp-jupyter-auth-required"]["detail"]
    assert all("Authorization" not in headers for headers in host.jupyter.headers_seen)
    gone = host.verify(token_file=None, port=closed_port())
    assert gone["mcp-jupyter-auth-required"]["status"] == "skipped"


@pytest.mark.parametrize("form", [TOKEN, json.dumps(TOKEN), repr(TOKEN), urllib.parse.quote(TOKEN, safe="")])
def test_a_server_that_repeats_the_token_everywhere(host: Host, form: str) -> None:
    padded = f"{'x' * (probe_token.DETAIL_CHARACTERS - 60)} {form} {form}"
    for path in ("/api", "/lab", "/mcp"):
        host.jupyter.answers[path] = (500, "text/plain", f"{form} {padded}")
    host.jupyter.open_paths = {"/mcp", "/api/contents"}
    host.supervisor.states = ["FATAL"]
    host.supervisor.stderr = f"Authorization: Bearer {form}\nBearer other-token\ntoken=an-older-one\n{padded}"
    script(host.lab, f"#!/bin/sh\ncat {host.token_file} >&2\nexit 1\n")
    checks = host.verify()
    assert "***" in checks["jupyter-api"]["detail"]
    assert "***" in checks["jupyter-lab-binary"]["detail"]
    for shown in (check["detail"] for check in checks.values()):
        assert not {"other-token", "an-older-one"} & set(shown.replace("=", " ").split())
        assert TOKEN[:12] not in shown


def test_the_token_is_in_no_argument_or_environment_of_a_program(host: Host) -> None:
    report = host.root / "report"
    script(host.lab, f'#!/bin/sh\n(env; echo "$@"; tr "\\0" " " < /proc/$PPID/cmdline) > {report}\necho 4.6.6\n')
    host.passes("jupyter-lab-binary")
    assert "PATH=" in report.read_text()
    assert TOKEN not in report.read_text()
