"""One deploy at a time on a host: held by a process that goes when nobody listens to it any more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.facts.hostscript import source
from jupyfleet_host import deploy_lock
from jupyfleet_host.common import HostError


def spec_of(home: Path, run: str = "1") -> dict[str, Any]:
    file, mark = home / ".jupyfleet.deploy", home / ".jupyfleet.lock"
    return {"file": str(file), "mark": str(mark), "run": run, "who": f"ada@desk, process {run}"}


def start(spec: dict[str, Any]) -> subprocess.Popen[str]:
    """A host's Python that holds a home."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-I", "-"], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdin is not None
    process.stdin.write(source("deploy_lock", "hold", spec))
    process.stdin.close()
    process.stdin = None
    return process


def is_held(spec: dict[str, Any], patience: float = 30) -> bool:
    return bool(deploy_lock.wait_until_held(spec | {"patience": patience})["held"])


def test_a_second_run_is_told_who_holds_the_home(tmp_path: Path) -> None:
    first = start(spec_of(tmp_path / "home"))
    assert is_held(spec_of(tmp_path / "home"))
    with pytest.raises(HostError, match="another deploy is at work on this host: ada@desk, process 1, since 20"):
        deploy_lock.hold(spec_of(tmp_path / "home", "2"))
    first.kill()
    first.communicate(timeout=30)


def test_a_run_that_died_holds_nothing(tmp_path: Path) -> None:
    first = start(spec_of(tmp_path))
    assert is_held(spec_of(tmp_path))
    first.kill()
    first.communicate(timeout=30)
    second = start(spec_of(tmp_path, "2"))
    assert is_held(spec_of(tmp_path, "2"))
    second.kill()
    second.communicate(timeout=30)


def test_a_run_that_nobody_listens_to_ends_by_itself(tmp_path: Path) -> None:
    process = start(spec_of(tmp_path))
    assert is_held(spec_of(tmp_path))
    assert process.stderr is not None
    assert process.stdout is not None
    process.stdout.close()
    process.stderr.close()
    assert process.wait(timeout=60) != 0


def test_a_lock_on_a_home_that_was_removed_is_no_lock(tmp_path: Path) -> None:
    first = start(spec_of(tmp_path / "home"))
    assert is_held(spec_of(tmp_path / "home"))
    for file in (tmp_path / "home").iterdir():
        file.unlink()
    second = start(spec_of(tmp_path / "home", "2"))
    assert is_held(spec_of(tmp_path / "home", "2")), "as for a home that is new"
    for process in (first, second):
        process.kill()
        process.communicate(timeout=30)


def test_without_the_lock_nobody_waits_for_ever(tmp_path: Path) -> None:
    assert not is_held(spec_of(tmp_path), patience=0.1)


def test_a_look_answers_every_question_by_itself() -> None:
    questions = [
        ["deploy_lock", "wait_until_held", {"file": "/nowhere", "run": "1", "patience": 0}, None],
        ["removal", "look", {}, None],
        ["removal", "there_is_none", {}, None],
        ["removal", "look", {"paths": ["/"]}, None],
    ]
    program = source("look", "answer", {"questions": questions}, also=["deploy_lock", "removal"])
    done = subprocess.run([sys.executable, "-I", "-"], input=program, capture_output=True, text=True, check=True)
    answers = json.loads(done.stdout)["result"]["answers"]
    assert answers[0] == {"result": {"held": False}}
    assert answers[1] == {"failure": "unexpected KeyError in removal.look: 'paths'"}
    assert "AttributeError in removal.there_is_none" in answers[2]["failure"]
    assert answers[3] == {"result": {"present": ["/"]}}
