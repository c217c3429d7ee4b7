"""What each operation does for what a host answers: a data file per case, run by pyinfra-testing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pyinfra_testing.operations import make_operation_tests

from tests.operations.plain import operations

CASES = Path(__file__).parent / "cases/operations"
#: What has no way to be unchanged, or to change a host.
_ALWAYS_CHANGES = {"access_token.rotated"}
_NEVER_CHANGES = {"checks.pass_all", "preflight.passed"}

for _name in sorted(operations()):
    globals()[f"Test{_name}"] = make_operation_tests(
        "tests.operations", f"plain.{_name.replace('.', '_')}", CASES / _name
    )


def _cases(name: str, beginning: str) -> list[Path]:
    return [path for path in (CASES / name).glob("*.yaml") if path.stem.startswith(beginning)]


@pytest.mark.parametrize("name", sorted(operations()))
def test_each_operation_is_seen_changing_a_host_and_leaving_one_alone(name: str) -> None:
    """What a case is called is what it shows, and each operation has both kinds."""
    assert bool(_cases(name, "changed")) == (name not in _NEVER_CHANGES)
    assert bool(_cases(name, "unchanged")) == (name not in _ALWAYS_CHANGES)
    for path in (CASES / name).iterdir():
        case = yaml.safe_load(path.read_text())
        commands = case["commands"]
        tells = [command for command in commands if isinstance(command, dict) and command.get("plan")]
        refuses = [command for command in commands if isinstance(command, list) and command[0] == "_refuse"]
        kind = "changed" if tells else "refused" if refuses else "unchanged"
        assert path.stem.startswith(kind), f"{path} shows what is {kind}"
        assert kind != "unchanged" or case["noop_description"]


def test_every_case_is_of_an_operation_that_there_is() -> None:
    assert {path.name for path in CASES.iterdir()} == set(operations())
