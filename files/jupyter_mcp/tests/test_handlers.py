"""The endpoint's access rules: every method, every kind of wrong token, foreign Host and Origin, sizes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import EXTENSIONS
from jupyter_server.auth import Authorizer
from tornado.httpclient import HTTPResponse

PING = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})
JSON = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2025-11-25",
}


@pytest.fixture
def ask(http_server_client: Any, jp_serverapp: Any, jp_base_url: str) -> Any:
    """Send a request exactly as given; the response, whatever its status."""

    async def send(
        method: str = "POST",
        *,
        token: str | None = "right",
        body: str | bytes | None = PING,
        query: str = "",
        **headers: str,
    ) -> HTTPResponse:
        sent = dict(JSON)
        if token is not None:
            found = jp_serverapp.identity_provider.token if token == "right" else token
            sent["Authorization"] = f"Bearer {found}"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if method in ("GET", "HEAD", "DELETE", "OPTIONS"):
            body = None
        response: HTTPResponse = await http_server_client.fetch(
            f"{jp_base_url}mcp{query}",
            method=method,
            headers=sent,
            body=body,
            raise_error=False,
            follow_redirects=False,
            allow_nonstandard_methods=True,
        )
        return response

    return send


def error_of(response: HTTPResponse) -> str:
    found = json.loads(response.body)
    assert found["jsonrpc"] == "2.0"
    message: str = found["error"]["message"]
    return message


async def test_ping(ask: Any) -> None:
    response = await ask()
    assert response.code == 200
    assert json.loads(response.body) == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert response.headers["Content-Type"].startswith("application/json")
    assert "Set-Cookie" not in response.headers, "no login cookie for a program"


@pytest.mark.parametrize("scheme", ["Bearer", "token", "bearer"])
async def test_header_schemes(ask: Any, jp_serverapp: Any, scheme: str) -> None:
    token = jp_serverapp.identity_provider.token
    response = await ask(token=None, Authorization=f"{scheme} {token}")
    assert response.code == 200


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("token", [None, "wrong", "", " ", "null", "right\n"])
async def test_no_method_without_the_right_token(ask: Any, method: str, token: str | None) -> None:
    if token == "right\n":
        token = "right "
    response = await ask(method, token=token)
    assert response.code in (401, 403)
    assert b"result" not in (response.body or b"")


async def test_a_token_in_the_address_counts_for_nothing(ask: Any, jp_serverapp: Any) -> None:
    token = jp_serverapp.identity_provider.token
    assert (await ask(token=None, query=f"?token={token}")).code == 403
    assert (await ask(token="wrong", query=f"?token={token}")).code == 403
    assert (await ask(query="?token=wrong")).code == 200
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    response = await ask(token=None, body=f"token={token}", Content_Type=form["Content-Type"])
    assert response.code == 403


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_only_post_means_anything(ask: Any, method: str) -> None:
    response = await ask(method)
    assert response.code == 405
    assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", "http://127.0.0.1"])
@pytest.mark.parametrize("token", ["right", None])
async def test_foreign_origin(ask: Any, origin: str, token: str | None) -> None:
    response = await ask(token=token, Origin=origin)
    assert response.code == 403
    assert "Origin" in error_of(response)
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_own_origin(ask: Any, jp_http_port: int) -> None:
    response = await ask(Origin=f"http://127.0.0.1:{jp_http_port}")
    assert response.code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8888", "127.0.0.1.evil.example", "192.0.2.1"])
@pytest.mark.parametrize("token", ["right", None])
async def test_foreign_host(ask: Any, host: str, token: str | None) -> None:
    response = await ask(token=token, Host=host)
    assert response.code == 403


async def test_rebound_name_with_matching_origin(ask: Any) -> None:
    response = await ask(Host="evil.example:8888", Origin="http://evil.example:8888")
    assert response.code == 403


async def test_login_cookie_needs_the_xsrf_token(ask: Any, jp_fetch: Any, jp_serverapp: Any) -> None:
    """A browser that is logged in sends its cookie with every request, also with those that a foreign page made."""
    page = await jp_fetch("api", "status")
    cookies = "; ".join(value.split(";")[0] for value in page.headers.get_list("Set-Cookie"))
    assert "username-" in cookies
    response = await ask(token=None, Cookie=cookies)
    assert response.code == 403
    assert (await ask("GET", token=None, Cookie=cookies)).code in (403, 405)


@pytest.mark.parametrize(
    "jp_server_config",
    [
        {
            "ServerApp": {
                "jpserver_extensions": dict(EXTENSIONS),
                "allow_unauthenticated_access": True,
                "allow_origin": "*",
            }
        }
    ],
)
async def test_a_lax_server_changes_nothing(ask: Any) -> None:
    """The rules hold by themselves, whatever the server around them permits."""
    assert (await ask(token=None)).code == 403
    assert (await ask(token="wrong")).code == 403
    assert (await ask("OPTIONS", token=None)).code == 403
    assert (await ask(Origin="https://evil.example")).code == 403
    assert (await ask()).code == 200


async def test_body_limit(ask: Any) -> None:
    response = await ask(body=b"x" * (4 * 1024 * 1024 + 1))
    assert response.code == 413
    response = await ask(token=None, body=b"x" * (4 * 1024 * 1024 + 1))
    assert response.code in (403, 599), "a stranger's body is not even read"


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '"x"', "\x00", '{"jsonrpc":"1.0"}', '{"id":1}'])
async def test_nonsense(ask: Any, body: str) -> None:
    response = await ask(body=body)
    assert 400 <= response.code < 500


async def test_wrong_content_type(ask: Any) -> None:
    response = await ask(Content_Type="text/plain")
    assert 400 <= response.code < 500


async def test_a_notification_is_accepted_without_an_answer(ask: Any) -> None:
    body = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"})
    response = await ask(body=body)
    assert response.code == 202
    assert response.body == b""


async def test_unknown_revision(ask: Any) -> None:
    assert (await ask(MCP_Protocol_Version="1999-01-01")).code == 400


class Strict(Authorizer):
    """Allows what its class says."""

    granted: tuple[tuple[str, str], ...] = ()

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return (action, resource) in type(self).granted


@pytest.mark.parametrize(
    ("granted", "allowed"),
    [
        ((), None),
        ((("read", "mcp"),), set()),
        ((("read", "mcp"), ("read", "contents")), {"notebook_list", "room_list"}),
        (
            (("read", "mcp"), ("read", "contents"), ("write", "contents")),
            {"notebook_list", "room_list", "notebook_create"},
        ),
        (
            (("read", "mcp"), ("read", "contents"), ("execute", "kernels")),
            {"notebook_list", "room_list", "kernel_restart"},
        ),
    ],
)
async def test_the_authorizer_decides_per_tool(
    ask: Any, jp_serverapp: Any, granted: tuple[tuple[str, str], ...], allowed: set[str] | None
) -> None:
    authorizer = type("Authorizer", (Strict,), {"granted": granted})(parent=jp_serverapp)
    jp_serverapp.web_app.settings["authorizer"] = authorizer
    tools = {
        "notebook_list": {},
        "room_list": {},
        "notebook_create": {"path": "new.ipynb"},
        "kernel_restart": {"path": "none.ipynb"},
        "cell_execute": {"path": "none.ipynb", "index": 0},
    }
    for tool, arguments in tools.items():
        body = json.dumps(
            {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
        )
        response = await ask(body=body)
        if allowed is None:
            assert response.code == 403
            continue
        result = json.loads(response.body)["result"]
        refused = result["isError"] and "does not allow you" in result["content"][0]["text"]
        assert refused is (tool not in allowed), (tool, result)


async def test_without_authentication_mcp_is_off(ask: Any, jp_serverapp: Any) -> None:
    jp_serverapp.identity_provider.token = ""
    assert not jp_serverapp.identity_provider.auth_enabled
    response = await ask(token=None)
    assert response.code == 403
    assert "without authentication" in error_of(response)


@pytest.mark.parametrize(
    "jp_server_config",
    [{"ServerApp": {"jpserver_extensions": dict(EXTENSIONS)}, "JupyterMCP": {"allow_without_auth": True}}],
)
async def test_without_authentication_on_request(ask: Any, jp_serverapp: Any, jp_http_port: int) -> None:
    jp_serverapp.identity_provider.token = ""
    jp_serverapp.ip = "127.0.0.1"
    assert (await ask(token=None)).code == 200
    assert (await ask(token=None, Origin=f"http://127.0.0.1:{jp_http_port}")).code == 200
    assert (await ask(token=None, Origin="https://evil.example")).code == 403
    assert (await ask(token=None, Host="evil.example")).code == 403
    assert (await ask(token=None, Sec_Fetch_Site="cross-site")).code == 403
    assert (await ask(token=None, Content_Type="text/plain")).code == 403
    jp_serverapp.ip = "0.0.0.0"
    assert (await ask(token=None)).code == 403, "open to the network"
    jp_serverapp.ip = ""
    assert (await ask(token=None)).code == 403, "open to the network"
