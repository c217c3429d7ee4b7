"""What MCP clients are told: each in its own shape, and never a token."""

from __future__ import annotations

import json

import pytest

from deploy.clients import PLACES, Client, Server, configuration, server_names, variable_of

ONE = [Server("jupyfleet", "http://lab:8888/mcp", "JUPYFLEET_TOKEN")]
OPEN = [Server("jupyfleet", "http://127.0.0.1:8888/mcp", None)]


def document(client: Client, servers: list[Server] = ONE) -> object:
    return json.loads(configuration(client, servers))


def test_claude_code_takes_the_token_from_the_environment() -> None:
    entry = {
        "type": "http",
        "url": "http://lab:8888/mcp",
        "headers": {"Authorization": "Bearer ${JUPYFLEET_TOKEN}"},
    }
    assert document(Client.CLAUDE_CODE) == {"mcpServers": {"jupyfleet": entry}}


def test_cursor_names_the_environment_in_its_own_way() -> None:
    entry = {"url": "http://lab:8888/mcp", "headers": {"Authorization": "Bearer ${env:JUPYFLEET_TOKEN}"}}
    assert document(Client.CURSOR) == {"mcpServers": {"jupyfleet": entry}}


def test_vs_code_asks_for_the_token() -> None:
    told = document(Client.VSCODE)
    assert isinstance(told, dict)
    [asked] = told["inputs"]
    assert asked["password"] is True
    assert told["servers"]["jupyfleet"]["headers"]["Authorization"] == f"Bearer ${{input:{asked['id']}}}"


def test_open_webui_gets_a_connection() -> None:
    told = document(Client.OPEN_WEBUI)
    assert isinstance(told, list)
    assert (told[0]["type"], told[0]["auth_type"], told[0]["key"]) == ("mcp", "bearer", "${JUPYFLEET_TOKEN}")


def test_agents_get_name_url_and_transport_on_one_line() -> None:
    text = configuration(Client.OV_MCP_SERVERS, ONE)
    assert "\n" not in text
    assert json.loads(text) == [{"name": "jupyfleet", "url": "http://lab:8888/mcp", "transport": "streamable-http"}]


@pytest.mark.parametrize("client", Client)
def test_without_authentication_nothing_speaks_of_a_token(client: Client) -> None:
    assert "TOKEN" not in configuration(client, OPEN)
    assert "Authorization" not in configuration(client, OPEN)
    assert client in PLACES


def test_every_host_has_a_name_and_a_variable_of_its_own() -> None:
    assert server_names(["lab1.example.org"]) == ["jupyfleet"]
    assert server_names(["Lab1.example.org", "@local"]) == ["jupyfleet-lab1-example-org", "jupyfleet-local"]
    assert variable_of("jupyfleet-lab1") == "JUPYFLEET_LAB1_TOKEN"
