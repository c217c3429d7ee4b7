"""The port in firewalld, where it runs: open in the running firewall and in the one of the next boot."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from jupyfleet_host.common import HostError, progress, run

_ROUTES = Path("/proc/net/route")
_SECONDS = 60


def missing(port: int, zone: str | None) -> list[str]:
    """What `open_port` would do, a sentence each; nothing where firewalld does not run.

    Raises:
        HostError: there is no such zone.
    """
    if not _runs():
        return []
    zone = zone or _zone_of_default_route()
    return [
        f"open port {port}/tcp in zone {zone} of firewalld ({when})"
        for when, permanently in (("now", False), ("at boot", True))
        if not _asked("--query-port", port, zone, permanently=permanently)
    ]


def open_port(port: int, zone: str | None) -> None:
    """Open the port now and for good."""
    zone = zone or _zone_of_default_route()
    progress(f"opening port {port} in zone {zone} of firewalld")
    for permanently in (False, True):
        if not _asked("--query-port", port, zone, permanently=permanently):
            _tell("--add-port", port, zone, permanently=permanently)


def opened(port: int, zone: str | None) -> list[str]:
    """What `close_port` would do, a sentence each."""
    if not _runs():
        return []
    zone = zone or _zone_of_default_route()
    is_open = any(_asked("--query-port", port, zone, permanently=permanently) for permanently in (False, True))
    return [f"close port {port}/tcp in zone {zone} of firewalld"] if is_open else []


def close_port(port: int, zone: str | None) -> None:
    """Close the port now and for good."""
    zone = zone or _zone_of_default_route()
    for permanently in (False, True):
        if _asked("--query-port", port, zone, permanently=permanently):
            _tell("--remove-port", port, zone, permanently=permanently)


def interface_of_default_route(table: str) -> str | None:
    """The interface behind which the world is, from the text of /proc/net/route."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[1] == "00000000" and fields[7] == "00000000":
            return fields[0]
    return None


def _runs() -> bool:
    if shutil.which("firewall-cmd") is None:
        return False
    try:
        done = subprocess.run(["firewall-cmd", "--state"], capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise HostError(
            f"firewalld does not answer within {_SECONDS} s: `firewall-cmd --state` hangs. Look at it, and where "
            "SELinux is enforcing at what that has denied (`ausearch -m avc`); then run up again."
        ) from error
    return done.returncode == 0


def _zone_of_default_route() -> str:
    """Where users come from: the zone of that interface, or the default zone when it has none of its own."""
    interface = interface_of_default_route(_ROUTES.read_text()) if _ROUTES.exists() else None
    if interface:
        argv = ["firewall-cmd", f"--get-zone-of-interface={interface}"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode == 0 and re.fullmatch(r"[\w-]+", done.stdout.strip()):
            return done.stdout.strip()
    return run(["firewall-cmd", "--get-default-zone"], timeout=_SECONDS, why="ask firewalld for its zone").strip()


def _asked(option: str, port: int, zone: str, *, permanently: bool) -> bool:
    done = subprocess.run(
        _argv(option, port, zone, permanently=permanently), capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):  # firewall-cmd(1): 1 is "no", everything else an error.
        raise HostError(f"firewalld does not answer for zone {zone}: {done.stderr.strip()}. Set jupyter_firewall_zone.")
    return done.returncode == 0


def _tell(option: str, port: int, zone: str, *, permanently: bool) -> None:
    run(_argv(option, port, zone, permanently=permanently), timeout=_SECONDS, why=f"change port {port} in firewalld")


def _argv(option: str, port: int, zone: str, *, permanently: bool) -> list[str]:
    return ["firewall-cmd", *(["--permanent"] if permanently else []), f"--zone={zone}", f"{option}={port}/tcp"]
