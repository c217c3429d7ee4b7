"""The server's log, from its end: as it is now, or line by line as it grows."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from jupyfleet_host.common import HostError, Result, Spec
from jupyfleet_host.probe_token import scrubber

_POLL_SECONDS = 0.2
_MOST_BYTES = 4_000_000


def tail(spec: Spec) -> Result:
    """The end of `file`: ``{"lines": [text, …]}``, at most `lines` of them, without the token of `token_file`."""
    scrub = scrubber(spec["token_file"])
    return {"lines": [scrub(line) for line in _last_lines(Path(spec["file"]), spec["lines"])]}


def follow(spec: Spec) -> Result:
    """As `tail`, printed line by line, and then whatever is added, until nobody listens any more."""
    scrub = scrubber(spec["token_file"])
    file = Path(spec["file"])
    for line in _last_lines(file, spec["lines"]):
        print(scrub(line), flush=True)
    for line in _growing(file):
        print(scrub(line), flush=True)
    return {}


def _last_lines(file: Path, count: int) -> list[str]:
    try:
        with file.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - _MOST_BYTES))
            text = log.read()
    except FileNotFoundError:
        raise HostError(f"there is no log {file}. Run jupyfleet up.") from None
    lines = text.decode(errors="replace").splitlines()
    # The first of a part may begin within a token, which nothing would then recognise.
    return (lines[1:] if size > _MOST_BYTES else lines)[-count:] if count else []


def _growing(file: Path) -> Iterator[str]:
    """What is added, also after the log was rotated: a new file then has its name."""
    log, half = file.open(errors="replace"), ""
    log.seek(0, os.SEEK_END)
    while True:
        while piece := log.readline():
            half += piece
            if half.endswith("\n"):
                yield half.rstrip("\n")
                half = ""
        if _was_rotated(file, log):
            log.close()
            log = file.open(errors="replace")
        time.sleep(_POLL_SECONDS)


def _was_rotated(file: Path, log: TextIO) -> bool:
    try:
        return not os.path.samestat(file.stat(), os.fstat(log.fileno()))
    except FileNotFoundError:
        return False
