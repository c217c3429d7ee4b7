"""The probe against servers that let strangers in."""

from __future__ import annotations

import pytest
from probe_servers import TOKEN, Handler, Host, failed


def test_api_that_sends_strangers_to_the_login_page_refuses(host: Host) -> None:
    host.jupyter.location = "/login?next=%2Fapi%2Fcontents"
    host.passes("mcp-jupyter-auth-required")


def test_api_that_sends_strangers_elsewhere_does_not_refuse(host: Host) -> None:
    host.jupyter.location = "/lab?then=login"
    host.fails("mcp-jupyter-auth-required", "GET /api/contents answered 302")


@pytest.mark.parametrize(("path", "request_line"), [("/api/contents", "GET /api/contents"), ("/mcp", "POST /mcp")])
def test_a_server_open_to_strangers(host: Host, path: str, request_line: str) -> None:
    host.jupyter.open_paths = {path}
    words = [
        f"{request_line} answered 200 without a token",
        f"{request_line} answered 200 to a wrong token",
        "close the port",
    ]
    assert failed(host.fails("mcp-jupyter-auth-required", *words)) == ["mcp-jupyter-auth-required"]


def test_a_lock_that_any_token_opens(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "allowed", lambda self, path: "Authorization" in self.headers)
    checks = host.fails("mcp-jupyter-auth-required", "answered 200 to a wrong token")
    assert "without a token" not in checks["mcp-jupyter-auth-required"]["detail"]


def test_a_refusal_by_the_forgery_protection_alone_is_none(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def allowed(self: Handler, path: str) -> bool:
        if path != "/mcp":
            return self.headers.get("Authorization") == f"Bearer {TOKEN}"
        xsrf = self.headers.get("X-XSRFToken")
        return "Authorization" in self.headers or (xsrf and self.headers.get("Cookie") == f"_xsrf={xsrf}") is True

    monkeypatch.setattr(Handler, "allowed", allowed)
    host.fails("mcp-jupyter-auth-required", "POST /mcp answered 200 without a token")


def test_a_server_that_breaks_instead_of_refusing(host: Host) -> None:
    host.jupyter.answers["/api/contents"] = (500, "text/plain", "boom")
    checks = host.fails("mcp-jupyter-auth-required", "GET /api/contents answered 500")
    assert "close the port" not in checks["mcp-jupyter-auth-required"]["detail"]


def test_a_token_file_that_everybody_can_read(host: Host) -> None:
    host.token_file.chmod(0o644)
    host.fails("mcp-jupyter-auth-required", "open to every user (mode 0644)", "chmod 600")
