"""Taking a site away: only what a deploy made, and never the workspace."""

from __future__ import annotations

import shutil
from pathlib import Path

from jupyfleet_host.common import HostError, Result, Spec, progress


def look(spec: Spec) -> Result:
    """Say what is there to remove: ``{"present": [path, …]}``."""
    return {"present": [path for path in spec["paths"] if Path(path).exists() or Path(path).is_symlink()]}


def remove(spec: Spec) -> Result:
    """Remove `paths`, and directories of `home` that are empty then: ``{"removed": [path, …]}``."""
    home, workspace = Path(spec["home"]), Path(spec["workspace"])
    for name in spec["paths"]:
        _refuse_what_is_not_ours(Path(name), home, workspace)
    removed = []
    for name in spec["paths"]:
        path = Path(name)
        if path.is_symlink() or path.is_file() or path.is_socket():
            path.unlink()
        elif path.is_dir():
            progress(f"removing {path}")
            shutil.rmtree(path)
        else:
            continue
        removed.append(name)
    for name in (".pixi/envs", ".pixi", ".config", "share", "."):
        _remove_if_empty(home / name)
    return {"removed": removed}


def remove_system(spec: Spec) -> Result:
    """Remove files that root laid down outside the home, and directories with jupyfleet's name: ``{"removed": …}``."""
    removed = []
    for name in spec["paths"]:
        path = Path(name)
        if path.is_dir() and not path.is_symlink():
            if "jupyfleet" not in path.name:
                raise HostError(f"{path} is a directory that others use, too; it was not removed.")
            shutil.rmtree(path)
        elif path.exists() or path.is_symlink():
            path.unlink()
        else:
            continue
        removed.append(name)
    return {"removed": removed}


def look_at_workspace(spec: Spec) -> Result:
    """Say whether there is a workspace: ``{"there": bool}``."""
    return {"there": Path(spec["workspace"]).is_dir()}


def remove_workspace(spec: Spec) -> Result:
    """Remove the `workspace` with everything in it, and the `home` when it is empty then.

    A link is not followed, and what is mounted there stays: its disk may be somebody else's.
    """
    workspace, home = Path(spec["workspace"]), Path(spec["home"])
    if workspace.is_symlink():
        raise HostError(f"{workspace} is a link to {workspace.readlink()}; remove that yourself if you want it gone.")
    if workspace.is_mount():
        raise HostError(f"{workspace} is a mount point; unmount it, or remove its files yourself.")
    if workspace == Path.home() or workspace in Path.home().parents:
        raise HostError(f"{workspace} holds a person's home; nothing was removed.")
    progress(f"removing {workspace}")
    shutil.rmtree(workspace)
    _remove_if_empty(home)
    return {"summary": str(workspace)}


def _refuse_what_is_not_ours(path: Path, home: Path, workspace: Path) -> None:
    """By name, and by where links lead: a workspace may be inside by another name."""
    real = path.parent.resolve() / path.name
    is_ours = path.is_relative_to(home) and path != home and ".." not in path.parts
    if not is_ours or workspace.is_relative_to(path) or workspace.resolve().is_relative_to(real):
        raise HostError(f"{path} is not jupyfleet's to remove, or holds the workspace; nothing was removed.")


def _remove_if_empty(directory: Path) -> None:
    if directory.is_dir() and not directory.is_symlink() and next(directory.iterdir(), None) is None:
        directory.rmdir()
