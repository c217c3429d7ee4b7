"""Finding versions that go together: for PyPI's packages on this machine, with uv; for pixi's on a host of the site.

A site without a lock gets one from the first host that is deployed to, and all others wait for it, so that a fleet
never drifts apart.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from pyinfra.api.exceptions import PyinfraError

from deploy.environment import sitelock
from deploy.environment.lock import OLDEST_PYTHON
from deploy.environment.pixi import manifest_of, tool_of, with_content
from deploy.environment.uv import committed_lock, requirements_of
from deploy.facts.hostscript import ask
from deploy.settings import Settings
from jupyfleet_host.package_index import environment_for_uv

#: Held while a site's first lock is made.
_MAKING = threading.Lock()


def asked_for(settings: Settings) -> str:
    """What a lock must answer: the text of pixi.toml or requirements.in."""
    return manifest_of(settings) if settings.provider == "pixi" else requirements_of(settings)


def without_site_lock(settings: Settings) -> str | None:
    """What a host without a lock of the site is made from: what comes with jupyfleet."""
    return committed_lock(settings.profile) if settings.provider == "uv" else None


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


def solve_on_current_host(settings: Settings, earlier: str | None = None) -> str:
    """pixi.lock for all platforms, by the pixi of the current host; versions of `earlier` stay where they can."""
    return str(ask("environment_pixi", "lock", question(settings, earlier))["lock"])


def question(settings: Settings, earlier: str | None) -> dict[str, Any]:
    """What `jupyfleet_host.environment_pixi.lock` is asked for that."""
    return {
        "pixi": with_content(tool_of(settings)),
        "manifest": manifest_of(settings),
        "lock": earlier,
    }


def solve_here(settings: Settings, earlier: str | None = None) -> str:
    """requirements.txt with hashes for every platform, by the uv of this machine; `earlier` as above.

    Raises:
        PyinfraError: uv's explanation.
    """
    with tempfile.TemporaryDirectory(prefix="jupyfleet-") as scratch:
        asked, found = (Path(scratch) / name for name in ("asked.in", "found.txt"))
        asked.write_text(requirements_of(settings), encoding="utf-8")
        if earlier:
            found.write_text(earlier, encoding="utf-8")
        index = ("--default-index", settings.pypi_index) if settings.pypi_index else ()
        command = [
            *(str(Path(sys.executable).parent / "uv"), "--quiet", "pip", "compile", "--universal"),
            *("--generate-hashes", "--no-emit-index-url", "--no-header", "--only-binary=:all:"),
            *("--python-version", OLDEST_PYTHON, "--output-file", str(found), *index, str(asked)),
        ]
        environ = dict(os.environ) | environment_for_uv(os.environ, Path.home())
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-20:])
            raise PyinfraError(f"there are no versions that go together for profile {settings.profile}:\n{said}")
        return found.read_text(encoding="utf-8")
