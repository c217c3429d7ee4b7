"""jupyter-service: what supervisord knows about the program; it is asked and never told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from jupyfleet_host.probe_common import CheckError, Probe, describe
from jupyfleet_host.probe_workspace import has_share
from jupyfleet_host.supervisor_rpc import RefusedError, RpcError, Supervisor

LOG_BYTES = 4000
_ANSWER_SECONDS = 5.0
#: States that supervisor does not leave by itself.
_SETTLED = frozenset({"FATAL", "STOPPED"})
#: EX_CONFIG of sysexits.h, by which the server refuses its configuration: supervisor takes it as final.
_REFUSAL = 78
_RPC_ERRORS = (OSError, RpcError, RefusedError)
T = TypeVar("T")


def check_service(probe: Probe) -> str:
    """Prove that supervisor runs the program and has seen it stay up; a start in progress gets its time."""
    while (info := process_info(probe))["statename"] != "RUNNING":
        if _is_settled(info) or not has_share(probe) or not probe.left():
            raise CheckError(_why_not_running(probe, info))
        probe.pause()
    seconds = max(0, int(info.get("now", 0)) - int(info.get("start", 0)))
    uptime = f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{probe.program} is RUNNING, pid {info.get('pid')}, up {uptime}"


def patiently(probe: Probe, attempt: Callable[[], T]) -> T:
    """Repeat what a server that is just starting may not do yet, until time is up or nothing is going to start it."""
    while True:
        try:
            return attempt()
        except CheckError as error:
            if not error.passing or not probe.left() or _gave_up(probe):
                raise
        probe.pause()


def _gave_up(probe: Probe) -> bool:
    try:
        return _is_settled(process_info(probe)) or not has_share(probe)
    except CheckError as error:
        return error.gone


def _is_settled(info: dict[str, Any]) -> bool:
    refused = info["statename"] == "EXITED" and info.get("exitstatus") == _REFUSAL
    return refused or info["statename"] in _SETTLED


def process_info(probe: Probe) -> dict[str, Any]:
    """The program's process info, or why there is none."""
    path, program = probe.supervisor_socket, probe.program
    try:
        info = Supervisor(path, _ANSWER_SECONDS).getProcessInfo(program)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        text = f"supervisord does not run, nobody answers on {path}: run jupyfleet up"
        raise CheckError(text, gone=True) from error
    except PermissionError as error:
        raise CheckError(f"{path} is closed to this user: run verify as its owner or with sudo") from error
    except RefusedError as error:
        todo = "run jupyfleet up" if "BAD_NAME" in error.reason else error.reason
        raise CheckError(f"supervisor knows no program {program}: {todo}") from error
    except _RPC_ERRORS as error:
        raise CheckError(f"supervisor on {path} gave no usable answer: {describe(error)}") from error
    if not isinstance(info, dict) or not isinstance(info.get("statename"), str):
        raise CheckError(f"supervisor on {path} gave no state for {program}")
    return info


def _why_not_running(probe: Probe, info: dict[str, Any]) -> str:
    state = info["statename"]
    reason = info.get("spawnerr")
    if state == "EXITED":
        reason = reason or f"exit code {info.get('exitstatus')}"
    if state == "STOPPED":
        reason = reason or "somebody stopped it: start it with jupyfleet up"
    said = _last_words(probe)
    log = f"its log ends: {said}" if said else f"its log says nothing, see {probe.log}"
    return f"{probe.program} is {state}{f' ({reason})' if reason else ''}; {log}"


def _last_words(probe: Probe) -> str:
    """The last lines of the program's log, standard error first."""
    for method in ("readProcessStderrLog", "readProcessStdoutLog"):
        try:
            supervisor = Supervisor(probe.supervisor_socket, _ANSWER_SECONDS)
            text = str(getattr(supervisor, method)(probe.program, -LOG_BYTES, 0))
        except _RPC_ERRORS:
            continue
        lines = text.splitlines()
        if len(text.encode()) >= LOG_BYTES:
            del lines[:1]  # It may begin within the token, which nothing would then recognise.
        if words := [line.strip() for line in lines if line.strip()]:
            return " | ".join(words[-5:])
    return ""
