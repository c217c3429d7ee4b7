"""The start of the program: it loads what a command needs, and what is left for later is there when it is used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
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


def test_tls_waits_in_greenlets_once_somebody_uses_it() -> None:
    code = """
import json, sys
from deploy import cli
cli.program(["plan"])
import pyinfra_cli.inventory
before = "_ssl" in sys.modules
import urllib.request, ssl
context = ssl.create_default_context()
print(json.dumps([before, type(context).__module__, ssl.SSLSocket.__module__]))
"""
    assert python(code) == [False, "gevent.ssl", "gevent.ssl"]


def test_mocks_are_there_for_whoever_wants_them() -> None:
    code = """
import json, sys
from deploy import cli, startup
cli.program(["plan"])
startup.after_pyinfra()
before = "asyncio" in sys.modules
from unittest.mock import Mock, patch
print(json.dumps([before, Mock(name="it").it() is not None, callable(patch)]))
"""
    assert python(code) == [False, True, True]


@pytest.mark.parametrize("kept", [True, False])
def test_templates_are_the_same_whether_or_not_they_can_be_kept_compiled(
    kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path) if kept else "/dev/null")
    code = """
import json
from deploy.rendering import render
settings = {"workspace_tag": "work", "workspace": "/srv/notebooks"}
print(json.dumps(render("workspace.mount.j2", settings=settings, options=["nofail"], supervisors=["one"])))
"""
    first, again = python(code), python(code)
    assert first == again
    assert "/srv/notebooks" in first
    assert len(list(tmp_path.rglob("*.cache"))) == kept
