"""Who may talk to the endpoint, decided from the request's headers alone.

A token proves who sends a request, not where it was made: a web page that has learnt a token, or a host name that an
attacker points at this machine (DNS rebinding), must be refused all the same. So Host and Origin are compared with
what this server is known as, before and independently of authentication. Pure functions; no server needed.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

__all__ = ["HostPolicy", "is_loopback", "machine_names", "split_host"]

_DEFAULT_PORTS = {"http": 80, "https": 443}


def split_host(header: str) -> tuple[str, int | None] | None:
    """Split a Host header into (name, port), lower case and without brackets; None when it is not one."""
    header = header.strip().lower()
    if not header or any(char in header for char in "/\\@?#, \t"):
        return None
    try:
        parts = urlsplit(f"//{header}")
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname:
        return None
    return parts.hostname.rstrip("."), port


def is_loopback(name: str) -> bool:
    """Whether a host name or address means this machine to itself."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def machine_names() -> frozenset[str]:
    """The names that this machine gives itself, lower case. No name service is asked."""
    name = socket.gethostname().lower().rstrip(".")
    return frozenset({name, name.split(".")[0]}) if name else frozenset()


@dataclass(frozen=True)
class HostPolicy:
    """Host names and origins that requests may carry.

    `hosts`: names or patterns ('lab.example.org', '*.example.org'), lower case, without port.
    `origins`: 'scheme://host[:port]' of pages that may call from a browser. `machine`: this machine's own names.
    """

    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    machine: frozenset[str] = frozenset()

    @classmethod
    def of(cls, hosts: Iterable[str], origins: Iterable[str], machine: Iterable[str] = ()) -> HostPolicy:
        return cls(
            frozenset(host.strip().lower().rstrip(".") for host in hosts if host.strip()),
            frozenset(origin.strip().lower().rstrip("/") for origin in origins if origin.strip()),
            frozenset(machine),
        )

    def host_allowed(self, header: str, local_address: str | None) -> bool:
        """Whether a Host header names this server.

        `local_address` is the address at which the connection arrived. The port is not compared: a tunnel changes it.
        """
        split = split_host(header)
        if split is None:
            return False
        name = split[0]
        if is_loopback(name) or name in self.machine or name in self.hosts:
            return True
        if local_address is not None and _same_address(name, local_address):
            return True
        return any("*" in pattern and fnmatchcase(name, pattern) for pattern in self.hosts)

    def origin_allowed(self, origin: str, host_header: str) -> bool:
        """Whether an Origin header is this server's own, or one that the configuration trusts."""
        origin = origin.strip().lower().rstrip("/")
        if origin in self.origins:
            return True
        try:
            parts = urlsplit(origin)
            port = parts.port
        except ValueError:
            return False
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.path or parts.query or parts.fragment:
            return False
        if parts.username is not None or parts.password is not None:
            return False
        host = split_host(host_header)
        if host is None:
            return False
        default = _DEFAULT_PORTS[parts.scheme]
        # Behind a TLS proxy the page's scheme is https and ours http, so only name and port can be compared.
        return parts.hostname.rstrip(".") == host[0] and (port or default) == (host[1] or default)


def _same_address(name: str, local_address: str) -> bool:
    try:
        given, local = ipaddress.ip_address(name), ipaddress.ip_address(local_address.split("%")[0])
    except ValueError:
        return False
    if isinstance(local, ipaddress.IPv6Address) and local.ipv4_mapped is not None:
        local = local.ipv4_mapped
    return given == local
