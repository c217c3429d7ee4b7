"""What every host script shares: how it is started, how it reports progress, and how it fails."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Spec = dict[str, Any]
Result = dict[str, Any]

#: Lines on standard error that begin with this are for the person who watches, not part of an error.
PROGRESS = "jupyfleet-progress: "
#: Lines on standard error that begin with this say why the script gave up.
FAILURE = "jupyfleet-failure: "


class HostError(Exception):
    """A reason to stop that a person can act on; its text is the whole message."""


def plural(number: int, singular: str, plural: str) -> str:
    """A number and its noun."""
    return f"{number} {singular if number == 1 else plural}"


def progress(text: str) -> None:
    """Say what is being done, for whoever watches."""
    print(f"{PROGRESS}{text}", file=sys.stderr, flush=True)


def end_with_connection() -> None:
    """From now on, end this script and the programs that it runs once nobody listens any more.

    A controller that was killed, or a connection that was cut, must not leave a script behind that works on a host
    which another run then finds changing under its hands. What was half done, the next run finishes.
    """
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    threading.Thread(target=_wait_for_hangup, daemon=True).start()


def _wait_for_hangup() -> None:
    """Standard error is a pipe or socket to whoever asked; its other end closes with them."""
    listener = select.poll()
    listener.register(sys.stderr.fileno(), 0)
    while not any(event & (select.POLLHUP | select.POLLERR) for _, event in listener.poll()):
        time.sleep(0.2)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def answer_of(main: Callable[[Spec], Result], spec: Spec) -> dict[str, Any]:
    """What one function says: ``{"result": …}``, or ``{"failure": reason}`` where it gave up."""
    try:
        return {"result": main(spec)}
    except HostError as error:
        return {"failure": str(error)}
    except OSError as error:
        return {"failure": f"{error.strerror or error}: {error.filename}" if error.filename else str(error)}


def run_script(main: Callable[[Spec], Result], spec: Spec) -> int:
    """Run one script: its answer is one JSON line on standard output.

    The reason of a failure stands on standard error, too, and the exit code is 1 then.
    """
    try:
        answer = answer_of(main, spec)
    except KeyboardInterrupt:
        return 130
    print(json.dumps(answer), flush=True)
    if "failure" not in answer:
        return 0
    for line in answer["failure"].splitlines() or [""]:
        print(f"{FAILURE}{line}", file=sys.stderr, flush=True)
    return 1


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    timeout: float = 1800,
    keep_open: Sequence[int] = (),
    why: str,
) -> str:
    """Run a program and return its standard output; its own words end up in the `HostError` when it fails.

    `why` completes the sentence "could not …"; the program inherits the file descriptors `keep_open`.
    """
    try:
        done = subprocess.run(
            [os.fspath(part) for part in argv],
            env=dict(env) if env is not None else None,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            pass_fds=keep_open,
            check=False,
        )
    except FileNotFoundError as error:
        raise HostError(f"could not {why}: there is no program {argv[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise HostError(f"could not {why}: no end after {timeout:.0f} s") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
        raise HostError("\n".join([f"could not {why}:", *said[-20:]]))
    return done.stdout
