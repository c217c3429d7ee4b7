"""Releases that pixi makes: built, left alone, upgraded, and repaired where they are damaged.

pixi is a stand-in (`pixi_standin`) and the channel is the tests' own (`channel`), served over HTTP; Python, its
packages, the solver and the installer are real.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from jupyfleet_host.environment import build
from jupyfleet_host.releases import is_complete
from tests.environments.building import Spec, says, switch_to


def test_a_release_is_built_beside_its_manifest_and_lock(spec: Spec, home: Path) -> None:
    path = Path(spec["path"])
    build(spec)
    assert is_complete(path)
    assert says(path) == "tool 1.0"
    assert says(path, "extensiond") == "extension 1.0"
    assert says(path, "additiond") == "addition 1.0"
    assert says(path, "lated") == "late 1.0"
    assert (path / "pixi.toml").read_text() == spec["manifest"]
    assert (path / "pixi.lock").read_text() == spec["lock"]
    switch_to(spec, path)
    assert Path(spec["link"]).resolve() == path / ".pixi/envs/default"
    assert {entry.name for entry in (home / ".pixi").iterdir()} == {"bin", "envs"}


def test_a_second_build_changes_nothing_and_runs_no_pixi(spec: Spec, home: Path) -> None:
    path = Path(spec["path"])
    build(spec)
    (home / ".pixi/bin/pixi").write_text("#!/bin/sh\nexit 9\n")
    before = {str(file): (file.lstat().st_ino, file.lstat().st_mtime_ns) for file in path.rglob("*")}
    build(spec)
    assert {str(file): (file.lstat().st_ino, file.lstat().st_mtime_ns) for file in path.rglob("*")} == before


def test_an_upgrade_is_built_beside_and_old_ones_go(spec: Spec, home: Path, locks: dict[str, tuple[str, str]]) -> None:
    one, two = Path(spec["path"]), home / "releases/two"
    build(spec)
    switch_to(spec, one)
    build(spec | {"path": str(two), "manifest": locks["2.0"][0], "lock": locks["2.0"][1]})
    assert says(one) == "tool 1.0"
    assert says(two) == "tool 2.0"
    switch_to(spec, two)
    assert Path(spec["link"]).resolve() == two / ".pixi/envs/default"


@pytest.mark.parametrize(
    "damaged",
    ["conda-meta/tool-1.0-0.json", "lib/python3.{}/site-packages/extension-1.0.dist-info/RECORD"],
)
def test_damage_is_noticed_and_repaired_where_it_is(spec: Spec, damaged: str) -> None:
    path = Path(spec["path"])
    build(spec)
    switch_to(spec, path)
    inode = path.stat().st_ino
    (path / ".pixi/envs/default" / damaged.format(sys.version_info[1])).unlink()
    assert not is_complete(path)
    build(spec)
    assert is_complete(path)
    assert path.stat().st_ino == inode
    assert says(path) == "tool 1.0"
