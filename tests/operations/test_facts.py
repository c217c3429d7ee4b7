"""What is asked of a host, and what is made of its answer: a data file per case."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyinfra.context import ctx_host, ctx_state
from pyinfra_testing.facts import make_fact_tests
from pyinfra_testing.util import FakeState, create_host

from deploy.settings import read_settings

CASES = Path(__file__).parent / "cases/facts"
#: pyinfra's kind of fact. The others are functions of settings that ask by way of it.
_FACT = "hostscript.HostScript"
_FUNCTIONS = [path for path in sorted(CASES.glob("*/*.yaml")) if path.parent.name != _FACT]

TestHostScript = make_fact_tests("deploy.facts", _FACT, CASES / _FACT)


@pytest.mark.parametrize("path", _FUNCTIONS, ids=[f"{path.parent.name}-{path.stem}" for path in _FUNCTIONS])
def test_what_is_known_of_a_host(path: Path) -> None:
    case = yaml.safe_load(path.read_text())
    module, _, name = path.parent.name.rpartition(".")
    function = getattr(importlib.import_module(f"deploy.facts.{module}"), name)
    state = FakeState()
    host = create_host(state, facts=case.get("facts", {}))
    with ctx_state.use(state), ctx_host.use(host):
        assert _plain(function(read_settings("host", case["settings"]))) == case["result"]


def _plain(value: Any) -> Any:
    """Records as data; a family by its name."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    data = dataclasses.asdict(value)
    data = {name: list(one) if name == "problems" else one for name, one in data.items()}
    return data | ({"distribution": value.distribution and value.distribution.family} if "distribution" in data else {})
