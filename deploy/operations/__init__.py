"""What changes a host: pyinfra operations only. Each reads one fact, and yields commands where something differs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from typing import ParamSpec

from pyinfra import logger
from pyinfra.api import FileUploadCommand, FunctionCommand, Host, State, StringCommand, operation
from pyinfra.api.arguments_typed import PyinfraOperation
from pyinfra.api.output import echo

from deploy.facts.hostscript import HostCommand, HostScriptError
from deploy.operations import locking
from jupyfleet_host.common import FAILURE

P = ParamSpec("P")
Commands = Generator[StringCommand | FunctionCommand | FileUploadCommand, None, None]


def host_operation(function: Callable[P, Commands]) -> PyinfraOperation[P]:
    """A pyinfra operation in which what a host refuses fails that host alone, with the host's reason.

    The host is held for this run before anything is changed there.
    """

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Commands:
        try:
            for command in function(*args, **kwargs):
                if isinstance(command, HostCommand):
                    yield FunctionCommand(_lock, (), {})
                yield command
        except HostScriptError as error:
            yield Refusal(str(error))

    return operation()(guarded)


class Refusal(FunctionCommand):
    """A command that fails with a reason. pyinfra ends a whole run at an exception, but a host at a failed command.

    Nothing is run on the host: it may be the connection that is lost.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(_refuse, (reason,), {})
        self.reason = reason


def _lock(state: State, host: Host) -> bool:
    try:
        locking.take(state, host)
    except HostScriptError as error:
        return _refuse(state, host, str(error))
    return True


def _refuse(state: State, host: Host, reason: str) -> bool:
    logger.error(f"{host.print_prefix}{reason}")
    for line in reason.splitlines():
        echo(f"{host.print_prefix}{FAILURE}{line}", err=True)
    return False
