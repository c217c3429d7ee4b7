"""Asking a host: the functions of `files/jupyfleet_host`, run by the host's own Python.

The modules travel through standard input, together with what is asked, so that nothing must be on the host already
and no value stands on a command line. The commands built here are the only ones that start a host script.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from pyinfra import host
from pyinfra.api import FactBase, StringCommand
from pyinfra.api.exceptions import FactProcessError, OperationError

from deploy.paths import FILES

PACKAGE = "jupyfleet_host"

_LOADER = """\
import sys, types
for name, text in {modules!r}:
    module = sys.modules[name] = types.ModuleType(name)
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    exec(compile(text, f"<{{name}}>", "exec"), module.__dict__)
import json
from {package}.common import run_script
from {package}.{module} import {function} as function
sys.exit(run_script(function, json.loads({spec!r})))
"""

#: Modules that the others import, in the order in which they can be loaded.
_SHARED = ("common", "processes", "package_index")


class HostScriptError(OperationError):
    """A host could not answer, or refused; the text is for the person who deploys."""


@functools.cache
def _module(name: str) -> tuple[str, str]:
    file = FILES / PACKAGE / (f"{name}.py" if name else "__init__.py")
    return (f"{PACKAGE}.{name}" if name else PACKAGE), file.read_text(encoding="utf-8")


def source(module: str, function: str, spec: dict[str, Any]) -> str:
    """The whole program for ``python3 -`` that calls one function of one module."""
    names = ["", *_SHARED, *([] if module in _SHARED else [module])]
    return _LOADER.format(
        modules=[_module(name) for name in names],
        package=PACKAGE,
        module=module,
        function=function,
        spec=json.dumps(spec),
    )


class HostScript(FactBase[dict[str, Any]]):
    """What a host script answers: ``{"result": …}`` or ``{"failure": reason}``. Its program comes by ``_stdin``."""

    def command(self, module: str, function: str) -> StringCommand:
        # The exit code is dropped so that a refusal is an answer like any other; no output at all is a failure.
        return StringCommand(*_python(module, function), "|| true")

    def process(self, output: list[str]) -> dict[str, Any]:
        try:
            answer = json.loads(output[-1])
        except ValueError as error:
            raise FactProcessError(f"no answer but {output[-1]!r}") from error
        if not isinstance(answer, dict):
            raise FactProcessError(f"no answer but {output[-1]!r}")
        return answer


def ask(module: str, function: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Run a function that only looks, on the current host, and return its result.

    Raises:
        HostScriptError: the host's reason, or that it has no Python that answers.
    """
    answer = host.get_fact(HostScript, module, function, _stdin=source(module, function, spec))
    if not answer:
        raise HostScriptError("python3 does not answer on this host. Install Python 3.11 or newer.")
    if "failure" in answer:
        raise HostScriptError(answer["failure"])
    result: dict[str, Any] = answer["result"]
    return result


def tell(module: str, function: str, spec: dict[str, Any]) -> StringCommand:
    """The command that runs a function that changes the host; it fails with the host's reason on standard error."""
    return StringCommand(*_python(module, function), _stdin=source(module, function, spec))


def _python(module: str, function: str) -> tuple[str, ...]:
    """Our own name stands behind the dash so that a log of commands says what was run."""
    return ("python3", "-", f"jupyfleet:{module}.{function}")
