"""Environments on a host: installed beside the running one, then made active."""

from __future__ import annotations

from pathlib import PurePosixPath

from pyinfra import host

from deploy.environment.releases import Release
from deploy.facts.hostscript import ask, tell
from deploy.operations import Commands, host_operation
from deploy.paths import HostPaths
from jupyfleet_host.common import plural


@host_operation
def installed(release: Release, paths: HostPaths, directory: PurePosixPath, link: PurePosixPath | None) -> Commands:
    """Install an environment unless it is there, complete and undamaged. What runs is not touched."""
    path = str(directory)
    state = ask("environment", "state", {"paths": [path], "link": str(link) if link else None}, as_user=paths.owner)
    if state["stamped"][path]:
        host.noop(f"{path} is complete")
        return
    yield tell(
        "environment",
        "build",
        release.build_spec()
        | {
            "lock_file": str(paths.lock),
            "tools": str(paths.tools),
            "path": path,
            "link": str(link) if link else None,
        },
        plan=[f"install {plural(release.count, 'package', 'packages')} into {path}"],
        as_user=paths.owner,
    )


@host_operation
def active(paths: HostPaths, directory: PurePosixPath, keep: int) -> Commands:
    """Point the active environment at a release by one rename; remove all but the newest `keep`."""
    path, link = str(directory), str(paths.environment)
    state = ask("environment", "state", {"paths": [path], "link": link}, as_user=paths.owner)
    if state["active"] == path and state["stamped"][path]:
        host.noop(f"{path} is active")
        return
    spec = {"lock_file": str(paths.lock), "path": path, "link": link, "keep": keep}
    plan = [f"point {link} at {path}, instead of {state['active'] or 'nothing'}"]
    yield tell("environment", "activate", spec, plan=plan, as_user=paths.owner)
