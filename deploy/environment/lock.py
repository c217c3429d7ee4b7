"""Resolving the committed locks: ``make lock``.

A lock names versions and hashes for every platform, and no index: a site's own mirror serves it just as well.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from deploy.environment.profiles import PROFILES
from deploy.paths import REQUIREMENTS
from jupyfleet_host.package_index import environment_for_uv

#: Each lock and the one whose versions it must share.
LOCKS = {
    "core": None,
    "full": "core",
    "supervisor": None,
    "controller": None,
    "uv": "controller",
    "controller-test": "controller",
    "jupyter-test": "core",
    "peer-mcp": "core",
    "peer-ansible": None,
}
OLDEST_PYTHON = "3.11"


def profile_input(name: str) -> str:
    """The text of ``requirements/PROFILE.in``."""
    profile = PROFILES[name]
    lines = [f"# Profile {name}: {profile.meaning}. Made by `make lock` from deploy/environment/profiles.py."]
    return "\n".join([*lines, *profile.requirements]) + "\n"


def compile_lock(name: str, *, upgrade: bool) -> None:
    """Resolve ``requirements/NAME.in`` into ``requirements/NAME.txt``; versions stay unless `upgrade`.

    Raises:
        subprocess.CalledProcessError: uv has said why on standard error.
    """
    constraint = LOCKS[name]
    command = [
        str(Path(sys.executable).parent / "uv"),
        *("--quiet", "pip", "compile", "--universal", "--generate-hashes", "--no-emit-index-url"),
        *("--python-version", OLDEST_PYTHON, "--custom-compile-command", "make lock"),
        *(("--constraints", f"{constraint}.txt") if constraint else ()),
        *(("--upgrade",) if upgrade else ()),
        *(f"{name}.in", "--output-file", f"{name}.txt"),
    ]
    environ = dict(os.environ) | environment_for_uv(os.environ, Path.home())
    subprocess.run(command, cwd=REQUIREMENTS, env=environ, check=True)


def main() -> None:
    """Resolve all locks, in an order in which constraints come first."""
    for name in PROFILES:
        (REQUIREMENTS / f"{name}.in").write_text(profile_input(name), encoding="utf-8")
    for name in LOCKS:
        print(f"resolving {name}")
        compile_lock(name, upgrade="--upgrade" in sys.argv[1:])


if __name__ == "__main__":
    main()
