"""One deploy at a time: a home is held from the first change of a run to the end of its connection, or of its life.

The lock is the kernel's, on a file that says who holds it. Nothing has to be cleaned up: it goes with the process that
holds it, and that goes with the connection (see `common.end_with_connection`).
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import NoReturn, TextIO

from jupyfleet_host.common import HostError, Result, Spec

_POLL_SECONDS = 0.02


def hold(spec: Spec) -> NoReturn:
    """Hold the home until whoever asked for it is gone; it never returns, and raises when somebody else holds it.

    The spec has `file`, the lock; `mark`, the file by which a home is known as
    jupyfleet's, or none; `who`, for others to read;
    and `run`, which tells this run from every other one.
    """
    file = Path(spec["file"])
    file.parent.mkdir(parents=True, exist_ok=True)
    if spec["mark"]:
        Path(spec["mark"]).touch()
    with _locked(file) as lock:
        lock.seek(0)
        lock.truncate()
        lock.write(f"{spec['who']}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n{spec['run']}\n")
        lock.flush()
        while True:
            time.sleep(3600)


def _locked(file: Path) -> TextIO:
    while True:
        lock = file.open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().partition("\n")[0] or "somebody who has just begun"
            lock.close()
            raise HostError(f"another deploy is at work on this host: {holder}. Wait for it, then run again.") from None
        if _is_still(file, lock):
            return lock
        lock.close()  # The one who held it took the home away in the meantime.


def _is_still(file: Path, lock: TextIO) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False


def wait_until_held(spec: Spec) -> Result:
    """Wait until `hold` with the same `file` and `run` has it: ``{"held": bool}``, false after `patience` seconds."""
    give_up = time.monotonic() + spec["patience"]
    while time.monotonic() < give_up:
        try:
            if spec["run"] in Path(spec["file"]).read_text().split("\n"):
                return {"held": True}
        except OSError:
            pass
        time.sleep(_POLL_SECONDS)
    return {"held": False}
