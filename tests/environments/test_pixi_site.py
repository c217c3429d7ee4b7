"""A site whose environment pixi makes: without a lock, with one, with a stale one; JupyterLab and its checks are real.

pixi is a stand-in (`pixi_standin`); conda's packages are made of PyPI's (`channel`).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.environment import sitelock
from deploy.paths import REQUIREMENTS
from jupyfleet_host.package_index import environment_for_uv, read_pip_options
from tests.environments.channel import Package, index, packages_of, python_packages, served
from tests.local_site import LocalSite

STANDIN = Path(__file__).with_name("pixi_standin.py")
#: What profile core takes from conda-forge, by PyPI's names, and what conda-forge calls it where that differs.
WANTED = ("pip", "jupyterlab", "jupyter-server", "ipykernel", "ipywidgets", "jupyterlab-git", "jupyter-resource-usage")
NAMES = {"jupyter-server": "jupyter_server"}
MACHINE = os.uname().machine


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory, virtual = tmp_path_factory.mktemp("channel"), tmp_path_factory.mktemp("virtual") / "environment"
    environ = dict(os.environ) | environment_for_uv(os.environ, Path.home())
    subprocess.run([sys.executable, "-m", "venv", virtual], check=True)
    uv = [Path(sys.executable).parent / "uv", "--quiet", "pip", "install", "--python", virtual / "bin/python"]
    subprocess.run([*uv, "--require-hashes", "-r", REQUIREMENTS / "core.txt"], env=environ, check=True)
    for package in [*python_packages(), *packages_of(virtual, WANTED, NAMES), Package("git", "2.47.0")]:
        package.write(directory)
    index(directory)
    with served(directory) as url:
        yield url


@pytest.fixture(scope="module")
def settings(channel: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What makes a site use the stand-in, the channel, and this machine's package index."""
    program = f"#!{sys.executable}\n{STANDIN.read_text()}".encode()
    archive = tmp_path_factory.mktemp("pixi") / f"pixi-{MACHINE}.tar.gz"
    with tarfile.open(archive, "w:gz") as members:
        member = tarfile.TarInfo("pixi")
        member.size, member.mode = len(program), 0o755
        members.addfile(member, io.BytesIO(program))
    found = {
        "jupyter_provider": "pixi",
        "jupyter_conda_channel": channel,
        "jupyter_pixi_url": str(archive.with_name("pixi-{arch}.tar.gz")),
        "jupyter_pixi_digests": {
            MACHINE: [hashlib.sha256(archive.read_bytes()).hexdigest(), hashlib.sha256(program).hexdigest()]
        },
        "jupyter_locks": str(tmp_path_factory.mktemp("site") / "lab.locks"),
    }
    if own_index := read_pip_options(os.environ, Path.home(), Path("/etc")).get("index-url"):
        found["jupyter_pypi_index"] = own_index
    return found


@pytest.fixture(scope="module")
def site(settings: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSite]:
    site = LocalSite(tmp_path_factory.mktemp("jf") / "site", settings=settings)
    yield site
    site.run("down")
    for pid in site.processes():
        os.kill(pid, signal.SIGKILL)


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
    assert {"jupyterlab", "jupyter-collaboration", "fastmcp", "python"} <= set(sitelock.packages(lock))
    release = site.environment.resolve().parents[2]
    assert (release / "pixi.lock").read_text() == lock
    assert release.parent == site.home / "releases"
    assert site.get("api") == 200


def test_a_second_run_changes_nothing(site: LocalSite) -> None:
    assert "nothing changed" in site.run("up").stdout


def test_another_host_gets_the_very_same(site: LocalSite, tmp_path: Path) -> None:
    before = (locks(site) / "pixi.lock").read_bytes()
    other = LocalSite(tmp_path / "other", settings=site.settings)
    done = other.run("plan")
    assert done.returncode == 0, done.stdout
    assert "find versions" not in done.stdout
    assert site.environment.resolve().parents[2].name in done.stdout
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
