"""A person at a terminal: a program that asks, and answers that are typed once it has."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


def typed(
    command: Sequence[str], answers: Sequence[tuple[str, str]], *, cwd: Path, environ: Mapping[str, str], seconds: float
) -> tuple[int, str]:
    """Run a program at a terminal of its own; each answer is typed as a line once its question has been asked.

    Returns the exit code and all that the terminal showed.

    Raises:
        AssertionError: a question was not asked, or the program did not end.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, cwd=cwd, env=dict(environ), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    shown, read_from, left = "", 0, list(answers)
    give_up = time.monotonic() + seconds
    try:
        while True:
            assert time.monotonic() < give_up, f"no end after {seconds:.0f} s, it showed:\n{shown}"
            if select.select([ours], [], [], 0.2)[0]:
                # The end of a terminal is an error to whoever reads it.
                with contextlib.suppress(OSError):
                    if data := os.read(ours, 65536):
                        shown += data.decode(errors="replace")
                        while left and (at := shown.find(left[0][0], read_from)) >= 0:
                            read_from = at + len(left[0][0])
                            os.write(ours, f"{left.pop(0)[1]}\n".encode())
                        continue
            if process.poll() is not None:
                break
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert not left, f"it never asked {left[0][0]!r}, it showed:\n{shown}"
    return process.returncode, shown
