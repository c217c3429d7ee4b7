"""Building a release: installed in its place (it cannot be moved), tried, and only then stamped.

One without a valid stamp is half-finished: the next build clears it, or, where it is in use, installs it once more
over itself. How packages are installed is the providers' affair, `environment_uv` and `environment_pixi`.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

from jupyfleet_host import environment_pixi, environment_uv
from jupyfleet_host.common import HostError, Result, Spec, plural, progress, run
from jupyfleet_host.releases import STAMP, exclusive, is_complete, stamp

PROVIDERS: dict[str, Any] = {"pixi": environment_pixi, "uv": environment_uv}


def build(spec: Spec) -> Result:
    """Build one release: ``{"packages": N, "summary": sentence}``.

    The spec has

    - `lock_file`: a build holds it, so that two never work on one home;
    - `path`: the release's directory; `link`: the symlink to the active one, or none;
    - `provider`, and what its `install` wants besides; `megabytes`, what it takes on the disk;
    - `trials`: commands, relative to the environment's ``bin``, that must succeed.
    """
    started = time.monotonic()
    path = Path(spec["path"])
    prefix = PROVIDERS[spec["provider"]].prefix_in(path)
    with exclusive(Path(spec["lock_file"])) as lock:
        if not is_complete(path):
            _build(spec, path, prefix, lock)
    packages = len(list(prefix.glob("lib/python3*/site-packages/*.dist-info")))
    return {
        "packages": packages,
        "summary": f"{plural(packages, 'package', 'packages')} in {time.monotonic() - started:.1f} s",
    }


def _build(spec: Spec, path: Path, prefix: Path, lock: int) -> None:
    in_use = _is_in_use(spec, path, prefix)
    (path / STAMP).unlink(missing_ok=True)
    if path.exists() and not in_use:
        progress("clearing a half-finished installation")
        shutil.rmtree(path)
    _require_space(path.parent, spec["megabytes"])
    path.mkdir(parents=True, exist_ok=True)
    PROVIDERS[spec["provider"]].install(spec, path, lock, again=in_use)
    for trial in spec["trials"]:
        progress(f"trying {' '.join(trial[:2])}")
        # Python writes its bytecode into the environment, so a trial holds the lock as well.
        run(
            [prefix / "bin" / trial[0], *trial[1:]],
            env=_trial_environment(),
            timeout=300,
            keep_open=[lock],
            why=f"run {trial[0]}",
        )
    stamp(path, prefix)


def _require_space(directory: Path, megabytes: int) -> None:
    """Refuse before anything is fetched when there is no room for it; beside another release most of it is there."""
    nearest = next(path for path in (directory, *directory.parents) if path.is_dir())
    others = [path for path in directory.iterdir() if (path / STAMP).exists()] if nearest == directory else []
    needed = megabytes // 4 if others else megabytes
    free = shutil.disk_usage(nearest).free // 1_000_000
    if free < needed:
        raise HostError(
            f"the environment needs about {needed} MB below {nearest}, and {free} MB are free. Make room, or set "
            "jupyter_home to a larger disk. Nothing was fetched."
        )


def _is_in_use(spec: Spec, path: Path, prefix: Path) -> bool:
    """Whether something may run from this very release: then it is repaired over itself, not removed.

    The active one is; one that was finished once may be, too, such as supervisord's, to which no link leads.
    """
    link = Path(spec["link"]) if spec.get("link") else None
    is_active = link is not None and link.is_symlink() and link.resolve() == prefix.resolve()
    return (is_active or (path / STAMP).exists()) and (prefix / "bin/python").exists()


def _trial_environment() -> dict[str, str]:
    """As bare as the service's, so that a trial proves what the service will find."""
    kept = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "USER")
    return {name: os.environ[name] for name in kept if name in os.environ}
