"""The one remote command behind verify: prove that a host serves what it should, and change nothing on it.

``main(spec)`` answers, for each check of the design's table, ok, failed or skipped with one sentence; the spec has the
keys of `probe_common.Probe`. It never writes a file, never runs the environment's programs as root when they belong
to somebody else, never goes through a proxy, never follows a redirect, and never lets the token leave an Authorization
header. Whatever a host does, the answer is complete: an error inside a check is that check's result.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from jupyfleet_host import probe_user
from jupyfleet_host.common import Result, Spec
from jupyfleet_host.probe_access import check_auth
from jupyfleet_host.probe_common import CheckError, Probe, describe, probe_of
from jupyfleet_host.probe_environment import check_binary, check_spacy
from jupyfleet_host.probe_http import check_api, check_port
from jupyfleet_host.probe_mcp import check_call, check_ping, check_tools
from jupyfleet_host.probe_service import check_service
from jupyfleet_host.probe_token import scrubber
from jupyfleet_host.probe_workspace import check_workspace

CHECKS: dict[str, Callable[[Probe], str]] = {
    "jupyter-lab-binary": check_binary,
    "spacy-import": check_spacy,
    "workspace-dir": check_workspace,
    "jupyter-service": check_service,
    "jupyter-port": check_port,
    "jupyter-api": check_api,
    "mcp-jupyter-ping": check_ping,
    "mcp-jupyter-list-tools": check_tools,
    "mcp-jupyter-call-list-notebooks": check_call,
    "mcp-jupyter-auth-required": check_auth,
}
_NAMES = tuple(CHECKS)
#: What an environment can prove before anything runs from it.
_OF_BUILD = _NAMES[:2]
#: These need no server, so they run beside those that follow a request through it.
_LOCAL = _NAMES[:3]
#: These wait for a server that was just started.
_WAITING = _NAMES[3:6]
#: What need not be tried when a check finds nobody to talk to.
_BARS = {
    "jupyter-port": _NAMES[5:],
    "jupyter-api": _NAMES[6:],
    "mcp-jupyter-ping": _NAMES[7:9],
    "mcp-jupyter-list-tools": _NAMES[8:9],
}
#: On top of a check's own limits, for what no limit reaches: a dead file server, an answer that drips.
GUARD_SECONDS = 60.0


def main(spec: Spec) -> Result:
    """Prove the host: every check, in the table's order."""
    probe = probe_of(spec)
    barred: dict[str, str] = {}
    # First what waits for a server that is being started: whatever else runs meanwhile would take its time from it.
    found = {name: _Running(name, probe, barred).result() for name in _WAITING}
    beside = {name: _Running(name, probe, barred) for name in _LOCAL}
    found |= {name: _Running(name, probe, barred).result() for name in _NAMES if name not in {*_WAITING, *_LOCAL}}
    found |= {name: running.result() for name, running in beside.items()}
    scrub = scrubber(probe.token_file)
    return {"checks": [found[name] | {"detail": scrub(found[name]["detail"])} for name in _NAMES]}


class _Running:
    """One check in a thread of its own, because a dead file server holds whoever asks it."""

    def __init__(self, name: str, probe: Probe, barred: dict[str, str]) -> None:
        self._name = name
        self._probe = probe
        self._barred = barred
        self._found: Result | None = None
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def result(self) -> Result:
        """The check's entry; one that does not end is a failed one, and the next does not wait for it."""
        limit = GUARD_SECONDS + max(probe_user.PROGRAM_SECONDS, self._probe.timeout)
        self._thread.join(max(0.0, self._begun + limit - time.monotonic()))
        if self._found is not None:
            return self._found
        self._bar()
        return self._entry("failed", f"did not end within {limit:.0f} s: does a file server or the network hang?")

    def _run(self) -> None:
        self._found = self._entry(*self._outcome())

    def _outcome(self) -> tuple[str, str]:
        """Status and detail; nothing that a check meets escapes."""
        if reason := _reason_to_skip(self._name, self._probe):
            return "skipped", reason
        if self._name in self._barred:
            return "failed", f"not reached: {self._barred[self._name]} failed, see there"
        try:
            return "ok", CHECKS[self._name](self._probe)
        except CheckError as error:
            if error.gone:
                self._bar()
            return "failed", str(error)
        except Exception as error:
            return "failed", f"unexpected {describe(error)}"

    def _bar(self) -> None:
        for later in _BARS.get(self._name, ()):
            self._barred.setdefault(later, self._name)

    def _entry(self, status: str, detail: str) -> dict[str, Any]:
        seconds = round(time.monotonic() - self._begun, 3)
        return {"id": self._name, "status": status, "detail": detail, "seconds": seconds}


def _reason_to_skip(name: str, probe: Probe) -> str | None:
    """Why a check does not apply to this host."""
    if probe.scope == "build" and name not in _OF_BUILD:
        return "an environment alone is proven, nothing runs from it yet"
    if name == "spacy-import" and probe.profile != "full":
        return f"the profile {probe.profile} has no spaCy"
    if name == "spacy-import" and probe.spacy_model is None:
        return "no spaCy model is set for this host"
    if name == "mcp-jupyter-auth-required" and probe.token_file is None:
        return "the site is set to jupyter_auth none"
    return None
