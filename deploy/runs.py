"""The result document of a run: one JSON file each, kept on the controller for `report` and whoever else wants to know.

Its shape is the schema in docs/result.schema.json; it changes only together with the name in `schema`. No secret is
in it: what `token show` prints never comes here.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal
from uuid import uuid4

from platformdirs import user_state_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.results import HostResult

SCHEMA: Literal["jupyfleet/result/1"] = "jupyfleet/result/1"
#: How many documents are kept; the oldest go first.
_KEPT = 500


class Run(BaseModel):
    """What one command did to the hosts of one inventory."""

    model_config = ConfigDict(extra="forbid", title="jupyfleet result", populate_by_name=True)

    format: Literal["jupyfleet/result/1"] = Field(SCHEMA, alias="schema", description="Name of this shape.")
    command: str = Field(description="The command, such as 'up'.")
    ok: bool = Field(description="Whether every host ended well.")
    id: str = Field(default_factory=lambda: uuid4().hex, description="Of this run alone.")
    inventory: str = Field("", description="Absolute path of the inventory on the controller.")
    controller: str = Field("", description="Who ran it: user@machine.")
    version: str = Field("", description="Of jupyfleet.")
    started: datetime | None = Field(None, description="When the run began, with its time zone.")
    seconds: float = Field(0.0, description="How long it took.")
    hosts: list[HostResult] = Field(description="What happened on each host, in the inventory's order.")


def run_of(
    command: str, results: Sequence[HostResult], *, inventory: Path | None = None, started: datetime | None = None
) -> Run:
    """The document of a run that has just ended."""
    return Run(
        command=command,
        ok=all(result.is_good for result in results),
        inventory=str(inventory.absolute()) if inventory else "",
        controller=f"{getpass.getuser()}@{socket.gethostname()}",
        version=version("jupyfleet"),
        started=started,
        seconds=round((datetime.now(UTC) - started).total_seconds(), 3) if started else 0.0,
        hosts=list(results),
    )


def to_json(run: Run) -> str:
    # Not by pydantic itself, which refuses what a host may well say: half a surrogate pair.
    return json.dumps(run.model_dump(mode="json", by_alias=True), indent=2)


def keep(run: Run) -> Path:
    """Write a document into the state directory, and return its path.

    Raises:
        OSError: it cannot be written.
    """
    directory = _directory()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    moment = (run.started or datetime.now(UTC)).strftime("%Y%m%dT%H%M%S.%f")
    file = directory / f"{moment}-{run.command.replace(' ', '-')}-{run.id[:8]}.json"
    beside = file.with_suffix(".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(to_json(run))
    beside.rename(file)
    for old in sorted(directory.glob("*.json"))[:-_KEPT]:
        old.unlink(missing_ok=True)
    return file


def last(inventory: Path, commands: Sequence[str]) -> Run | None:
    """The newest document of one of the commands on an inventory; unreadable ones are passed over."""
    for file in sorted(_directory().glob("*.json"), reverse=True):
        try:
            run = Run.model_validate_json(file.read_text(encoding="utf-8"))
        except (OSError, ValidationError):
            continue
        if run.command in commands and run.inventory == str(inventory.absolute()):
            return run
    return None


def _directory() -> Path:
    return user_state_path("jupyfleet") / "runs"
