"""As whom a host script works: what is the service user's is looked at and changed as the service user, never as root.

A service user could put links into its own home that lead root astray, so root does not go there at all.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable

from jupyfleet_host.common import HostError, Result, Spec

#: Who sees nothing that is not everybody's; as this user one looks for things of a user that does not exist yet.
_NOBODY = "nobody"
_OF_ROOT = ("SUDO_COMMAND", "SUDO_GID", "SUDO_UID", "SUDO_USER", "XDG_RUNTIME_DIR")


def become(name: str, *, only_looks: bool) -> None:
    """Give up being root for good, and be this user, with its groups, its home and nothing of the caller's.

    Nothing happens for ``root``. A function that `only_looks` may be asked before there is the user; then it looks as
    somebody who owns nothing.

    Raises:
        HostError: this is not root, or there is no such user.
    """
    if name == "root":
        if os.geteuid() != 0:
            raise HostError("this needs root: log in as root, or let the login user run sudo without a password.")
        return
    try:
        user = pwd.getpwnam(name)
    except KeyError as error:
        if not only_looks:
            raise HostError(f"there is no user {name} on this host. Run up again.") from error
        user = pwd.getpwnam(_NOBODY)
    if os.geteuid() == user.pw_uid:
        return
    if os.geteuid() != 0:
        raise HostError(f"only root may work as {name}: log in as root, or let the login user run sudo.")
    os.initgroups(user.pw_name, user.pw_gid)
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    os.umask(0o022)
    os.chdir("/")
    for variable in _OF_ROOT:
        os.environ.pop(variable, None)
    os.environ.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name, SHELL=user.pw_shell or "/bin/sh")


def call_for(owner: str | None, function: Callable[[Spec], Result], spec: Spec, *, only_looks: bool) -> Result:
    """Call a function for whoever a home belongs to: in user scope, where nobody is named, it is the login user's."""
    return function(spec) if owner is None else call_as(owner, function, spec, only_looks=only_looks)


def call_as(name: str, function: Callable[[Spec], Result], spec: Spec, *, only_looks: bool) -> Result:
    """Call a function as somebody else, in a process of its own, from one that stays root.

    Raises:
        HostError: the function's own, or that its process ended without a result.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w", encoding="utf-8") as pipe:
            json.dump(_outcome(name, function, spec, only_looks=only_looks), pipe)
        # Not through the interpreter's end, which is the parent's.
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    try:
        outcome: dict[str, Result | str] = json.loads(text)
    except ValueError as error:
        raise HostError(f"the work as {name} ended with {os.waitstatus_to_exitcode(status)}, and no result") from error
    if isinstance(result := outcome.get("result"), dict):
        return result
    raise HostError(str(outcome["failure"]))


def _outcome(name: str, function: Callable[[Spec], Result], spec: Spec, *, only_looks: bool) -> dict[str, Result | str]:
    try:
        become(name, only_looks=only_looks)
        return {"result": function(spec)}
    except HostError as error:
        return {"failure": str(error)}
    except OSError as error:
        return {"failure": f"{error.strerror or error}: {error.filename}" if error.filename else str(error)}
    except Exception as error:
        return {"failure": f"unexpected {type(error).__name__}: {error}"}
