"""The token of a host: shown to whoever may read it, and replaced by a new one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from jupyfleet_host.common import HostError, Result, Spec
from jupyfleet_host.probe_common import CheckError
from jupyfleet_host.probe_token import read_token
from jupyfleet_host.tree import replace


def show(spec: Spec) -> Result:
    """The token of `token_file`: ``{"token": text}``. It travels to the controller: only for somebody who asked."""
    try:
        return {"token": read_token(spec["token_file"], os.geteuid())}
    except CheckError as error:
        raise HostError(str(error)) from error


def is_there(spec: Spec) -> Result:
    """Whether there is a token to replace: ``{"there": bool}``."""
    return {"there": Path(spec["token_file"]).is_file()}


def rotate(spec: Spec) -> Result:
    """Put a new token in the place of the old one, by one rename. A server that runs still has the old one."""
    file = Path(spec["token_file"])
    if not file.is_file():
        raise HostError(f"there is no token {file} to replace. Run jupyfleet up.")
    replace(file, secrets.token_hex(32).encode(), 0o600)
    return {"summary": "a new token"}
