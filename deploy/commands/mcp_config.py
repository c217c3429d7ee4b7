"""``jupyfleet mcp-config``: what MCP clients want to be told."""

from __future__ import annotations

import ipaddress
import json as json_module
import shlex
from typing import Annotated

import typer

from deploy import clients
from deploy.clients import Client, Server
from deploy.commands import common
from deploy.inventory import SiteHost

For = Annotated[Client, typer.Option("--client", help="The program to configure.")]


def mcp_config(
    inventory: common.Inventory,
    limit: common.Limit = None,
    data: common.Data = None,
    client: For = Client.CLAUDE_CODE,
    json: common.Json = False,
    verbose: common.Verbose = False,
) -> None:
    """Print the configuration of an MCP client for the servers of a site, ready to paste. No host is touched.

    No token is in it: it comes from an environment variable, or the client asks for it. With `--json` the
    configurations of all clients come as one document.

    Examples: `jupyfleet mcp-config inventories/lab.py --client cursor`;
    `export OV_MCP_SERVERS="$(jupyfleet mcp-config inventories/lab.py --client ov-mcp-servers)"`
    """
    hosts = common.load(inventory, limit, data, verbose)
    servers = servers_of(hosts)
    if json:
        documents = {each.value: json_module.loads(clients.configuration(each, servers)) for each in Client}
        typer.echo(json_module.dumps(documents, indent=2))
        return
    typer.echo(clients.configuration(client, servers))
    typer.echo(f"\nThis belongs into {clients.PLACES[client]}.", err=True)
    for host, server in zip(hosts, servers, strict=True):
        if server.variable:
            show = f"jupyfleet token show {shlex.quote(str(inventory))} --limit {shlex.quote(host.name)}"
            typer.echo(f'export {server.variable}="$({show})"', err=True)
        if _is_loopback(host):
            bind, port = host.settings.bind, host.settings.port
            typer.echo(f"{host.name} listens on its loopback: ssh -L {port}:{bind}:{port} leads there.", err=True)


def servers_of(hosts: list[SiteHost]) -> list[Server]:
    """The MCP servers of hosts, as a client on another machine reaches them."""
    return [
        Server(name, f"{clients.url_of(host.settings, host.address)}mcp", clients.variable_of(name) if auth else None)
        for name, host, auth in (
            (name, host, host.settings.auth == "token")
            for name, host in zip(clients.server_names([host.name for host in hosts]), hosts, strict=True)
        )
    ]


def _is_loopback(host: SiteHost) -> bool:
    return not host.is_this_machine and ipaddress.ip_address(host.settings.bind).is_loopback
