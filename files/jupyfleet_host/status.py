"""How a host is doing: what runs, since when, for whom, and with how much room left. It looks, and changes nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from jupyfleet_host import probe_web
from jupyfleet_host.common import Result, Spec
from jupyfleet_host.probe_common import CheckError, Probe, parse_json, probe_of
from jupyfleet_host.probe_mcp_client import Mcp
from jupyfleet_host.probe_service import process_info
from jupyfleet_host.probe_token import read_token
from jupyfleet_host.probe_user import service_user

#: The packages whose versions are worth knowing at a glance, by their names on disk.
_PACKAGES = ("jupyterlab", "jupyter_server", "jupyter_collaboration", "jupyter_mcp")


def main(spec: Spec) -> Result:
    """Look around: a dictionary with the keys below; what cannot be had is None, and `problem` says why.

    `service` (supervisord's word for its state), `uptime` (seconds), `release`, `releases` (how many are kept),
    `versions` (by package), `kernels`, `users` (who have a notebook open, each once), `notebooks` (that are open),
    `disk` (bytes: `total`, `free`, of the file system of the home), `load` (the average of the last minute).
    """
    probe = probe_of(spec)
    found: dict[str, Any] = {"service": None, "uptime": None, "kernels": None, "users": None, "notebooks": None}
    problems = []
    try:
        info = process_info(probe)
        found["service"] = info["statename"]
        if info["statename"] == "RUNNING":
            found["uptime"] = max(0, int(info.get("now", 0)) - int(info.get("start", 0)))
            found |= _people(probe)
    except CheckError as error:
        problems.append(str(error))
    release = Path(probe.environment)
    found["release"] = release.resolve().name if release.is_symlink() else None
    found["releases"] = len(_directories(Path(probe.home) / "releases"))
    found["versions"] = _versions(release)
    found["disk"] = _disk(Path(probe.home))
    found["load"] = round(os.getloadavg()[0], 2)
    return found | {"problem": "; ".join(problems) or None}


def _people(probe: Probe) -> dict[str, Any]:
    """Kernels by Jupyter's own count, people and notebooks by the rooms that are open."""
    answer = probe_web.get(
        probe, probe.url("api/status"), token=read_token(probe.token_file, service_user(probe.user).uid)
    )
    status = parse_json(answer.body)
    with Mcp(probe) as mcp:
        content = mcp.call("tools/call", {"name": "room_list", "arguments": {}}).get("structuredContent")
    rooms = content.get("result", []) if isinstance(content, dict) else []
    users = {str(user.get("id") or user.get("name")) for room in rooms for user in room.get("users", [])}
    kernels = status.get("kernels") if isinstance(status, dict) else None
    return {"kernels": kernels, "users": len(users), "notebooks": len(rooms)}


def _versions(environment: Path) -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        for directory in environment.glob(f"lib/python3*/site-packages/{name}-*.dist-info"):
            found[name] = directory.name.removeprefix(f"{name}-").removesuffix(".dist-info")
    for config in environment.glob("pyvenv.cfg"):
        lines = dict(line.split(" = ", 1) for line in config.read_text().splitlines() if " = " in line)
        found["python"] = lines.get("version_info", lines.get("version", "")).split(" ")[0]
    return found


def _directories(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []


def _disk(home: Path) -> dict[str, int]:
    nearest = next(path for path in (home, *home.parents) if path.exists())
    usage = shutil.disk_usage(nearest)
    return {"total": usage.total, "free": usage.free}
