"""Connections to hosts: pyinfra's own, with our defaults, bounded, quick, and with errors that say what to do.

Whatever an inventory says about SSH wins over the defaults here. Nothing is ever asked at a prompt: a run over many
hosts has nobody to answer.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gevent
import paramiko.config
import pyinfra.connectors.sshuserclient.client
import pyinfra.connectors.util
from paramiko import Channel, SSHException, Transport
from pyinfra.api import Config, Host, State
from pyinfra.api.connect import connect_all, disconnect_all
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.state import BaseStateCallback, StateStage

from deploy import match_exec

#: Seconds to wait for a connection, and for every answer while it is set up.
_CONNECT_SECONDS = 15
#: Seconds between signs of life, and for which one may be missing before the connection is given up.
_KEEPALIVE_SECONDS, _UNACKNOWLEDGED_SECONDS = 15, 60
_DEFAULTS: dict[str, Any] = {
    # A host whose key nobody has vouched for may be anybody.
    "ssh_strict_host_key_checking": "yes",
    "ssh_connect_retries": 2,
}


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


class _ConnectErrors(BaseStateCallback):
    """Keeps what pyinfra only logs."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def host_connect_error(self, state: State, host: Host, error: Exception) -> None:  # type: ignore[override]
        self.reasons.append(str(error))


def connect(state: State) -> Host:
    """Connect to the one host of a state.

    Raises:
        UnreachableError: why not.
    """
    [host] = state.inventory
    errors = _ConnectErrors()
    state.add_callback_handler(errors)
    state.set_stage(StateStage.Connect)
    pyinfra.connectors.util.getpass = _never_ask  # type: ignore[assignment]
    vars(paramiko.config)["invoke"] = match_exec
    # Only the key of a jump host comes to this: an inventory says nothing of it, and SSH configurations seldom do.
    ssh = pyinfra.connectors.sshuserclient.client
    vars(ssh)["AskPolicy"] = ssh.StrictPolicy
    try:
        connect_all(state)
    except PyinfraError as error:
        raise UnreachableError(_advice(errors.reasons[0] if errors.reasons else str(error), host)) from error
    if client := getattr(host.connector, "client", None):
        gevent.spawn(_expect_answers, client.get_transport())
    state.set_stage(StateStage.Prepare)
    return host


def disconnect(state: State) -> None:
    """Let go of the host: what ran there for this connection ends with it."""
    with contextlib.suppress(Exception):
        disconnect_all(state)
    for host in state.inventory:
        if client := getattr(host.connector, "client", None):
            # paramiko looks ten times a second whether it is to end; the end of its line it notices at once.
            with contextlib.suppress(OSError, EOFError, AttributeError):
                client.get_transport().sock.shutdown(socket.SHUT_RDWR)
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


def _advice(reason: str, host: Host) -> str:
    """What pyinfra says of a connection that failed, as a sentence with what to do."""
    name, port = host.data.get("ssh_hostname") or host.name, int(host.data.get("ssh_port") or 22)
    entry = name if port == 22 else f"[{name}]:{port}"
    known = Path(host.data.get("ssh_known_hosts_file") or "~/.ssh/known_hosts").expanduser()
    if unknown := re.search(r"StrictPolicy: No host key for (\S+) found", reason):
        if unknown[1] != entry:
            return (
                f"the key of the jump host is unknown: {unknown[1]} is in none of the files that your SSH "
                "configuration names for it (UserKnownHostsFile). Connect to it once with ssh, and compare its "
                "fingerprint with its own."
            )
        return (
            f"the key of this host is unknown: {entry} is not in {known}. Connect once with ssh and compare the "
            "fingerprint with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub, on its console)."
        )
    if "Host key for" in reason:
        return (
            f"this host shows another key than the one in {known}. It was installed anew, or somebody is in between: "
            f"find out which. If the new key is right, forget the old one: ssh-keygen -R '{entry}' -f {known}"
        )
    if "Authentication error" in reason:
        user = host.data.get("ssh_user") or "the user of your SSH configuration"
        return f"{entry} refuses {user}: {reason}. Set ssh_user and ssh_key in the inventory, or load your SSH agent."
    return f"no connection to {entry}: {reason}. Is it up, and does sshd listen there?"
