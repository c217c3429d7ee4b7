"""Taking a site's files away, but never its workspace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from pyinfra import host

from deploy.facts.hostscript import ask, tell
from deploy.operations import Commands, host_operation
from deploy.settings import Settings


@host_operation
def removed(settings: Settings, system: Sequence[PurePosixPath]) -> Commands:
    """Remove all that a deploy made below the home, and with `system` what it laid down outside of it."""
    paths = [str(path) for path in settings.paths.removable()]
    spec = {"home": settings.home, "workspace": settings.workspace, "paths": paths}
    present = ask("removal", "look", spec, as_user=settings.paths.owner)["present"]
    if present:
        plan = [f"remove {path}" for path in present]
        yield tell("removal", "remove", spec, plan=plan, as_user=settings.paths.owner)
    outside = {"paths": [str(path) for path in system]}
    left = ask("removal", "look", outside, as_user=settings.as_root)["present"] if system else []
    if left:
        plan = [f"remove {path}" for path in left]
        yield tell("removal", "remove_system", outside, plan=plan, as_user=settings.as_root)
    if not present and not left:
        host.noop("nothing is there")


@host_operation
def workspace_removed(settings: Settings) -> Commands:
    """Remove the workspace with everything in it: only for somebody who has named it."""
    spec = {"home": settings.home, "workspace": settings.workspace}
    if ask("removal", "look_at_workspace", spec, as_user=settings.paths.owner)["there"]:
        plan = [f"remove {settings.workspace} with every notebook in it"]
        yield tell("removal", "remove_workspace", spec, plan=plan, as_user=settings.paths.owner)
    else:
        host.noop("there is no workspace")
