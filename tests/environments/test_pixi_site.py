"""A site whose environment pixi makes: without a lock, with one, with a stale one; JupyterLab and its checks are real.

pixi is a stand-in (`pixi_standin`); conda's packages are made of PyPI's, or are stand-ins (`channel`, `conftest`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.environment import sitelock
from tests.environments.building import packed_standin
from tests.environments.conftest import ended
from tests.local_site import PROGRAM, LocalSite

TWO_HOSTS = Path(__file__).with_name("two_hosts.py")


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this site's pixi writes what it was called with."""
    return tmp_path_factory.mktemp("calls") / "calls.txt"


@pytest.fixture(scope="module")
def settings(pixi_settings: dict[str, Any], calls: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("site")
    pixi = packed_standin(directory / f"pixi-{os.uname().machine}.tar.gz", calls=calls)
    return pixi_settings | {
        "jupyter_locks": str(directory / "lab.locks"),
        "jupyter_pixi_url": str(directory / "pixi-{arch}.tar.gz"),
        "jupyter_pixi_digests": pixi.digests,
    }


@pytest.fixture(scope="module")
def site(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSite]:
    site = LocalSite(tmp_path_factory.mktemp("jf") / "site", settings=settings)
    yield site
    ended(site)


@pytest.fixture(scope="module")
def other(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSite]:
    """The second host of the site."""
    other = LocalSite(tmp_path_factory.mktemp("jf") / "other", settings=settings)
    yield other
    ended(other)


def locks(site: LocalSite) -> Path:
    [directory] = Path(site.settings["jupyter_locks"]).iterdir()
    return directory


def release_of(site: LocalSite) -> Path:
    return site.environment.resolve().parents[2]


def test_a_plan_needs_no_lock_and_leaves_none(site: LocalSite) -> None:
    done = site.run("plan")
    assert done.returncode == 0, done.stdout
    assert "find versions that go together, and keep them beside the inventory" in done.stdout
    assert not Path(site.settings["jupyter_locks"]).exists()
    assert not site.home.exists()


def test_without_a_lock_one_is_made_on_the_first_host_and_used_by_all(
    site: LocalSite, other: LocalSite, calls: Path
) -> None:
    if os.geteuid() or not shutil.which("chroot"):
        pytest.skip("only root may reach this machine by way of chroot, as a second host")
    data = [f"--data={key}={json.dumps(value)}" for key, value in site.settings.items()]
    site.variables |= {"JUPYFLEET_OTHER_HOME": str(other.home), "JUPYFLEET_OTHER_PORT": str(other.port)}
    done = site.call(PROGRAM, "up", TWO_HOSTS, *data)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [call.split()[0] for call in calls.read_text().splitlines() if "--version" not in call] == [
        "lock",
        "install",
        "install",
    ]
    lock = (locks(site) / "pixi.lock").read_text()
    assert release_of(site) != release_of(other)
    assert release_of(site).name == release_of(other).name
    for host in (site, other):
        assert (release_of(host) / "pixi.lock").read_text() == lock
        assert release_of(host).parent == host.home / "releases"
        assert host.get("api") == 200
    assert other.run("down").returncode == 0


def test_the_lock_was_brought_home_and_holds_everything(site: LocalSite) -> None:
    done = site.run("up")
    assert done.returncode == 0, done.stdout
    lock = (locks(site) / "pixi.lock").read_text()
    assert "linux-64" in lock
    assert "linux-aarch64" in lock
    added = (locks(site) / "requirements.txt").read_text()
    assert {"jupyterlab", "jupyter-collaboration", "python"} <= set(sitelock.packages((lock,)))
    assert {"fastmcp", "mcp"} <= set(sitelock.packages((added,)))
    assert not set(sitelock.packages((lock,))) & set(sitelock.packages((added,)))


def test_a_second_run_changes_nothing(site: LocalSite) -> None:
    assert "nothing changed" in site.run("up").stdout


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


def test_an_unknown_package_is_named_and_what_runs_goes_on(site: LocalSite, tmp_path: Path) -> None:
    before = release_of(site)
    done = site.run("up", "--json", jupyter_locks=str(tmp_path), jupyter_extra_conda_packages=["no-such-package"])
    assert done.returncode == 1
    [host] = json.loads(done.stdout)["hosts"]
    assert "could not find versions that go together for every platform:" in host["reason"]
    assert "no-such-package" in host["reason"]
    assert release_of(site) == before
    assert site.get("api") == 200


def test_a_site_adds_packages_and_leaves_the_language_model_out(site: LocalSite, tmp_path: Path) -> None:
    wanted = {
        "jupyter_profile": "full",
        "jupyter_spacy_model": "none",
        "jupyter_extra_conda_packages": ["tool"],
        "jupyter_extra_packages": ["tabulate<0.9"],
    }
    done = site.run("up", jupyter_locks=str(tmp_path), **wanted)
    assert done.returncode == 0, done.stdout
    [directory] = tmp_path.iterdir()
    found = sitelock.packages(((directory / "pixi.lock").read_text(),))
    assert found["tool"] == "1.0"
    assert found["tabulate"] < "0.9"
    assert "spacy" in found
    assert not [name for name in found if "core-web" in name]
    said = subprocess.run([site.environment / "bin/tool"], capture_output=True, text=True, check=True).stdout
    assert said == "tool 1.0\n"
    python = site.environment / "bin/python"
    assert subprocess.run([python, "-c", "import spacy, tabulate"], check=False).returncode == 0
    assert subprocess.run([python, "-c", "import en_core_web_sm"], capture_output=True, check=False).returncode != 0
    assert "no spaCy model is set for this host" in done.stdout
