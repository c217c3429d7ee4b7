"""mcp-jupyter-auth-required: a stranger gets nothing."""

from __future__ import annotations

import contextlib
import json
import secrets
import stat
import urllib.parse
from pathlib import Path

from jupyfleet_host import probe_web
from jupyfleet_host.probe_common import CheckError, Probe
from jupyfleet_host.probe_mcp_client import HEADERS
from jupyfleet_host.probe_web import Answer

_PING = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}).encode()


def check_auth(probe: Probe) -> str:
    """Prove that neither a caller without a token nor one with a wrong one gets in, nor a user at the token's file."""
    open_doors = [f"{what} without a token" for what in _open_doors(probe, None)]
    open_doors += [f"{what} to a wrong token" for what in _open_doors(probe, secrets.token_hex(24))]
    if open_doors:
        is_open = any(" answered 2" in what for what in open_doors)
        todo = "close the port until this is repaired" if is_open else f"see {probe.log}"
        raise CheckError(f"not refused: {'; '.join(open_doors)}; {todo}")
    with contextlib.suppress(FileNotFoundError, PermissionError):
        mode = stat.S_IMODE(Path(str(probe.token_file)).stat().st_mode)
        if mode & stat.S_IRWXO:
            raise CheckError(f"token file {probe.token_file} is open to every user (mode {mode:04o}): chmod 600 it")
    return f"{probe.url('api/contents')} and {probe.url('mcp')} refuse no token and a wrong token"


def _open_doors(probe: Probe, token: str | None) -> list[str]:
    """What a caller with this token, or none, gets that it must not get."""
    contents, mcp = probe.url("api/contents"), probe.url("mcp")
    found = []
    answer = probe_web.get(probe, contents, token=token)
    if not _refuses(answer):
        found.append(f"GET {contents} answered {answer.status}")
    # With a cookie and header that match, a refusal is the lock's and not that of the forgery protection before it.
    xsrf = secrets.token_hex(16)
    headers = {**HEADERS, "Cookie": f"_xsrf={xsrf}", "X-XSRFToken": xsrf}
    with probe_web.stream(probe, "POST", mcp, token=token, headers=headers, body=_PING) as response:
        if response.status not in (401, 403):
            found.append(f"POST {mcp} answered {response.status}")
    return found


def _refuses(answer: Answer) -> bool:
    """Jupyter sends a browser to the login page and everybody else away."""
    to_login = answer.status == 302 and "login" in urllib.parse.urlsplit(answer.headers.get("Location", "")).path
    return answer.status in (401, 403) or to_login
