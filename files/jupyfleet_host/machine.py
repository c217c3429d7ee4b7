"""What a server in system scope needs of its machine: packages of the distribution, and a user of its own."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

from jupyfleet_host import distribution, selinux
from jupyfleet_host.common import HostError, Result, Spec, plural, progress, run

_INSTALL_SECONDS = 1800
_SELINUX_TOOLS = "policycoreutils-python-utils"


def look(spec: Spec) -> Result:
    """Say what `prepare` would do: ``{"missing": [package, …], "user_is_new": bool}``.

    The spec has `packages`, `user` and its `home`.

    Raises:
        HostError: the user is there, and its home is another one.
    """
    return {"missing": _missing(spec["packages"]), "user_is_new": _user_is_new(spec["user"], spec["home"])}


def prepare(spec: Spec) -> Result:
    """Install what is missing in one transaction, and make the user: ``{"summary": text}``."""
    done = []
    if missing := _missing(spec["packages"]):
        _install(missing)
        done.append(plural(len(missing), "package", "packages"))
    if _user_is_new(spec["user"], spec["home"]):
        _add_user(spec["user"], spec["home"])
        done.append(f"user {spec['user']}")
    return {"summary": " and ".join(done)}


def _missing(packages: list[str]) -> list[str]:
    query = distribution.of_this_host().query
    # What sets labels is of use only where there are some.
    wanted = [*packages, _SELINUX_TOOLS] if selinux.is_on() else packages
    return [package for package in wanted if not _is_installed(query, package)]


def _is_installed(query: tuple[str, ...], package: str) -> bool:
    done = subprocess.run([*query, package], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    # dpkg also knows packages that were removed and left their configuration.
    return done.returncode == 0 and (query[0] != "dpkg-query" or done.stdout.split() == ["installed"])


def _install(packages: list[str]) -> None:
    family = distribution.of_this_host()
    environ = dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    progress(f"installing {', '.join(packages)}")
    if family.refresh:
        run(family.refresh, env=environ, timeout=_INSTALL_SECONDS, why="fetch the lists of packages")
    why = f"install {', '.join(packages)}"
    run([*family.installer, "--", *packages], env=environ, timeout=_INSTALL_SECONDS, why=why)
    if still := _missing(packages):
        raise HostError(f"could not {why}: {', '.join(still)} is still missing after the installation")


def _user_is_new(name: str, home: str) -> bool:
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return True
    if Path(found.pw_dir) != Path(home):
        raise HostError(
            f"user {name} is on this host with the home {found.pw_dir}, not {home}. "
            "Set jupyter_home to it, or jupyter_user to another user."
        )
    if found.pw_uid == 0:
        raise HostError(f"user {name} is root. Set jupyter_user to a user who may do less.")
    return False


def _add_user(name: str, home: str) -> None:
    progress(f"adding user {name}")
    # Nobody logs in with a password: useradd leaves it locked. The home is for its user alone.
    options = ["--create-home", "--home-dir", home, "--user-group", "--shell", "/bin/bash", "--key", "HOME_MODE=0700"]
    run(["useradd", *options, "--comment", "JupyterLab server", "--", name], timeout=60, why=f"add user {name}")
