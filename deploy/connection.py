"""Connections to hosts: pyinfra's own, with our defaults, bounded, quick, and with errors that say what to do.

Whatever an inventory says about SSH wins over the defaults here. Nothing is ever asked at a prompt: a run over many
hosts has nobody to answer.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from typing import Any

import gevent
import paramiko.config
import pyinfra.connectors.sshuserclient.client
import pyinfra.connectors.util
from paramiko import Channel, SSHException, Transport
from pyinfra.api import Config, Host, State
from pyinfra.api.connect import disconnect_all
from pyinfra.api.exceptions import ConnectError, PyinfraError
from pyinfra.api.state import StateStage

from deploy import match_exec
from deploy.advice import advice

#: Seconds to wait for a connection, and for every answer while it is set up.
_CONNECT_SECONDS = 15
#: Seconds between signs of life, and for which one may be missing before the connection is given up.
_KEEPALIVE_SECONDS, _UNACKNOWLEDGED_SECONDS = 15, 60
_DEFAULTS: dict[str, Any] = {
    # A host whose key nobody has vouched for may be anybody.
    "ssh_strict_host_key_checking": "yes",
    "ssh_connect_retries": 2,
}
#: What paramiko raises, and pyinfra lets through, when a connection ends while something is asked for.
LOSSES = (EOFError, ConnectionError, SSHException)


class UnreachableError(Exception):
    """There is no connection to a host; the text says why, and what to do."""


def data_with_defaults(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a host as pyinfra takes them."""
    of_paramiko = {
        "banner_timeout": _CONNECT_SECONDS,
        "auth_timeout": 2 * _CONNECT_SECONDS,
        "channel_timeout": _UNACKNOWLEDGED_SECONDS,
        "transport_factory": _transport,
    } | (data.get("ssh_paramiko_connect_kwargs") or {})
    return {**_DEFAULTS, **data, "ssh_paramiko_connect_kwargs": of_paramiko}


def configuration() -> Config:
    return Config(FAIL_PERCENT=0, CONNECT_TIMEOUT=_CONNECT_SECONDS)


def connect(state: State) -> Host:
    """Connect to the one host of a state.

    Raises:
        UnreachableError: why not.
    """
    [host] = state.inventory
    state.set_stage(StateStage.Connect)
    pyinfra.connectors.util.getpass = _never_ask  # type: ignore[assignment]
    vars(paramiko.config)["invoke"] = match_exec
    # Only the key of a jump host comes to this: an inventory says nothing of it, and SSH configurations seldom do.
    ssh = pyinfra.connectors.sshuserclient.client
    vars(ssh)["AskPolicy"] = ssh.StrictPolicy
    try:
        host.connect(raise_exceptions=True)
    except ConnectError as error:
        raise UnreachableError(advice(str(error), host.name, host.data.dict())) from error
    except Exception as error:
        # pyinfra reads the configuration while it connects, and lets through whatever is wrong with it.
        raise UnreachableError(f"no connection to {host.name}: {error}. Look at your SSH configuration.") from error
    state.activate_host(host)
    if client := getattr(host.connector, "client", None):
        gevent.spawn(_expect_answers, client.get_transport())
    state.set_stage(StateStage.Prepare)
    return host


def is_lost(state: State) -> bool:
    """Whether the connection to the one host of a state was there and ended."""
    # Its end may have come and not have been read yet.
    gevent.sleep(0.1)
    [host] = state.inventory
    client = getattr(host.connector, "client", None)
    transport = client and client.get_transport()
    return client is not None and not (transport and transport.is_active())


def disconnect(state: State) -> None:
    """Let go of the host: what ran there for this connection ends with it."""
    with contextlib.suppress(Exception):
        disconnect_all(state)
    for host in state.inventory:
        if client := getattr(host.connector, "client", None):
            # paramiko looks ten times a second whether it is to end; the end of its line it notices at once.
            with contextlib.suppress(OSError, EOFError, AttributeError):
                client.get_transport().sock.shutdown(socket.SHUT_RDWR)
            # A ProxyCommand that has ended by itself is told to end, and is not there any more.
            with contextlib.suppress(ProcessLookupError):
                client.close()


def _transport(line: Any, **options: Any) -> Transport:
    """A connection as paramiko makes it, on a line that waits for nothing and is bounded from its first byte on."""
    # Through jump hosts this is a channel, and the socket belongs to the connection to the first of them.
    way = line
    while isinstance(way, Channel):
        way = way.get_transport().sock
    if isinstance(way, socket.socket):
        # Without it each small message waits for the acknowledgement of the one before, some 40 ms: one of those of
        # the handshake, and every command.
        way.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        way.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_SECONDS * 1000)
    return Transport(line, **options)


def _expect_answers(transport: Transport) -> None:
    """Ask for a sign of life now and then, and hang up on a host that gives none: its kernel may still acknowledge."""
    while transport.is_active():
        gevent.sleep(_KEEPALIVE_SECONDS)
        try:
            with gevent.Timeout(_UNACKNOWLEDGED_SECONDS):
                # Servers that do not know this request say so (RFC 4254, section 4). OpenSSH's clients ask the same.
                transport.global_request("keepalive@openssh.com", wait=True)
        except (gevent.Timeout, OSError, SSHException):
            transport.close()


def _never_ask(prompt: str = "", *_: object) -> str:
    raise PyinfraError(
        "sudo wants a password on this host. Allow this user sudo without one, or set _sudo_password in the inventory."
    )
