"""Many names for one host: what a run costs the controller for each of them, without a machine for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fleet.site import Site
from tests.machines.sshd_hosts import SshdHost


@dataclass
class _Name:
    """One of the names by which an inventory has a host."""

    name: str
    host: SshdHost

    @property
    def address(self) -> str:
        return self.host.address

    @property
    def data(self) -> dict[str, Any]:
        return self.host.data


def names_of_one_host(directory: Path, host: SshdHost, count: int) -> Site:
    """A site in which one host, with a real sshd and a server that runs, stands `count` times under other names."""
    names: Sequence[Any] = [_Name(f"name{number:03}", host) for number in range(count)]
    return Site(directory, names)
