"""The releases of a home: which are complete, which one is active, which came before it, and which may go.

A release is a directory below ``releases``, named by its content and made by `jupyfleet_host.environment`. What serves
is a link to the environment in it, its prefix. A switch is one rename of that link; it is written down in the release
first, and stays unproven until `jupyfleet_host.rollback` has seen the server pass its checks.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jupyfleet_host.common import HostError, Result, Spec

STAMP = "jupyfleet-release.json"
SWITCH = "jupyfleet-switch.json"
#: Where pixi has its environment in a release; uv's is the release itself.
PREFIX_OF_PIXI = Path(".pixi/envs/default")


def state(spec: Spec) -> Result:
    """Say how things are: ``{"stamped": {path: bool}, "active": path | None, "previous": path | None}``.

    The spec has `paths`, the releases to look at, and `link`, the symlink to the active one, or none. `previous` is
    where a rollback would go.
    """
    paths = [Path(path) for path in spec["paths"]]
    link = Path(spec["link"]) if spec.get("link") else None
    active = release_of(link) if link else None
    if active:
        active = next((path for path in paths if path.resolve() == active), active)
    before = switch_of(active).get("before") if active else None
    return {
        "stamped": {str(path): is_complete(path) for path in paths},
        "active": str(active) if active else None,
        "previous": str(active.with_name(before)) if active and before else None,
    }


def listing(spec: Spec) -> Result:
    """Name the releases that are there: ``{"active": name | None, "previous": name | None, "complete": [name, …]}``.

    The spec has `releases`, their directory, and `link`. The newest of the complete ones is the first. Complete are
    here all that were finished once: that one is still as it was then takes long to see, so `go_back` looks at the one
    that it makes active alone.
    """
    directory, active = Path(spec["releases"]), release_of(Path(spec["link"]))
    found = [path for path in directory.iterdir() if _was_finished(path)] if directory.is_dir() else []
    return {
        "active": active.name if active else None,
        "previous": switch_of(active).get("before") if active else None,
        "complete": [path.name for path in sorted(found, key=_built_at, reverse=True)],
    }


def activate(spec: Spec) -> Result:
    """Point `link` at the release `path` by one rename: ``{"removed": [path]}``.

    What is not among the newest `keep` goes, unless the new one has yet to prove itself: that waits for the proof.
    """
    link, path = Path(spec["link"]), Path(spec["path"])
    with exclusive(Path(spec["lock_file"])):
        require_complete(path, "Run up again.")
        if link.exists() and not link.is_symlink():
            raise HostError(f"{link} is in the way: it is no link of jupyfleet's. Move it away.")
        active = release_of(link)
        if active != path.resolve():
            before = _last_proven(active, path)
            write_switch(path, {"before": before, "instead_of": before})
            point(link, path)
        removed = [] if unproven(link) else prune(path.parent, link, spec["keep"])
    return {"removed": removed, "summary": f"{path.name}, {len(removed)} old removed" if removed else path.name}


def pending(spec: Spec) -> Result:
    """Whether the active release has yet to prove itself: ``{"unproven": [its name, that of the one before] | None}``.

    The spec has `link`.
    """
    pair = unproven(Path(spec["link"]))
    return {"unproven": [release.name for release in pair] if pair else None}


def confirm(spec: Spec) -> Result:
    """The active release has proven itself; what is old goes: ``{"removed": [path]}``. The spec is as of `activate`."""
    link = Path(spec["link"])
    with exclusive(Path(spec["lock_file"])):
        if pair := unproven(link):
            write_switch(pair[0], {"before": switch_of(pair[0]).get("before")})
        active = release_of(link)
        return {"removed": prune(active.parent, link, spec["keep"]) if active else []}


def take_back(spec: Spec) -> Result:
    """The active release has failed: the one before becomes active again. The spec has `lock_file` and `link`."""
    link = Path(spec["link"])
    with exclusive(Path(spec["lock_file"])):
        if pair := unproven(link):
            release, before = pair
            if not is_complete(before):
                raise HostError(f"The release before it, {before.name}, is not complete.")
            point(link, before)
            write_switch(release, {"before": switch_of(release).get("before")})
    return {}


def go_back(spec: Spec) -> Result:
    """Make the release `to` active, unproven: ``{"from": name, "to": name}``. The spec has `lock_file` and `link`, too.

    Where one goes back from there stays what it was, so that going back twice leads further back.
    """
    link, to = Path(spec["link"]), Path(spec["to"])
    with exclusive(Path(spec["lock_file"])):
        require_complete(to, "Roll back to another one.")
        active = release_of(link)
        if active is None:
            raise HostError("no release is active on this host. Run up.")
        pair = unproven(link)
        back_to = pair[1] if pair else active
        write_switch(to, {"before": switch_of(to).get("before"), "instead_of": back_to.name})
        point(link, to)
        return {"from": active.name, "to": to.name}


def require_complete(path: Path, advice: str) -> None:
    """Refuse a release that is not as it was when it was finished."""
    if not is_complete(path):
        raise HostError(f"{path} is not complete, so it was not made active. {advice}")


def release_of(link: Path) -> Path | None:
    """The release that a link leads into. Links further up are followed: on some systems /home itself is one."""
    if not link.is_symlink():
        return None
    target = link.resolve()
    return target.parents[2] if target.parts[-3:] == PREFIX_OF_PIXI.parts else target


def point(link: Path, path: Path) -> None:
    """Make a link lead to a release's environment, by one rename."""
    link.parent.mkdir(parents=True, exist_ok=True)
    beside = link.with_name(f".{link.name}.jupyfleet-new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(os.path.relpath(prefix_of(path).resolve(), link.parent.resolve()))
    beside.rename(link)


# -- what came before ----------------------------------------------------------------------------------------------


def switch_of(release: Path) -> dict[str, Any]:
    """What is known of how a release became active: `before`, the one that a rollback goes to, and, until it is
    proven, `instead_of`, the one that is put back should it fail. Both are names, or none."""
    try:
        known = json.loads((release / SWITCH).read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def write_switch(release: Path, known: dict[str, Any]) -> None:
    """Write that down, atomically."""
    beside = release / f".{SWITCH}.new"
    beside.write_text(json.dumps(known))
    beside.rename(release / SWITCH)


def unproven(link: Path) -> tuple[Path, Path] | None:
    """The active release and the one to put back, when the active one has yet to prove itself."""
    active = release_of(link)
    name = switch_of(active).get("instead_of") if active else None
    return (active, active.with_name(name)) if active and name else None


def _last_proven(active: Path | None, path: Path) -> str | None:
    """The name of the release to go back to from `path`: the active one, unless that never proved itself."""
    if active and (instead_of := switch_of(active).get("instead_of")):
        active = active.with_name(instead_of)
    if active is None or active == path.resolve() or not is_complete(active):
        return None
    return active.name


def prune(releases: Path, link: Path, keep: int) -> list[str]:
    """Remove what is half-finished, and all but the newest `keep`; never the active one or those it may go back to."""
    active = release_of(link)
    known = switch_of(active) if active else {}
    names = {active.name if active else None, known.get("before"), known.get("instead_of")}
    found = [path for path in releases.iterdir() if path.is_dir() and not path.is_symlink()]
    others = [path for path in found if path.name not in names]
    complete = sorted((other for other in others if is_complete(other)), key=_built_at, reverse=True)
    kept = set(complete[: max(0, keep - (len(found) - len(others)))])
    removed = [other for other in others if other not in kept]
    for other in removed:
        (other / STAMP).unlink(missing_ok=True)  # First, so that half a removal is never taken for a whole release.
        shutil.rmtree(other)
    return [str(path) for path in removed]


def _was_finished(release: Path) -> bool:
    try:
        return _built_at(release) > 0
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _built_at(release: Path) -> float:
    return float(json.loads((release / STAMP).read_text())["built_at"])


# -- the stamp -----------------------------------------------------------------------------------------------------


def prefix_of(release: Path) -> Path:
    """The environment in a release, the directory that has ``bin``: the release itself, or one that its stamp names."""
    try:
        return release / str(json.loads((release / STAMP).read_text()).get("prefix", "."))
    except (OSError, ValueError, AttributeError):
        return release


def is_complete(path: Path) -> bool:
    """Whether a release was finished, is as it was then, and its Python is still the one it was made from."""
    try:
        stamp = json.loads((path / STAMP).read_text())
        python = stamp["python"]
        if stamp["files"] != _digests(path, stamp["files"]):
            return False
        version = _version_of(prefix_of(path) / "bin/python")
    except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError):
        return False
    return bool(version == python)


def _version_of(python: Path) -> str:
    """What an environment's Python says of itself, as `sys.version` has it.

    Raises:
        OSError, subprocess.SubprocessError: it cannot be run.
    """
    if sys.executable and python.samefile(sys.executable):  # Links are followed: it is the one that runs this.
        return sys.version.strip()
    argv: list[str | Path] = [python, "-I", "-S", "-c", "import sys; print(sys.version)"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def stamp(path: Path, prefix: Path) -> None:
    """Declare a release finished: from now on it is what it is now, or it is not complete."""
    try:
        version = _version_of(prefix / "bin/python")
    except (OSError, subprocess.SubprocessError) as error:
        raise HostError(f"the environment's Python does not run: {error}") from error
    content = {
        "built_at": time.time(),
        "prefix": str(prefix.relative_to(path)),
        "python": version,
        "files": _digests(path, _stamped_files(path, prefix)),
    }
    beside = path / f".{STAMP}.new"
    with beside.open("w") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.sync()  # The packages, too, must outlive a power cut before the stamp says that they are there.
    beside.rename(path / STAMP)


def _stamped_files(path: Path, prefix: Path) -> list[str]:
    """What stands for the rest: every package's list of files, with the programs that are started from outside."""
    records = [*prefix.glob("lib/python3*/site-packages/*.dist-info/RECORD"), *prefix.glob("conda-meta/*.json")]
    programs = [prefix / "bin" / name for name in ("jupyter-lab", "supervisord", "supervisorctl")]
    made_from = [prefix / "pyvenv.cfg", path / "pixi.toml", path / "pixi.lock"]
    return sorted(str(file.relative_to(path)) for file in [*records, *programs, *made_from] if file.is_file())


def _digests(path: Path, files: list[str] | dict[str, str]) -> dict[str, str]:
    return {name: hashlib.sha256((path / name).read_bytes()).hexdigest() for name in files}


# -- the lock ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def exclusive(lock_file: Path) -> Iterator[int]:
    """Hold a home for this process alone, by the descriptor given; who holds it is said to whoever comes second."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise HostError(f"another deploy is at work on this host: {holder}. Wait for it, then run again.") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        file.flush()
        yield file.fileno()
