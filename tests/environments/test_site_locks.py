"""The locks of a whole site: made for both architectures and both profiles, compared, and used by what is deployed.

With the provider pixi a stand-in solves, over a channel of the tests' own; with uv everything is real.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.environment import sitelock
from tests.environments.channel import index
from tests.environments.conftest import empty
from tests.local_site import LocalSite


def contents(site: LocalSite) -> dict[str, bytes]:
    """Every file below the site's locks."""
    directory = Path(site.settings["jupyter_locks"])
    files = sorted(file for file in directory.rglob("*.*") if file.is_file())
    # The name of a directory ends in a digest of what the site has set, such as its channel.
    return {f"{file.parent.name.rpartition('-')[0]}/{file.name}": file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def pixi_site(pixi_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> LocalSite:
    directory = tmp_path_factory.mktemp("lab")
    site = LocalSite(directory / "home", settings=pixi_settings | {"jupyter_locks": str(directory / "lab.locks")})
    done = site.run("lock")
    assert done.returncode == 0, done.stdout + done.stderr
    return site


@pytest.fixture
def newer(lab_channel: tuple[Path, str]) -> Callable[[str], None]:
    """Release a newer version of a package of the channel."""

    def release(version: str) -> None:
        empty("tqdm", version).write(lab_channel[0])
        index(lab_channel[0])

    return release


def test_pixi_solves_once_for_both_profiles_and_both_architectures(pixi_site: LocalSite) -> None:
    files = contents(pixi_site)
    assert set(files) == {
        f"pixi-{profile}/{name}"
        for profile in ("core", "full")
        for name in ("pixi.toml", "pixi.lock", "requirements.txt")
    }
    for profile in ("core", "full"):
        lock = files[f"pixi-{profile}/pixi.lock"].decode()
        assert "/linux-64/python-" in lock
        assert "/linux-aarch64/python-" in lock
        added = files[f"pixi-{profile}/requirements.txt"].decode()
        assert added.count("--hash=sha256:") >= len(sitelock.packages((added,)))
        assert "fastmcp==" in added
        assert "://" not in added
    assert b"pandas" not in files["pixi-core/pixi.toml"]
    assert b"pandas" in files["pixi-full/pixi.toml"]


def test_no_host_is_changed_by_it(pixi_site: LocalSite) -> None:
    assert not pixi_site.home.exists()


def test_what_is_deployed_then_is_what_was_locked(pixi_site: LocalSite) -> None:
    before = contents(pixi_site)
    done = pixi_site.run("plan", jupyter_profile="full")
    assert done.returncode == 0, done.stdout
    assert "find versions" not in done.stdout
    assert contents(pixi_site) == before


def test_a_lock_stays_what_it_is_until_an_upgrade_is_wanted(pixi_site: LocalSite, newer: Callable[[str], None]) -> None:
    newer("2.0")
    before = contents(pixi_site)
    done = pixi_site.run("lock")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(": nothing changed") == 2
    assert contents(pixi_site) == before

    done = pixi_site.run("outdated")
    assert done.returncode == 0, done.stdout
    assert done.stdout == "pixi, profile core: nothing changed\npixi, profile full:\ntqdm 1.0 -> 2.0\n"
    assert contents(pixi_site) == before

    done = pixi_site.run("outdated", "--json")
    found = json.loads(done.stdout)
    assert (found["schema"], found["command"]) == ("jupyfleet/locks/1", "outdated")
    assert {lock["profile"]: lock["changes"] for lock in found["locks"]} == {"core": [], "full": ["tqdm 1.0 -> 2.0"]}
    assert contents(pixi_site) == before

    done = pixi_site.run("lock", "--upgrade", "--here")
    assert done.returncode == 0, done.stdout
    assert "tqdm 1.0 -> 2.0" in done.stdout
    assert contents(pixi_site)["pixi-core/pixi.lock"] == before["pixi-core/pixi.lock"]
    assert b"tqdm-2.0" in contents(pixi_site)["pixi-full/pixi.lock"]


def test_what_has_no_solution_is_explained_and_nothing_is_lost(pixi_site: LocalSite) -> None:
    before = contents(pixi_site)
    done = pixi_site.run("lock", jupyter_extra_conda_packages=["tqdm>=9"])
    assert done.returncode == 1
    assert "could not find versions that go together for every platform:" in done.stderr
    assert "tqdm >=9" in done.stderr
    assert contents(pixi_site) == before


def test_uv_solves_for_both_profiles_and_hosts_follow_it_with_their_extra_packages(tmp_path: Path) -> None:
    extra = ["tabulate<0.9"]
    settings = {"jupyter_locks": str(tmp_path / "lab.locks"), "jupyter_extra_packages": extra}
    site = LocalSite(tmp_path / "home", settings=settings)
    done = site.run("lock")
    assert done.returncode == 0, done.stdout + done.stderr
    [core, full] = sorted(path for path in (tmp_path / "lab.locks").iterdir())
    assert core.name.startswith("uv-core-")
    assert full.name.startswith("uv-full-")
    lock = (core / "requirements.txt").read_text()
    assert sitelock.packages((lock,))["tabulate"] < "0.9"
    assert lock.count("--hash=sha256:") >= len(sitelock.packages((lock,)))
    assert "://" not in lock

    done = site.run("lock", jupyter_extra_packages=["tabulate<0.9", "tabulate>=0.9"])
    assert done.returncode == 1
    assert "there are no versions that go together for profile core:" in done.stderr
    assert "you require tabulate" in done.stderr

    # What a host gets is decided: another lock is another release, and none is resolved on the host.
    planned = site.run("plan", "--json")
    assert planned.returncode == 0, planned.stdout
    (core / "requirements.txt").write_text(lock.replace("tabulate==", "tabulate===", 1))
    assert json.loads(site.run("plan", "--json").stdout) != json.loads(planned.stdout)
    (core / "requirements.txt").write_text(lock)

    before = contents(site)
    done = site.run("outdated")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(": nothing changed") == 2
    assert contents(site) == before
    assert not site.home.exists()
