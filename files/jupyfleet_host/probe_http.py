"""jupyter-port and jupyter-api: something listens, and it is Jupyter with all that a browser needs."""

from __future__ import annotations

import html
import re
import socket
import urllib.parse

from jupyfleet_host import probe_web
from jupyfleet_host.probe_common import CheckError, Probe, parse_json
from jupyfleet_host.probe_service import patiently
from jupyfleet_host.probe_token import read_token
from jupyfleet_host.probe_user import service_user
from jupyfleet_host.probe_web import NOT_YET, REFUSALS, SERVED_WITH_ANOTHER, Answer

#: Even a probe whose time is up gives an answer this long.
LEAST_SECONDS = 2.0


def check_port(probe: Probe) -> str:
    """Prove that something listens; a server that is being started gets the time that is left."""

    def connect() -> None:
        seconds = max(LEAST_SECONDS, min(5.0, probe.left()))
        try:
            socket.create_connection((probe.host, probe.port), timeout=seconds).close()
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            text = f"{probe.address} accepts no connection ({reason}): see {probe.log}"
            raise CheckError(text, gone=True, passing=True) from error

    patiently(probe, connect)
    return f"{probe.address} accepts connections"


def check_api(probe: Probe) -> str:
    """Prove that Jupyter Server answers, and that a browser would get JupyterLab's page and its program."""
    path = probe.url("api")

    def ask() -> Answer:
        answer = probe_web.get(probe, path, timeout=max(LEAST_SECONDS, probe.left()))
        if answer.status != 200:
            text = f"GET {path} answered {answer.shown()} instead of 200: see {probe.log}"
            raise CheckError(text, passing=answer.status in NOT_YET)
        return answer

    content = parse_json(patiently(probe, ask).body)
    if not isinstance(content, dict) or not isinstance(content.get("version"), str):
        raise CheckError(f"GET {path} answered 200 without a version: is this port Jupyter's?")
    asset = _check_page(probe, read_token(probe.token_file, service_user(probe.user).uid))
    return f"Jupyter Server {content['version']} serves {probe.url('lab')} and {asset}"


def _check_page(probe: Probe, token: str | None) -> str:
    """Prove the page and one program that it refers to; the token goes to this server, whatever the page names."""
    path = probe.url("lab")
    page = probe_web.get(probe, path, token=token)
    if page.status in REFUSALS:
        raise CheckError(f"GET {path} with the token answered {page.status}: {SERVED_WITH_ANOTHER}")
    if page.status != 200 or page.kind != "text/html":
        raise CheckError(f"GET {path} answered {page.shown()} ({page.kind}) instead of a page: see {probe.log}")
    found = re.search(r"""["']([^"'<>\s]*/static/lab/[^"'<>\s]+\.js(?:\?[^"'<>\s]*)?)["']""", page.text)
    if not found:
        raise CheckError(
            f"GET {path} answered a page that names no /static/lab/….js: JupyterLab's files are incomplete"
        )
    asset = urllib.parse.urlsplit(html.unescape(found[1]))
    target = f"{asset.path}?{asset.query}" if asset.query else asset.path
    answer = probe_web.get(probe, target, token=token, most=4096)
    if answer.status != 200 or answer.kind == "text/html" or not answer.body:
        got = f"answered {answer.status} ({answer.kind})"
        raise CheckError(f"GET {asset.path}, which {path} needs, {got}: JupyterLab's files are incomplete")
    return asset.path
