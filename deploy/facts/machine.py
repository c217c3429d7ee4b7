"""What a host is, asked before anything is decided for it: nothing here changes while a deploy runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deploy.facts.hostscript import HostScriptError, ask
from deploy.settings import Settings
from jupyfleet_host.distribution import FAMILIES, Distribution


@dataclass(frozen=True)
class Machine:
    """One host. `problems` say what keeps a deploy from it; where there are some, the rest may be empty.

    `python` is a version, `architecture` as ``uname -m`` has it; `distribution` is only asked for in system scope.
    All are empty where nobody needed to ask before the deploy's own preflight.
    """

    problems: tuple[str, ...] = ()
    python: str = ""
    architecture: str = ""
    distribution: Distribution | None = None
    has_selinux: bool = False


def machine_of_current_host(settings: Settings) -> Machine:
    """Ask the current host, in one command, where something has to be decided by the answer.

    In user scope nothing has: there a deploy asks it together with everything else, as its preflight.
    """
    if settings.scope == "user" and settings.provider != "pixi":
        return Machine()
    try:
        report = ask("preflight", "check", preflight_spec(settings), as_user=settings.as_root)
    except HostScriptError as error:
        return Machine(problems=(str(error),))
    return Machine(
        problems=tuple(report["problems"]),
        python=report["python"] or "",
        architecture=report["machine"],
        distribution=FAMILIES.get(report["family"]),
        has_selinux=report["selinux"],
    )


def preflight_spec(settings: Settings) -> dict[str, Any]:
    """What `jupyfleet_host.preflight.check` is asked."""
    names = {"home", "workspace", "bind", "port", "python", "scope", "user", "workspace_mount"}
    spec = settings.model_dump(include=names) | {"lock_file": str(settings.paths.lock)}
    # A Python that uv fetches is not there yet; what asks for it is the host's own.
    if settings.python.startswith("uv:"):
        spec["python"] = "python3"
    return spec
