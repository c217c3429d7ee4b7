"""What changes a host: pyinfra operations only. Each reads one fact, and yields commands where something differs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from typing import ParamSpec

from pyinfra.api import QuoteString, StringCommand, operation
from pyinfra.api.arguments_typed import PyinfraOperation

from deploy.facts.hostscript import HostScriptError

P = ParamSpec("P")
Commands = Generator[StringCommand, None, None]


def host_operation(function: Callable[P, Commands]) -> PyinfraOperation[P]:
    """A pyinfra operation in which what a host refuses fails that host alone, with the host's reason."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Commands:
        try:
            yield from function(*args, **kwargs)
        except HostScriptError as error:
            yield Refusal(str(error))

    return operation()(guarded)


class Refusal(StringCommand):
    """A command that fails with a reason. pyinfra ends a whole run at an exception, but a host at a failed command."""

    def __init__(self, reason: str) -> None:
        super().__init__("printf", "'%s\\n'", QuoteString(reason), ">&2;", "exit 1")
        self.reason = reason
