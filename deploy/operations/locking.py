"""Before the first change of a run on a host: nobody else may be at work there."""

from __future__ import annotations

import getpass
import os
import socket
import uuid
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import gevent
from pyinfra import host as current_host
from pyinfra import logger
from pyinfra.api import Host, State
from pyinfra.api.exceptions import PyinfraError
from pyinfra.context import ctx_host, ctx_state

from deploy.connection import LOSSES
from deploy.facts.hostscript import LOST, HostScript, HostScriptError, ask, source
from deploy.settings import read_settings

#: Seconds that a host has to start the process which holds the lock.
_PATIENCE = 30
#: One per host and run: each waits for the end of the connection.
_holders: WeakKeyDictionary[Host, gevent.Greenlet[..., Any]] = WeakKeyDictionary()
_RUN = uuid.uuid4().hex


def take(state: State, host: Host) -> None:
    """Hold the host's home for this run; it is let go with the connection. Once held it costs nothing more.

    Raises:
        HostScriptError: who holds it.
    """
    if host in _holders:
        return
    settings = read_settings(host.name, host.data.dict())
    paths, as_user = settings.paths, settings.as_root
    mark = None if as_user else str(paths.lock)
    spec = {"file": str(paths.deploy_lock), "mark": mark, "run": _RUN, "who": _who()}

    def hold() -> dict[str, Any]:
        program = source("deploy_lock", "hold", spec, as_user=as_user)
        answer: dict[str, Any] = current_host.get_fact(
            HostScript, "deploy_lock", "hold", as_root=as_user is not None, _stdin=program
        )
        return answer

    def wait() -> dict[str, Any]:
        return ask("deploy_lock", "wait_until_held", spec | {"patience": _PATIENCE}, as_user=as_user)

    def quietly(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """gevent prints the traceback of what ends a greenlet; the end of a connection ends both."""
        with ctx_state.use(state), ctx_host.use(host):
            try:
                return work()
            except HostScriptError as error:
                return {"failure": str(error)}
            except (PyinfraError, *LOSSES):
                logger.debug("holding %s", host.name, exc_info=True)
                return {"failure": LOST}

    holder, waiter = gevent.spawn(quietly, hold), gevent.spawn(quietly, wait)
    next(gevent.iwait((holder, waiter)))
    # Asked now: one that is killed has ended, too.
    answers = [one.get() for one in (holder, waiter) if one.successful()]
    if waiter.successful() and waiter.get().get("held"):
        _holders[host] = holder
        return
    waiter.kill()
    holder.kill(block=False)
    raise HostScriptError(_reason(answers))


def let_go(host: Host) -> None:
    """Stop waiting for the lock's end: the connection is about to be closed, and the lock goes with it."""
    if holder := _holders.pop(host, None):
        holder.kill(block=False)


def _reason(answers: Sequence[dict[str, Any]]) -> str:
    """Why it is not held, from what has ended: the holder's own reason is the first."""
    if failures := [answer["failure"] for answer in answers if "failure" in answer]:
        return str(failures[0])
    if any("held" in answer for answer in answers):
        return f"the host could not be locked for this run within {_PATIENCE} s: it is far too slow, or hangs."
    return LOST


def _who() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}, process {os.getpid()}"
