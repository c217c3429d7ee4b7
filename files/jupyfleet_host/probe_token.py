"""The token: read as the server reads it, and kept out of whatever the probe says."""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import urllib.parse
from collections.abc import Callable
from pathlib import Path

from jupyfleet_host.probe_common import CheckError

DETAIL_CHARACTERS = 700
_MASK = "***"
_LIKE_A_TOKEN = re.compile(r"(?i)(\btoken=|\b(?:bearer|authorization:\s*token)\s+)[^\s&\"'<>]+")


def read_token(path: str | None, owner: int) -> str | None:
    """The token with nothing stripped; None where the site has no token.

    It is only read from a file of its `owner`, a user's id: whoever runs the server could put a link to somebody
    else's secrets there, and root would send them to that server.
    """
    if path is None:
        return None
    try:
        with Path(path).open("rb") as file:
            found = os.fstat(file.fileno()).st_uid
            raw = file.read() if found == owner else b""
    except FileNotFoundError as error:
        raise CheckError(f"token file {path} is missing: run jupyfleet up") from error
    except PermissionError as error:
        raise CheckError(f"token file {path} is closed to this user: run verify as its owner or with sudo") from error
    except OSError as error:
        raise CheckError(f"token file {path} cannot be read: {error.strerror or error}") from error
    if found != owner:
        raise CheckError(
            f"token file {path} belongs to uid {found}, not to uid {owner}: remove it and run jupyfleet up"
        )
    if not raw:
        raise CheckError(f"token file {path} is empty: remove it and run jupyfleet up")
    if raw.endswith(b"\n"):
        raise CheckError(f"token file {path} ends with a newline, which Jupyter takes as part of it: write it without")
    if not re.fullmatch(rb"[\x21-\x7e]+", raw):
        raise CheckError(f"token file {path} holds what no header can carry: remove it and run jupyfleet up")
    return raw.decode("ascii")


def scrubber(token_file: str | None) -> Callable[[str], str]:
    """A function that makes one line of any text, without this host's token and without what looks like one."""
    raw = ""
    if token_file is not None:
        with contextlib.suppress(OSError, ValueError):
            raw = Path(token_file).read_bytes().decode("utf-8", "replace")
    forms = sorted(_forms(raw), key=len, reverse=True)
    ours = re.compile("|".join(map(re.escape, forms)) if forms else r"(?!)")

    def scrub(text: str) -> str:
        text = " ".join(_LIKE_A_TOKEN.sub(rf"\g<1>{_MASK}", ours.sub(_MASK, text)).split())
        # Cut only now: half a token would not have been recognised.
        return text if len(text) <= DETAIL_CHARACTERS else f"{text[:DETAIL_CHARACTERS]}…"

    return scrub


def _forms(raw: str) -> set[str]:
    """Every form in which a token file's content could turn up in somebody else's text."""
    encoders: tuple[Callable[[str], str], ...] = (
        str,
        html.escape,
        urllib.parse.quote_plus,
        lambda text: urllib.parse.quote(text, safe=""),
        lambda text: json.dumps(text)[1:-1],
        lambda text: repr(text)[1:-1],
    )
    plain = {raw, *(line.strip() for line in raw.splitlines())}
    return {encode(text) for text in plain if text.strip() for encode in encoders}
