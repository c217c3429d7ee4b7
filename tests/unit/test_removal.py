"""Taking a site away: all that a deploy made, nothing that a person did, and never the workspace."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest

from deploy.settings import Settings, read_settings
from jupyfleet_host import removal
from jupyfleet_host.common import HostError


def settings_of(home: Path, **more: Any) -> Settings:
    return read_settings("lab1", {"jupyter_home": str(home)} | more)


def spec_of(settings: Settings) -> dict[str, Any]:
    return {
        "home": settings.home,
        "workspace": settings.workspace,
        "paths": [str(path) for path in settings.paths.removable()],
    }


def make_site(settings: Settings) -> None:
    """As a deploy leaves it, with a notebook in the workspace."""
    paths = settings.paths
    release = Path(paths.release("0123456789abcdef"))
    made = (paths.config / "jupyter", paths.data, paths.runtime, paths.logs, paths.tools, paths.pixi / "bin")
    for directory in (release / "bin", *made, paths.cache, paths.bundles):
        Path(directory).mkdir(parents=True, exist_ok=True)
    Path(paths.environment).parent.mkdir(parents=True, exist_ok=True)
    Path(paths.environment).symlink_to(release)
    for file in (release / "bin/python", paths.token, paths.logs / "jupyter.log", paths.lock, paths.deploy_lock):
        Path(file).touch()
    os.mkfifo(paths.runtime / "fifo")
    workspace = Path(settings.workspace)
    workspace.mkdir(parents=True, exist_ok=True)
    (workspace / "mine.ipynb").write_text("{}")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "a home"


def names_below(top: Path) -> set[str]:
    return {str(path.relative_to(top)) for path in top.rglob("*")}


def test_only_the_workspace_stays(home: Path) -> None:
    settings = settings_of(home)
    make_site(settings)
    present = removal.look(spec_of(settings))["present"]
    assert removal.remove(spec_of(settings))["removed"] == present
    assert len(present) == len(settings.paths.removable())
    assert names_below(home) == {"workspace", "workspace/mine.ipynb"}


def test_a_home_with_its_workspace_elsewhere_leaves_nothing(home: Path, tmp_path: Path) -> None:
    settings = settings_of(home, jupyter_workspace=str(tmp_path / "notebooks"))
    make_site(settings)
    removal.remove(spec_of(settings))
    assert names_below(tmp_path) == {"notebooks", "notebooks/mine.ipynb"}


def test_looking_removes_nothing(home: Path) -> None:
    settings = settings_of(home)
    make_site(settings)
    before = names_below(home)
    removal.look(spec_of(settings))
    assert names_below(home) == before


def test_a_second_removal_finds_nothing(home: Path) -> None:
    settings = settings_of(home)
    make_site(settings)
    removal.remove(spec_of(settings))
    assert removal.look(spec_of(settings)) == {"present": []}
    assert removal.remove(spec_of(settings)) == {"removed": []}


def test_where_nothing_ever_was_nothing_is_made(home: Path) -> None:
    assert removal.remove(spec_of(settings_of(home))) == {"removed": []}
    assert not home.exists()


def test_what_a_person_put_beside_it_stays(home: Path) -> None:
    settings = settings_of(home)
    make_site(settings)
    mine = [home / ".config/other/settings", home / ".pixi/envs/mine/bin", home / "share/mine", home / "notes.txt"]
    for file in mine:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    removal.remove(spec_of(settings))
    assert all(file.exists() for file in mine)


def test_a_link_is_removed_and_not_what_it_leads_to(home: Path, tmp_path: Path) -> None:
    settings = settings_of(home)
    make_site(settings)
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/precious").touch()
    shutil.rmtree(home / "log")
    (home / "log").symlink_to(tmp_path / "disk")
    (home / "releases/linked").symlink_to(tmp_path / "disk")
    removal.remove(spec_of(settings))
    assert (tmp_path / "disk/precious").exists()
    assert not (home / "log").is_symlink()


def test_a_dangling_link_and_a_socket_are_seen_and_removed() -> None:
    with tempfile.TemporaryDirectory(prefix="jf-") as scratch, socket.socket(socket.AF_UNIX) as listener:
        home = Path(scratch)
        (home / "cache").symlink_to("/no/such/place")
        listener.bind(f"{home}/run")
        spec = {"home": scratch, "workspace": f"{home}/workspace", "paths": [f"{home}/cache", f"{home}/run"]}
        assert removal.look(spec)["present"] == spec["paths"]
        assert removal.remove(spec)["removed"] == spec["paths"]
        (home).mkdir(exist_ok=True)


@pytest.mark.parametrize(
    "path", ["{home}", "{home}/workspace", "{home}/workspace/..", "{home}/../other", "/", "{top}/other", "releases"]
)
def test_what_is_not_below_the_home_or_is_the_workspace_is_refused_before_anything_is_removed(
    home: Path, tmp_path: Path, path: str
) -> None:
    settings = settings_of(home)
    make_site(settings)
    (tmp_path / "other").mkdir()
    before = names_below(tmp_path)
    spec = spec_of(settings)
    spec["paths"].append(path.format(home=home, top=tmp_path))
    with pytest.raises(HostError, match=r"is not jupyfleet's to remove, or holds the workspace; nothing was removed"):
        removal.remove(spec)
    assert names_below(tmp_path) == before


def test_a_workspace_that_is_inside_by_another_name_is_not_removed(home: Path, tmp_path: Path) -> None:
    """The controller knows names only: that one of them is a link is seen here."""
    (tmp_path / "other name").symlink_to(home)
    settings = settings_of(home, jupyter_workspace=f"{tmp_path}/other name/share/jupyter/notebooks")
    make_site(settings)
    with pytest.raises(HostError, match="holds the workspace"):
        removal.remove(spec_of(settings))
    assert (home / "share/jupyter/notebooks/mine.ipynb").exists()


def test_a_workspace_that_is_a_link_into_what_is_removed_is_not_removed(home: Path) -> None:
    settings = settings_of(home)
    make_site(settings)
    (home / "workspace/mine.ipynb").rename(home / "tools/mine.ipynb")
    (home / "workspace").rmdir()
    (home / "workspace").symlink_to("tools")
    with pytest.raises(HostError, match="holds the workspace"):
        removal.remove(spec_of(settings))
    assert (home / "tools/mine.ipynb").exists()
