"""The start of the program: it loads what a command needs, and what is left for later is there when it is used."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

#: Says what was loaded, and what the program offers.
_SHOW = """
import json, sys
from deploy import cli
app = cli.program({arguments!r})
from typer.main import get_command
print(json.dumps({{
    "commands": sorted(get_command(app).commands),
    "modules": sorted(name for name in sys.modules if name.startswith(("deploy.commands.", "invoke"))),
}}))
"""


def python(code: str) -> Any:
    """What a Python of its own prints: whoever runs the tests has patched and loaded all kinds of things."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_command_is_loaded_alone() -> None:
    found = python(_SHOW.format(arguments=["plan", "inventories/lab.py"]))
    assert found["commands"] == ["plan"]
    assert found["modules"] == ["deploy.commands.common", "deploy.commands.plan", "invoke"]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["nonsense"]])
def test_without_one_all_are_there(arguments: list[str]) -> None:
    found = python(_SHOW.format(arguments=arguments))
    assert set(found["commands"]) >= {"doctor", "plan", "up", "verify", "rollback", "status", "logs", "token", "down"}
    assert len(found["commands"]) == len(
        python("import json; from deploy import cli; print(json.dumps(cli.everything()))")
    )


def test_what_paramiko_seldom_needs_is_there_once_it_does() -> None:
    code = """
import json, sys
from deploy import startup
startup.prepare()
import paramiko.config
before = "invoke.runners" in sys.modules
import invoke
same = invoke.run is paramiko.config.invoke.run
print(json.dumps([before, same, "invoke.runners" in sys.modules]))
"""
    assert python(code) == [False, True, True]


def test_pyinfra_finds_its_connectors_and_arguments_as_ever() -> None:
    code = """
import json
from deploy import startup
startup.prepare()
from pyinfra.api import arguments, connectors
def found():
    return [sorted(connectors.get_all_connectors()), [name for name, _ in arguments.all_global_arguments()]]
before = found()
startup.after_pyinfra()
print(json.dumps([before == found() == found(), {"ssh", "local"} <= set(before[0])]))
"""
    assert python(code) == [True, True]
