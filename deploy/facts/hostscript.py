"""Asking a host: the functions of `files/jupyfleet_host`, run by the host's own Python.

A module and those that it imports travel through standard input, together with what is asked, so that nothing must
be on the host already and no value stands on a command line. The commands built here are the only ones that start a
host script.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import re
import time
import zlib
from collections.abc import Sequence
from typing import Any

import gevent
from pyinfra import host
from pyinfra.api import FactBase, StringCommand
from pyinfra.api.exceptions import FactProcessError, OperationError, PyinfraError

from deploy.facts import foresight
from deploy.facts.foresight import Question
from deploy.paths import FILES
from jupyfleet_host.common import FAILURE

PACKAGE = "jupyfleet_host"
_IMPORT = re.compile(rf"^[ \t]*from {PACKAGE}(?:\.(\w+))? import (?:\(([^)]*)\)|(.*)$)", re.MULTILINE)

#: Seconds that a host has to answer a question, its waiting for a server that is just starting included.
ANSWER_SECONDS = int(os.environ.get("JUPYFLEET_ANSWER_SECONDS") or 240)
#: Seconds that a change may take; the longest is the installation of an environment over a slow line.
CHANGE_SECONDS = 3600
#: What a connection may need beyond that before it is given up.
_GRACE = 30

# What nobody foresaw is a failure like any other for whoever asked, with a traceback on standard error for us.
_LOADER = """\
import binascii, json, os, signal, sys, types, zlib
signal.alarm({seconds})
try:
    for name, text in json.loads(zlib.decompress(binascii.a2b_base64({modules!r}))):
        module = sys.modules[name] = types.ModuleType(name)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
        exec(compile(text, f"<{{name}}>", "exec"), module.__dict__)
    from {package}.common import end_with_connection, run_script
    end_with_connection()
    from {package}.identity import become
    from {package}.{module} import {function} as function

    def work(spec):
        if {has_user}:
            become({as_user!r}, only_looks={only_looks!r})
        return function(spec)

    code = run_script(work, json.loads({spec!r}))
except KeyboardInterrupt:
    code = 130
except Exception as error:
    import traceback
    traceback.print_exc()
    reason = f"unexpected {{type(error).__name__}} in {module}.{function}: {{error}}"
    if sys.version_info < (3, 11):
        reason += ". This host's python3 is %d.%d. Install Python 3.11 or newer." % sys.version_info[:2]
    print(json.dumps({{"failure": reason}}), flush=True)
    for line in reason.splitlines():
        print({failure!r} + line, file=sys.stderr, flush=True)
    code = 1
# Nothing is left to be put in order, and Python's own way out takes another 4 ms.
sys.stdout.flush()
os._exit(code)
"""


LOST = "the connection to the host was lost. Run it again: it goes on where this run stopped."
_SILENT = "python3 does not answer on this host. Install Python 3.11 or newer."
_SILENT_AS_ROOT = (
    "python3 does not answer as root on this host. Log in as root, or let the login user run sudo without a password; "
    "and install Python 3.11 or newer."
)


class HostScriptError(OperationError):
    """A host could not answer, or refused; the text is for the person who deploys."""


def source(
    module: str,
    function: str,
    spec: dict[str, Any],
    *,
    also: Sequence[str] = (),
    as_user: str | None = None,
    only_looks: bool = False,
    seconds: int = 0,
) -> str:
    """The whole program for ``python3 -`` that calls one function of one module, as `identity.become` has it.

    `also` are further modules that it asks for. After `seconds` (0: never) the host itself ends it, whether or not the
    connection lasts.
    """
    return _LOADER.format(
        modules=_packed((*sorted(set(also)), module)),
        package=PACKAGE,
        module=module,
        function=function,
        failure=FAILURE,
        seconds=seconds,
        spec=json.dumps(spec),
        has_user=as_user is not None,
        as_user=as_user,
        only_looks=only_looks,
    )


@functools.cache
def _packed(modules: tuple[str, ...]) -> str:
    """What `_texts` says, small: a line sends little before it waits for the other end to say that it has arrived."""
    return base64.b64encode(zlib.compress(json.dumps(_texts(modules)).encode())).decode()


def _texts(modules: tuple[str, ...]) -> list[tuple[str, str]]:
    """The names and texts that modules need, in an order in which they can be loaded."""
    needed = dict.fromkeys(name for module in ("identity", *modules) for name in _with_imports(module))
    return [(PACKAGE, _text("__init__")), *((f"{PACKAGE}.{name}", _text(name)) for name in needed)]


@functools.cache
def _with_imports(module: str) -> tuple[str, ...]:
    """A module behind those of ours that it imports, and they behind theirs."""
    needed = [name for imported in _imports(_text(module)) for name in _with_imports(imported)]
    return tuple(dict.fromkeys([*needed, module]))


def _imports(text: str) -> list[str]:
    """The modules of ours that a text imports: ``from package import X, Y`` or ``from package.X import …``.

    (Python's own parser would tell as well, and takes ten times as long, before every run.)
    """
    found: list[str] = []
    for module, names, some in _IMPORT.findall(text):
        found += [module] if module else re.findall(r"\w+", re.sub(r"\bas \w+", "", names or some))
    return found


def _text(module: str) -> str:
    return (FILES / PACKAGE / f"{module}.py").read_text(encoding="utf-8")


class HostScript(FactBase[dict[str, Any]]):
    """What a host script answers: ``{"result": …}`` or ``{"failure": reason}``. Its program comes by ``_stdin``."""

    def command(self, module: str, function: str, as_root: bool = False) -> StringCommand:
        # The exit code is dropped so that a refusal is an answer like any other; no output at all is a failure.
        return StringCommand(*_python(module, function, as_root=as_root), "|| true")

    def process(self, output: list[str]) -> dict[str, Any]:
        try:
            answer = json.loads(output[-1])
        except ValueError as error:
            raise FactProcessError(f"no answer but {output[-1]!r}") from error
        if not isinstance(answer, dict):
            raise FactProcessError(f"no answer but {output[-1]!r}")
        return answer


def ask(
    module: str,
    function: str,
    spec: dict[str, Any],
    *,
    as_user: str | None = None,
    seconds: int = ANSWER_SECONDS,
) -> dict[str, Any]:
    """Run a function that only looks, on the current host, and return its result.

    It looks as the login user, or as `as_user` by way of root, for `seconds` at the most. Where a look at the whole
    host has answered this very question already, and nothing was changed since, it is not asked again.

    Raises:
        HostScriptError: the host's reason, or that it does not answer.
    """
    answer = foresight.answer_to(Question.of(module, function, spec, as_user))
    if answer is None:
        answer = _fetch(module, function, spec, as_user=as_user, seconds=seconds)
    if "failure" in answer:
        raise HostScriptError(answer["failure"])
    result: dict[str, Any] = answer["result"]
    return result


def ask_all(questions: Sequence[Question]) -> dict[Question, dict[str, Any]]:
    """Ask many questions in one remote command; each has an answer, ``{"result": …}`` or ``{"failure": reason}``.

    Those that are asked by way of root have a command of their own.

    Raises:
        HostScriptError: the host does not answer.
    """
    answers: dict[Question, dict[str, Any]] = {}
    by_root = [question for question in questions if question.as_user is not None]
    for some, as_user in (([one for one in questions if one.as_user is None], None), (by_root, "root")):
        if not some:
            continue
        asked = [[one.module, one.function, json.loads(one.spec), one.as_user] for one in some]
        also = [one.module for one in some]
        answer = _fetch("look", "answer", {"questions": asked}, also=also, as_user=as_user)
        if "failure" in answer:
            raise HostScriptError(answer["failure"])
        answers |= dict(zip(some, answer["result"]["answers"], strict=True))
    return answers


def _fetch(
    module: str,
    function: str,
    spec: dict[str, Any],
    *,
    also: Sequence[str] = (),
    as_user: str | None,
    seconds: int = ANSWER_SECONDS,
) -> dict[str, Any]:
    as_root = as_user is not None
    program = source(module, function, spec, also=also, as_user=as_user, only_looks=True, seconds=seconds)
    began = time.monotonic()
    try:
        # pyinfra's own limit begins only once the command runs; a host that stands still never comes to that.
        with gevent.Timeout(seconds + _GRACE, TimeoutError()):
            answer = host.get_fact(HostScript, module, function, as_root=as_root, _stdin=program, _timeout=seconds)
    except (PyinfraError, TimeoutError) as error:
        raise HostScriptError(_lost(error, time.monotonic() - began, seconds)) from error
    if not answer:
        raise HostScriptError(_SILENT_AS_ROOT if as_root else _SILENT)
    return dict(answer)


def _lost(error: Exception, seconds: float, limit: float) -> str:
    """What a host could not say for itself: pyinfra's words are of use only where it was asked for a password."""
    return str(error) if "sudo" in str(error) else lost_after(seconds, limit)


def lost_after(seconds: float, limit: float) -> str:
    """Why a command ended without a word."""
    if seconds >= limit:
        return f"no answer within {limit} s: the host hangs, or is far too slow. Look at it, then run again."
    return LOST


class HostCommand(StringCommand):
    """A command that changes the host, and what it is going to do, line by line, for whoever wants to know first."""

    def __init__(self, *bits: Any, plan: Sequence[str], **arguments: Any) -> None:
        super().__init__(*bits, **arguments)
        self.plan = tuple(plan)


def tell(
    module: str,
    function: str,
    spec: dict[str, Any],
    *,
    plan: Sequence[str],
    as_user: str | None = None,
    seconds: int = CHANGE_SECONDS,
) -> HostCommand:
    """The command that runs a function that changes the host; it fails with the host's reason on standard error.

    With 0 `seconds` it may go on for ever.
    """
    program = source(module, function, spec, as_user=as_user, seconds=seconds)
    command = _python(module, function, as_root=as_user is not None)
    return HostCommand(*command, plan=plan, _stdin=program, _timeout=seconds or None)


def _python(module: str, function: str, *, as_root: bool) -> tuple[str, ...]:
    """Our own name stands behind the dash so that a log of commands says what was run."""
    # Isolated, and the standard library alone: what lies in the directory or in site-packages is none of it.
    python = f"python3 -I -S - jupyfleet:{module}.{function}"
    if not as_root:
        return (python,)
    # Root needs no sudo, and need not have it. Whoever needs a password for it sets pyinfra's own _sudo.
    return (f'if [ "$(id -u)" = 0 ]; then {python}; else sudo -n -- {python}; fi',)
