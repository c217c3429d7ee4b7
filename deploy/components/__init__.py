"""What a site consists of: one small module per component, in the order in which they build on each other."""

from __future__ import annotations

from deploy.components.auth import Auth
from deploy.components.base import Component
from deploy.components.environment import Environment
from deploy.components.extension import ExtensionConfiguration
from deploy.components.host import Host
from deploy.components.protection import Protection
from deploy.components.service import Service
from deploy.components.tls import Tls
from deploy.components.workspace import Workspace

#: The service comes last: it restarts when files of the others change.
ORDER: tuple[type[Component], ...] = (
    Host,
    Workspace,
    Environment,
    ExtensionConfiguration,
    Auth,
    Tls,
    Protection,
    Service,
)

__all__ = ["ORDER", "Component"]
