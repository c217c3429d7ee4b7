"""Where the provider uv gets things from: a Python from a mirror, packages from an index, and what becomes of neither.

The Python is a stand-in (`python_standin`); uv, and how it fetches, checks and installs it, is real.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyfleet_host.environment import build
from jupyfleet_host.releases import is_complete
from tests.environments.building import Spec, refused
from tests.environments.channel import PYTHON, served
from tests.environments.python_standin import write_mirror

UV = str(Path(sys.executable).parent / "uv")


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A mirror of one Python, which uv has been told of; its directory and its URL."""
    directory = tmp_path / "mirror"
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS_JSON_URL", str(write_mirror(directory)))
    with served(directory) as url:
        yield directory, url


@pytest.fixture
def uv_spec(tmp_path: Path, simple_index: tuple[str, str]) -> Spec:
    """A small environment, by uv."""
    home = tmp_path / "home"
    return {
        "lock_file": str(home / ".jupyfleet.lock"),
        "path": str(home / "releases/one"),
        "link": None,
        "provider": "uv",
        "python": sys.executable,
        "python_mirror": None,
        "index": simple_index[0],
        "bundle": None,
        "uv": UV,
        "uv_lock": "",
        "tools": str(home / "tools"),
        "locks": [simple_index[1]],
        "extra": [],
        "wheels": [],
        "trials": [["lated"]],
        "megabytes": 1,
    }


def test_a_python_of_uvs_comes_from_the_mirror(uv_spec: Spec, mirror: tuple[Path, str]) -> None:
    path = Path(uv_spec["path"])
    build(uv_spec | {"python": f"uv:{PYTHON}", "python_mirror": mirror[1]})
    assert is_complete(path)
    assert (path / "bin/python").resolve().is_relative_to(Path(uv_spec["tools"]) / "python")
    said = subprocess.run([path / "bin/lated"], capture_output=True, text=True, check=True).stdout
    assert said == "late 1.0\n"


def test_a_python_that_was_tampered_with_is_refused(uv_spec: Spec, mirror: tuple[Path, str]) -> None:
    [archive] = mirror[0].rglob("*.tar.gz")
    archive.write_bytes(archive.read_bytes() + b"\0")
    reason = refused(uv_spec | {"python": f"uv:{PYTHON}", "python_mirror": mirror[1]})
    assert reason.startswith(f"could not make an environment from {PYTHON}:")
    assert "ash mismatch" in reason


def test_a_python_that_no_mirror_has_is_named(uv_spec: Spec, mirror: tuple[Path, str]) -> None:
    reason = refused(uv_spec | {"python": "uv:3.99", "python_mirror": mirror[1]})
    assert "3.99" in reason


def test_an_index_that_cannot_be_reached_is_named_and_nothing_is_left_that_counts(
    uv_spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    reason = refused(uv_spec | {"index": "http://127.0.0.1:9/simple"})
    assert reason.startswith("could not install the packages:")
    assert "http://127.0.0.1:9/simple/late/" in reason
    build(uv_spec)
    assert is_complete(Path(uv_spec["path"]))
