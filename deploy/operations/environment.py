"""Environments on a host: installed beside the running one, then made active."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from pyinfra import host
from pyinfra.api import FileUploadCommand

from deploy.environment.bundle import Bundle
from deploy.environment.releases import Release
from deploy.facts.hostscript import ask, tell
from deploy.operations import Commands, Refusal, host_operation
from deploy.paths import HostPaths
from jupyfleet_host.common import plural


@host_operation
def installed(release: Release, paths: HostPaths, directory: PurePosixPath, link: PurePosixPath | None) -> Commands:
    """Install an environment unless it is there, complete and undamaged. What runs is not touched."""
    path = str(directory)
    state = ask("releases", "state", {"paths": [path], "link": str(link) if link else None}, as_user=paths.owner)
    if state["stamped"][path]:
        host.noop(f"{path} is complete")
        return
    # Only a plan comes here without a lock: a deploy has seen to it first.
    unsolved = [] if release.is_solved else ["find versions that go together, and keep them beside the inventory"]
    wheels = None
    if release.bundle:
        wheels = str(paths.bundles / release.bundle.name)
        yield from _unpacked(release.bundle, paths, wheels, release.build_spec().get("python"))
    yield tell(
        "environment",
        "build",
        release.build_spec()
        | {
            "bundle": wheels,
            "lock_file": str(paths.lock),
            "tools": str(paths.tools),
            "path": path,
            "link": str(link) if link else None,
        },
        plan=[*unsolved, f"install {plural(release.count, 'package', 'packages')} into {path}"],
        as_user=paths.owner,
    )


def _unpacked(bundle: Bundle, paths: HostPaths, directory: str, python: str | None) -> Commands:
    """Have a bundle on the host; most often it is there from a moment ago, for another environment of this host."""
    if ask("bundle", "state", {"directory": directory}, as_user=paths.owner)["unpacked"]:
        return
    archive = bundle.on_host
    if archive is None:
        archive = f"/tmp/jupyfleet-{bundle.name}.tar"  # noqa: S108 - its digest is checked before it is opened.
        yield FileUploadCommand(bundle.source, archive)
    spec = {
        "lock_file": str(paths.lock),
        "archive": archive,
        "sha256": bundle.sha256,
        "directory": directory,
        "provider": bundle.provider,
        "python": python,
        "discard": bundle.on_host is None,
    }
    yield tell("bundle", "unpack", spec, plan=[f"unpack {bundle.source} into {directory}"], as_user=paths.owner)


@host_operation
def active(paths: HostPaths, directory: PurePosixPath, keep: int) -> Commands:
    """Point the active environment at a release by one rename; remove all but the newest `keep`."""
    path, link = str(directory), str(paths.environment)
    state = ask("releases", "state", {"paths": [path], "link": link}, as_user=paths.owner)
    if state["active"] == path and state["stamped"][path]:
        host.noop(f"{path} is active")
        return
    spec = {"lock_file": str(paths.lock), "path": path, "link": link, "keep": keep}
    plan = [f"point {link} at {path}, instead of {state['active'] or 'nothing'}"]
    yield tell("releases", "activate", spec, plan=plan, as_user=paths.owner)


@host_operation
def rolled_back(
    paths: HostPaths, proof: dict[str, Any], to: str | None, wanted: str | None, as_user: str | None
) -> Commands:
    """Go back to the release that was active before, or to the one whose name begins with `to`, and prove it.

    `proof` is that of `jupyfleet_host.rollback.prove`; `wanted`: the release that settings ask for.
    """
    where = {"releases": str(paths.releases), "link": str(paths.environment)}
    known = ask("releases", "listing", where, as_user=paths.owner)
    target, refusal = choose_release(known, to)
    if target is None:
        yield Refusal(refusal)
    elif target == known["active"]:
        host.noop(f"release {target} is active already")
    else:
        spec = proof | {"to": str(paths.release(target)), "wanted": wanted}
        plan = [f"make release {target} active, instead of {known['active']}"]
        yield tell("rollback", "back", spec, plan=plan, as_user=as_user)


def choose_release(known: dict[str, Any], to: str | None) -> tuple[str | None, str]:
    """The name of the release to go back to, or none and why. `known` is what `releases.listing` answers."""
    complete, active = known["complete"], known["active"]
    others = [name for name in complete if name != active]
    there = f"There are {', '.join(others)}: name one with --to." if others else "There is no other complete one."
    if active is None:
        return None, "no release is active on this host, so there is nothing to go back from. Run up."
    if to is not None:
        found = [name for name in complete if name.startswith(to)]
        if len(found) == 1:
            return found[0], ""
        return None, f"{'no release' if not found else 'more than one release'} begins with {to}. {there}"
    if known["previous"] is None:
        return None, f"nothing was active before release {active}, so there is nothing to go back to. {there}"
    if known["previous"] not in complete:
        return None, f"release {known['previous']}, which was active before, is gone or damaged. {there}"
    return known["previous"], ""
