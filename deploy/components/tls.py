"""HTTPS, for JupyterLab, its API and MCP alike."""

from __future__ import annotations

import hashlib
import ipaddress
from pathlib import Path

from pyinfra.api.exceptions import OperationError

from deploy.components.base import Component
from deploy.operations import certificate


class Tls(Component):
    """A certificate that the host makes, has or is sent; running `up` again renews what it made or was sent."""

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
        sent = self.settings.tls_files_here
        contents = dict(zip(("certificate", "key"), map(_text, sent), strict=True)) if sent else None
        if contents:
            spec["sha256"] = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in contents.items()}
        certificate.usable(name="Certificate", spec=spec, contents=contents, as_user=self.paths.owner)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeError) as error:
        raise OperationError(f"{path}, on the machine that deploys, cannot be read as PEM: {error}") from error
