"""The checks that prove a host: what the probe is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from deploy.clients import reachable_address
from deploy.paths import PROGRAM
from deploy.settings import Settings

#: Every tool that the documentation promises.
TOOLS: Final = (
    "notebook_list",
    "notebook_create",
    "notebook_get",
    "notebook_watch",
    "notebook_list_users",
    "cell_get",
    "cell_update",
    "cell_insert",
    "cell_delete",
    "cell_execute",
    "cell_move",
    "room_list",
    "kernel_interrupt",
    "kernel_restart",
    "execution_get",
)
#: Tools that would let an agent disturb the rooms of others.
FORBIDDEN_TOOLS: Final = ("room_open", "room_close", "room_close_all", "room_pick")
Status = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class CheckResult:
    """How one check ended; `detail` is a sentence, `seconds` what it took on the host."""

    id: str
    status: Status
    detail: str
    seconds: float


def probe_spec(settings: Settings) -> dict[str, Any]:
    """What `jupyfleet_host.probe` is asked."""
    return {
        "home": settings.home,
        "log": str(settings.paths.logs / "jupyter.log"),
        "environment": str(settings.paths.environment),
        "workspace": settings.workspace,
        "workspace_mount": settings.workspace_mount,
        "workspace_tag": settings.workspace_tag,
        "user": settings.user,
        # The system's is where the host's distribution has it.
        "supervisor_socket": str(settings.paths.supervisor_socket) if settings.scope == "user" else None,
        "program": PROGRAM,
        "host": reachable_address(settings.bind),
        "port": settings.port,
        "scheme": settings.scheme,
        # The server has to show this very certificate.
        "ca_file": str(settings.tls_files.certificate) if settings.tls_files else None,
        "base_url": settings.base_url,
        "token_file": str(settings.paths.token) if settings.auth == "token" else None,
        "profile": settings.profile,
        "spacy_model": "en_core_web_sm" if settings.has_spacy_model else None,
        "tools": list(TOOLS),
        "forbidden_tools": list(FORBIDDEN_TOOLS),
        "timeout": settings.start_timeout,
        "scope": "live",
    }


def results_of(answer: dict[str, Any]) -> list[CheckResult]:
    """The probe's answer, check by check."""
    return [CheckResult(**check) for check in answer["checks"]]
