"""`Match exec` of an SSH configuration, as ssh itself has it: the user's shell runs a command, and 0 is a match.

It stands in the place of the library that paramiko would use. pyinfra's own takes the command for the name of a file,
and so never finds a match, without a word.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

from paramiko import SSHException

_SECONDS = 15


@dataclass(frozen=True)
class Done:
    """What became of a command."""

    ok: bool


def run(command: str, **_: object) -> Done:
    """Run a command; nobody hears what it says, and nobody answers what it asks.

    Raises:
        SSHException: it cannot be started, or does not end.
    """
    argv = [os.environ.get("SHELL") or "/bin/sh", "-c", command]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SSHException(f"a `Match exec` of your SSH configuration did not end within {_SECONDS} s") from error
    except OSError as error:
        raise SSHException(f"your shell {argv[0]}, for `Match exec`, could not be started: {error.strerror}") from error
    return Done(ok=done.returncode == 0)
