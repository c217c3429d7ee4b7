"""Result documents: kept, found again, valid by their published schema, and closed to others."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest

from deploy import runs
from deploy.checks import CheckResult
from deploy.documentation import pages
from deploy.results import HostResult, Step

INVENTORY = Path("/srv/lab.py")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "jupyfleet/runs"


def run_at(seconds: int, command: str = "up", inventory: Path = INVENTORY) -> runs.Run:
    """A run, some time after the first one."""
    result = HostResult(
        "lab1",
        "changed",
        [Step("Files", "changed", 0.5, "3 files", ("a is new",), 0.1)],
        [CheckResult("jupyter-port", "ok", "127.0.0.1 port 8888 accepts", 0.01)],
    )
    started = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return runs.run_of(command, [result], inventory=inventory, started=started)


def test_a_document_is_kept_for_its_owner_alone(state: Path) -> None:
    file = runs.keep(run_at(0))
    assert file.parent == state
    assert file.stat().st_mode & 0o777 == 0o600
    assert runs.Run.model_validate_json(file.read_text()) == run_at(0).model_copy(
        update={"id": json.loads(file.read_text())["id"], "seconds": json.loads(file.read_text())["seconds"]}
    )


def test_the_last_run_of_an_inventory_is_found_among_others(state: Path) -> None:
    for run in (run_at(1), run_at(3), run_at(2), run_at(4, "verify"), run_at(5, inventory=Path("/srv/other.py"))):
        runs.keep(run)
    (state / "99990101T000000.000000-up-broken.json").write_text("{")
    found = runs.last(INVENTORY, ("up", "down"))
    assert found is not None
    assert found.started == datetime(2026, 1, 1, 0, 0, 3, tzinfo=UTC)
    assert runs.last(INVENTORY, ("down",)) is None


def test_only_so_many_are_kept(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_KEPT", 3)
    for number in range(5):
        runs.keep(run_at(number))
    assert len(list(state.iterdir())) == 3


def test_documents_are_as_the_published_schema_says() -> None:
    [schema] = [json.loads(text) for page, text in pages().items() if page.name == "result.schema.json"]
    jsonschema.validate(json.loads(runs.to_json(run_at(0))), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(runs.to_json(run_at(0))) | {"hosts": [{}]}, schema)
