"""Finding versions that go together: for PyPI's packages on this machine, with uv; for pixi's on a host of the site.

A site without a lock gets one from the first host that is deployed to, and all others wait for it, so that a fleet
never drifts apart.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packaging.version import Version
from pyinfra.api.exceptions import PyinfraError

from deploy.environment import sitelock
from deploy.environment.lock import OLDEST_PYTHON
from deploy.environment.pixi import manifest_of, tool_of, with_content
from deploy.environment.profiles import PROFILES
from deploy.environment.uv import committed_lock, requirements_of
from deploy.facts.hostscript import ask
from deploy.settings import Settings
from jupyfleet_host.common import HostError
from jupyfleet_host.package_index import environment_for_uv

#: Held while a site's first lock is made.
_MAKING = threading.Lock()
#: A package of a lock as PyPI could have it, too; conda knows other names and versions besides.
_COMPARABLE = re.compile(r"[a-z0-9][a-z0-9-]* \d+(\.\d+)*((a|b|rc|\.post|\.dev)\d+)?(, \d+(\.\d+)*)*")


def asked_for(settings: Settings) -> str:
    """What a lock must answer: the text of pixi.toml or requirements.in."""
    return manifest_of(settings) if settings.provider == "pixi" else requirements_of(settings)


def without_site_lock(settings: Settings) -> sitelock.Lock | None:
    """What a host without a lock of the site is made from: what comes with jupyfleet."""
    return (committed_lock(settings.profile),) if settings.provider == "uv" else None


def check_lock(settings: Settings) -> None:
    """Refuse a lock of the site that is for something else.

    Raises:
        StaleLockError: what to do about it.
    """
    sitelock.check(settings, asked_for(settings))


def ensure_lock(settings: Settings) -> None:
    """Have a lock of the site for the current host's environment; only pixi's cannot do without one.

    Raises:
        PyinfraError: the lock is stale, or the solver's explanation.
    """
    asked = asked_for(settings)
    with _MAKING:
        sitelock.check(settings, asked)
        if settings.provider == "pixi" and sitelock.read(settings, asked) is None:
            sitelock.write(settings, asked, solve_on_current_host(settings))


def solve_on_current_host(settings: Settings) -> sitelock.Lock:
    """pixi.lock for all platforms, by the pixi of the current host, and what is added to it."""
    return with_added(settings, str(ask("environment_pixi", "lock", question(settings, None))["lock"]), None)


def question(settings: Settings, earlier: sitelock.Lock | None) -> dict[str, Any]:
    """What `jupyfleet_host.environment_pixi.lock` is asked for that."""
    return {
        "pixi": with_content(tool_of(settings)),
        "manifest": manifest_of(settings),
        "lock": earlier[0] if earlier else None,
    }


def solve_here(settings: Settings, earlier: sitelock.Lock | None = None) -> sitelock.Lock:
    """The same on this machine, with its uv or a pixi fetched for it; versions of `earlier` stay where they can.

    Raises:
        PyinfraError: the solver's explanation.
    """
    if settings.provider == "uv":
        return (_compile(settings, requirements_of(settings), OLDEST_PYTHON, earlier[-1] if earlier else None),)
    # Its web server and downloads would take 15 ms of every run's start.
    from jupyfleet_host import environment_pixi

    try:
        lock = environment_pixi.lock(question(settings, earlier))["lock"]
    except HostError as error:
        raise PyinfraError(str(error)) from error
    return with_added(settings, lock, earlier)


def with_added(settings: Settings, lock: str, earlier: sitelock.Lock | None) -> sitelock.Lock:
    """pixi.lock, and the requirements that pip adds to what is in it: they fit to it and name nothing that it has.

    Raises:
        PyinfraError: uv's explanation.
    """
    known = sitelock.packages((lock,))
    comparable = {name: versions for name, versions in known.items() if _COMPARABLE.fullmatch(f"{name} {versions}")}
    # Where the platforms differ, what is added must go with both.
    pinned = [f"{name}{_between(versions.split(', '))}" for name, versions in comparable.items() if name != "python"]
    python = ".".join(min(known["python"].split(", "), key=Version).split(".")[:2])
    before = earlier[-1] if earlier else committed_lock(settings.profile)
    asked = "\n".join(sorted(PROFILES[settings.profile].added)) + "\n"
    return (lock, _compile(settings, asked, python, before, constraints=pinned, left_out=tuple(comparable)))


def _between(versions: list[str]) -> str:
    ordered = sorted(versions, key=Version)
    return f"=={ordered[0]}" if len(ordered) == 1 else f">={ordered[0]},<={ordered[-1]}"


def _compile(
    settings: Settings,
    asked_for: str,
    python: str,
    earlier: str | None,
    *,
    constraints: Sequence[str] = (),
    left_out: Sequence[str] = (),
) -> str:
    """requirements.txt with hashes for every platform, by the uv of this machine."""
    with tempfile.TemporaryDirectory(prefix="jupyfleet-") as scratch:
        asked, found, known = (Path(scratch) / name for name in ("asked.in", "found.txt", "known.txt"))
        asked.write_text(asked_for, encoding="utf-8")
        known.write_text("".join(f"{line}\n" for line in constraints), encoding="utf-8")
        if earlier:
            found.write_text(earlier, encoding="utf-8")
        index = ("--default-index", settings.pypi_index) if settings.pypi_index else ()
        command = [
            *(str(Path(sys.executable).parent / "uv"), "--quiet", "pip", "compile", "--universal"),
            *("--generate-hashes", "--no-emit-index-url", "--no-header", "--no-annotate", "--only-binary=:all:"),
            *("--python-version", python, "--output-file", str(found), "--constraints", str(known)),
            *(*index, *(part for name in left_out for part in ("--no-emit-package", name)), str(asked)),
        ]
        environ = dict(os.environ) | environment_for_uv(os.environ, Path.home())
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-20:])
            raise PyinfraError(f"there are no versions that go together for profile {settings.profile}:\n{said}")
        # uv's remarks depend on what was there before, and a lock must not.
        lines = found.read_text(encoding="utf-8").splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith("#"))
