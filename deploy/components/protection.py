"""What protects the host: its firewall and SELinux."""

from __future__ import annotations

import ipaddress
from typing import Any

from deploy.components.base import Component
from deploy.operations import protection


class Protection(Component):
    """In system scope the port is opened and labels are set, where there is a firewall, and where SELinux is on."""

    def activate(self) -> None:
        if self.settings.scope == "system":
            protection.adjusted(name="Firewall and SELinux", spec=self._spec())

    def remove(self) -> None:
        if self.settings.scope == "system":
            protection.restored(name="Firewall and SELinux", spec=self._spec())

    def _spec(self) -> dict[str, Any]:
        return {
            "port": self.settings.port,
            "zone": self.settings.firewall_zone,
            "home": self.settings.home,
            "is_local": ipaddress.ip_address(self.settings.bind).is_loopback,
        }
