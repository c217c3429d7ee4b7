"""The server as a program of supervisord, through supervisord's own interface on its unix socket.

The running state is compared with the wanted one, so a run that was interrupted between writing a file and acting on
it is finished by the next one.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyfleet_host import processes, releases
from jupyfleet_host.common import HostError, Result, Spec, progress, run
from jupyfleet_host.identity import call_for
from jupyfleet_host.supervisor_rpc import RefusedError, RpcError, Supervisor

#: Of a person's environment the server gets what names the person, the language, and how to reach the network.
_KEPT = ("HOME", "LANG", "LOGNAME", "SHELL", "TMPDIR", "TZ", "USER")
_KEPT_PREFIXES = ("CURL_CA_", "LC_", "NO_PROXY", "PIP_", "REQUESTS_CA_", "SSL_CERT_", "UV_")
_KEPT_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY")


def state(spec: Spec) -> Result:
    """Say what `ensure` would do: ``{"actions": [sentence, …], "unproven": [release, the one before] | None}``.

    The spec has `socket`, `unit`, `program`, `identifier` and `token_file` (see `ensure`), `marks`: the variables that
    tell by their values what a running program was started from, and `link`, the one to the active release, which is
    the `owner`'s.
    """
    pending = call_for(spec["owner"], releases.pending, {"link": spec["link"]}, only_looks=True)
    return {"actions": _actions(spec), "unproven": pending["unproven"]}


def _actions(spec: Spec) -> list[str]:
    supervisor = _connect(spec["socket"])
    if supervisor is None:
        return ["start supervisord", f"start {spec['program']}"]
    if _is_outdated(supervisor, spec):
        return ["restart supervisord, whose configuration changed"]
    added, changed, removed = _differences(supervisor, spec)
    actions = [] if _starts_at_boot(spec) else [f"enable {spec['unit']}, so that it starts at boot"]
    actions += [f"add {name}" for name in added]
    actions += [f"restart {name}, whose configuration changed" for name in changed]
    actions += [f"remove {name}" for name in removed]
    info = _program(supervisor, spec["program"])
    if not actions and info.get("statename") != "RUNNING":
        actions.append(f"start {spec['program']}")
    elif not actions and _has_old_marks(info, spec["marks"]):
        # Its file says so only once it has been laid down: this is for a plan.
        actions.append(f"restart {spec['program']}, whose release or configuration changed")
    elif not actions and (what := _outdated_file(info, spec)):
        actions.append(f"restart {spec['program']}, whose {what} changed")
    return actions


def ensure(spec: Spec) -> Result:
    """Make supervisord run with its files as they are now, and the program RUNNING: ``{"pid": N}``.

    The spec has the site's `home`, `socket`, `program`, `start` (the command that starts supervisord), `log`
    (supervisord's), `program_log`, `token_file` and `certificate` (or none), which a program reads when it starts, and
    `wait`, in seconds. A supervisord of the site's own has an `identifier`, which tells whether it is the wanted one
    (none: any); one of the system has a `unit` of systemd, and programs of other people.
    """
    supervisor = _connect(spec["socket"])
    if supervisor is not None and not _starts_at_boot(spec):
        _start_unit(spec)
    if supervisor is not None and _is_outdated(supervisor, spec):
        progress("stopping supervisord, whose configuration changed")
        _shut_down(supervisor, spec["home"], spec["wait"])
        supervisor = None
    if supervisor is None:
        supervisor, is_starting = _start_supervisord(spec), True
    else:
        is_starting = _reload(supervisor, spec)
        if not is_starting and (what := _outdated_file(_program(supervisor, spec["program"]), spec)):
            progress(f"stopping {spec['program']}, whose {what} changed")
            supervisor.stopProcess(spec["program"])
    return {"pid": _wait_until_running(supervisor, spec, is_starting=is_starting)}


def processes_of_site(spec: Spec) -> Result:
    """The processes that `stop` would end: ``{"pids": [N, …]}``."""
    pids = processes.of_site(spec["home"])
    supervisor = _connect(spec["socket"]) if spec["unit"] is None else None
    return {"pids": pids if supervisor is None else [supervisor.getPID(), *pids]}


def stop(spec: Spec) -> Result:
    """End every process of the site, and a supervisord of its own: ``{"stopped": bool}``.

    The spec has `socket`, `unit`, `program`, `home` and `wait`.
    """
    supervisor = _connect(spec["socket"])
    if supervisor is not None and spec["unit"] is None:
        _shut_down(supervisor, spec["home"], spec["wait"])
    elif supervisor is not None and _program(supervisor, spec["program"]):
        _stop_group(supervisor, spec["program"], spec["wait"])
        supervisor.removeProcessGroup(spec["program"])
    left = processes.of_site(spec["home"])
    processes.end(left)
    return {"stopped": supervisor is not None or bool(left)}


# -- supervisord ---------------------------------------------------------------------------------------------------


def _connect(path: str) -> Supervisor | None:
    """supervisord's interface, or nothing when no supervisord answers."""
    supervisor = Supervisor(path)
    try:
        supervisor.getState()
    except (OSError, RpcError):
        return None
    except RefusedError as refusal:
        raise HostError(f"supervisord on {path} refuses to be asked: {refusal.reason}") from refusal
    return supervisor


def service_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What supervisord and all below it inherit: no token, and nothing of the project that happens to be active."""
    kept = {
        name: value
        for name, value in environ.items()
        if name in _KEPT or name in _KEPT_PROXIES or name.startswith(_KEPT_PREFIXES)
    }
    return {"LANG": "C.UTF-8", "PATH": environ.get("PATH", os.defpath)} | kept


def _is_outdated(supervisor: Supervisor, spec: Spec) -> bool:
    """Whether a supervisord of the site's own was started from other files; the system's is whatever it is."""
    if spec["unit"] is not None or spec["identifier"] is None:
        return False
    return bool(supervisor.getIdentification() != spec["identifier"])


def _starts_at_boot(spec: Spec) -> bool:
    """Whether systemd starts supervisord; one of the site's own is nobody's business but the site's."""
    if spec["unit"] is None:
        return True
    argv = ["systemctl", "is-enabled", "--quiet", spec["unit"]]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def _start_unit(spec: Spec) -> None:
    progress(f"enabling {spec['unit']}")
    run(spec["start"], timeout=spec["wait"], why=f"enable {spec['unit']}")


def _start_supervisord(spec: Spec) -> Supervisor:
    _end_orphans(spec["home"])
    progress("starting supervisord")
    done = subprocess.run(
        spec["start"],
        env=service_environment(os.environ) | ({processes.MARK: spec["home"]} if spec["unit"] is None else {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=spec["wait"],
        check=False,
    )
    give_up = time.monotonic() + spec["wait"]
    while done.returncode == 0 and time.monotonic() < give_up:
        if (supervisor := _connect(spec["socket"])) is not None:
            return supervisor
        time.sleep(0.05)
    said = (done.stderr or done.stdout).strip()
    raise HostError("\n".join(["supervisord did not start:", said, *_tail(Path(spec["log"]), spec["token_file"])]))


def _end_orphans(home: str) -> None:
    """What is left of a site whose supervisord was killed, or lost its socket, would have the port for good."""
    if orphans := processes.of_site(home):
        progress("ending what is left of an earlier server")
        processes.end(orphans, patience=30)


def _shut_down(supervisor: Supervisor, home: str, patience: float) -> None:
    """Stop supervisord and wait for it, so that the next one finds the socket and the port free."""
    pid = supervisor.getPID()
    supervisor.shutdown()
    if left := processes.wait_for_end([pid], patience):
        processes.end(left)
    processes.end(processes.wait_for_end(processes.of_site(home), patience=5))


def _reload(supervisor: Supervisor, spec: Spec) -> bool:
    """Act on what changed in the configuration files, and only on that; tell whether there was anything."""
    added, changed, removed = _differences(supervisor, spec)
    for group in [*changed, *removed]:
        progress(f"stopping {group}")
        _stop_group(supervisor, group, spec["wait"])
        supervisor.removeProcessGroup(group)
    for group in [*changed, *added]:
        supervisor.addProcessGroup(group)
    return bool(added or changed or removed)


def _stop_group(supervisor: Supervisor, group: str, patience: float) -> None:
    """Stop a group and wait for it here: supervisord itself, when it is to wait, may notice a second late."""
    supervisor.stopProcessGroup(group, False)
    give_up = time.monotonic() + patience
    while _is_ending(supervisor, group):
        if time.monotonic() > give_up:
            raise HostError(f"supervisord has not stopped {group} in {patience:g} s. Look at it, then run it again.")
        time.sleep(0.05)


def _is_ending(supervisor: Supervisor, group: str) -> bool:
    infos = [info for info in supervisor.getAllProcessInfo() if info["group"] == group]
    return any(info["statename"] in ("STARTING", "RUNNING", "BACKOFF", "STOPPING") for info in infos)


def _differences(supervisor: Supervisor, spec: Spec) -> tuple[list[str], list[str], list[str]]:
    """The programs that were added, changed and removed in the files, against those that supervisord has.

    Of the system's supervisord only our program counts: what others wait to apply is theirs.
    """
    try:
        added, changed, removed = supervisor.reloadConfig()[0]
    except RefusedError as refusal:
        raise HostError(f"supervisord refuses its configuration: {refusal.reason}") from refusal
    if spec["unit"] is not None:
        ours = {spec["program"]}
        added, changed, removed = ([name for name in names if name in ours] for names in (added, changed, removed))
    return added, changed, removed


# -- the program ---------------------------------------------------------------------------------------------------


def _program(supervisor: Supervisor, name: str) -> dict[str, Any]:
    try:
        return dict(supervisor.getProcessInfo(name))
    except RefusedError:
        return {}


def _has_old_marks(info: Mapping[str, Any], marks: Mapping[str, str]) -> bool:
    found = processes.environment_of(int(info["pid"]))
    return any(found.get(name, value) != value for name, value in marks.items())


def _outdated_file(info: dict[str, Any], spec: Spec) -> str | None:
    """What a running program read before its file became what it is now, if anything.

    supervisord gives whole seconds, rounded down, so the second in which it started counts as after.
    """
    if info.get("statename") != "RUNNING":
        return None
    for what, path in (("token", spec["token_file"]), ("certificate", spec["certificate"])):
        with contextlib.suppress(OSError):
            if path is not None and Path(path).stat().st_mtime > float(info["start"]) + 1:
                return what
    return None


def _wait_until_running(supervisor: Supervisor, spec: Spec, *, is_starting: bool) -> int:
    """Wait for the program, starting it once where it rests; `is_starting` tells that this was just done."""
    name, give_up = spec["program"], time.monotonic() + spec["wait"]
    progress(f"waiting for {name}")
    while time.monotonic() < give_up:
        info = _program(supervisor, name)
        if not info:
            raise HostError(f"supervisord knows no program {name}: its configuration is not there. Run up again.")
        if info["statename"] == "RUNNING":
            return int(info["pid"])
        if info["statename"] in ("STOPPED", "EXITED", "FATAL"):
            if is_starting:
                break
            is_starting = True
            _start_program(supervisor, name)
        time.sleep(0.1)
    state = _program(supervisor, name).get("statename")
    raise HostError(
        "\n".join([f"{name} does not run (it is {state}):", *_tail(Path(spec["program_log"]), spec["token_file"])])
    )


def _start_program(supervisor: Supervisor, name: str) -> None:
    try:
        supervisor.startProcess(name, False)
    except RefusedError as refusal:
        if refusal.code != 60:  # ALREADY_STARTED (supervisor's Faults): autostart was quicker.
            raise HostError(f"supervisord does not start {name}: {refusal.reason}") from refusal


def _tail(log: Path, token_file: str | None, lines: int = 15) -> list[str]:
    """The end of a log, without the token should it ever be in there."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")[-20_000:]
    except OSError:
        return []
    try:
        token = Path(token_file).read_text().strip() if token_file else ""
    except OSError:
        token = ""
    return [line.replace(token, "<token>") if token else line for line in text.splitlines()[-lines:]]
