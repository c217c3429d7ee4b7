"""Taking a site's files away, but never its workspace."""

from __future__ import annotations

from pyinfra import host

from deploy.facts.hostscript import ask, tell
from deploy.operations import Commands, host_operation
from deploy.settings import Settings


@host_operation
def removed(settings: Settings) -> Commands:
    """Remove all that a deploy made below the home."""
    paths = [str(path) for path in settings.paths.removable()]
    spec = {"home": settings.home, "workspace": settings.workspace, "paths": paths}
    present = ask("removal", "look", spec)["present"]
    if present:
        yield tell("removal", "remove", spec, plan=[f"remove {path}" for path in present])
    else:
        host.noop("nothing is there")
