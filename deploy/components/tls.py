"""HTTPS, for JupyterLab, its API and MCP alike."""

from __future__ import annotations

import ipaddress

from deploy.components.base import Component
from deploy.operations import certificate


class Tls(Component):
    """A certificate that the host makes for itself, or one that it was given; running `up` again renews the former."""

    def activate(self) -> None:
        files = self.settings.tls_files
        if files is None:
            return
        bound = [] if ipaddress.ip_address(self.settings.bind).is_unspecified else [self.settings.bind]
        spec = {
            "certificate": str(files.certificate),
            "key": str(files.key),
            "is_ours": self.settings.tls == "self-signed",
            "names": [*bound, *self.settings.allowed_hosts],
        }
        certificate.usable(name="Certificate", spec=spec, as_user=self.paths.owner)
