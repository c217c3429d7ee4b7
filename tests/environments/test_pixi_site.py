"""A site whose environment pixi makes: without a lock, with one, with a stale one; JupyterLab and its checks are real.

pixi is a stand-in (`pixi_standin`); conda's packages are made of PyPI's (`channel`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.environment import sitelock
from tests.environments.conftest import ended
from tests.local_site import LocalSite


@pytest.fixture(scope="module")
def settings(pixi_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return pixi_settings | {"jupyter_locks": str(tmp_path_factory.mktemp("site") / "lab.locks")}


@pytest.fixture(scope="module")
def site(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSite]:
    site = LocalSite(tmp_path_factory.mktemp("jf") / "site", settings=settings)
    yield site
    ended(site)


def locks(site: LocalSite) -> Path:
    [directory] = Path(site.settings["jupyter_locks"]).iterdir()
    return directory


def test_a_plan_needs_no_lock_and_leaves_none(site: LocalSite) -> None:
    done = site.run("plan")
    assert done.returncode == 0, done.stdout
    assert "find versions that go together, and keep them beside the inventory" in done.stdout
    assert not Path(site.settings["jupyter_locks"]).exists()
    assert not site.home.exists()


def test_without_a_lock_one_is_made_on_the_host_and_brought_home(site: LocalSite) -> None:
    done = site.run("up")
    assert done.returncode == 0, done.stdout
    lock = (locks(site) / "pixi.lock").read_text()
    assert "linux-64" in lock
    assert "linux-aarch64" in lock
    added = (locks(site) / "requirements.txt").read_text()
    assert {"jupyterlab", "jupyter-collaboration", "python"} <= set(sitelock.packages((lock,)))
    assert {"fastmcp", "mcp"} <= set(sitelock.packages((added,)))
    assert not set(sitelock.packages((lock,))) & set(sitelock.packages((added,)))
    release = site.environment.resolve().parents[2]
    assert (release / "pixi.lock").read_text() == lock
    assert release.parent == site.home / "releases"
    assert site.get("api") == 200


def test_a_second_run_changes_nothing(site: LocalSite) -> None:
    assert "nothing changed" in site.run("up").stdout


def test_another_host_gets_the_very_same(site: LocalSite, tmp_path: Path) -> None:
    before = (locks(site) / "pixi.lock").read_bytes()
    other = LocalSite(tmp_path / "other", settings=site.settings)
    try:
        assert "find versions" not in other.run("plan").stdout
        done = other.run("up")
        assert done.returncode == 0, done.stdout
        assert other.environment.resolve().parents[2].name == site.environment.resolve().parents[2].name
    finally:
        ended(other)
    assert (locks(site) / "pixi.lock").read_bytes() == before


def test_nothing_is_outdated_of_what_was_just_solved(site: LocalSite) -> None:
    before = (locks(site) / "pixi.lock").read_bytes()
    done = site.run("outdated")
    assert "pixi, profile core: nothing changed" in done.stdout
    assert (locks(site) / "pixi.lock").read_bytes() == before


def test_a_stale_lock_is_refused_before_anything_is_touched(site: LocalSite) -> None:
    manifest = locks(site) / "pixi.toml"
    text = manifest.read_text()
    try:
        manifest.write_text(text.replace('ipykernel = "*"', 'ipykernel = ">=99"'))
        done = site.run("up", "--json")
    finally:
        manifest.write_text(text)
    assert done.returncode == 1
    [host] = json.loads(done.stdout)["hosts"]
    assert "Run jupyfleet lock INVENTORY" in host["reason"]
    assert site.run("verify").returncode == 0
