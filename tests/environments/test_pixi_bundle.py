"""Hosts without internet whose environment pixi makes: a bundle is made here, and deployed without any network.

pixi is a stand-in (`pixi_standin`) and the channel is the tests' own (`channel`); what is bundled, and how it gets onto
a host and is installed there, is real.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.environments.building import packed
from tests.environments.channel import PYTHON
from tests.environments.conftest import ended
from tests.environments.offline import run_offline
from tests.environments.target import unfit
from tests.local_site import INVENTORY, PROGRAM, LocalSite

MACHINE = os.uname().machine
[OTHER] = {"x86_64", "aarch64"} - {MACHINE}


@pytest.fixture(scope="module")
def site(pixi_settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSite]:
    directory = tmp_path_factory.mktemp("jf")
    site = LocalSite(directory / "home", settings=pixi_settings | {"jupyter_locks": str(directory / "lab.locks")})
    yield site
    ended(site)


def make(site: LocalSite, output: Path, *options: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """``jupyfleet bundle --inventory inventories/local.py``, with the settings of the site."""
    data = [f"--data={key}={json.dumps(value)}" for key, value in (site.settings | settings).items()]
    return site.call(PROGRAM, "bundle", "--inventory", INVENTORY, "--output", output, *options, *data)


@pytest.fixture(scope="module")
def bundle(site: LocalSite, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("bundle") / "core.tar"
    done = make(site, output)
    assert done.returncode == 1
    assert "there is no lock for profile core" in done.stderr
    assert "jupyfleet lock INVENTORY, with --here" in done.stderr
    assert site.run("lock", "--here").returncode == 0
    done = make(site, output)
    assert done.returncode == 0, done.stderr
    assert f"packages for pixi on {MACHINE}" in done.stdout
    return output


def names_in(bundle: Path) -> set[str]:
    with tarfile.open(bundle) as archive:
        return set(archive.getnames())


def test_it_has_pixi_and_all_packages_and_what_pip_adds(bundle: Path) -> None:
    names = names_in(bundle)
    assert {"bundle.json", "pixi.tar.gz"} <= names
    for start in (f"linux-{'64' if MACHINE == 'x86_64' else 'aarch64'}/python-", "noarch/jupyterlab-"):
        assert [name for name in names if name.startswith(start) and name.endswith(".conda")], start
    for start in ("jupyter_collaboration-", "fastmcp-", "supervisor-", "uv-"):
        assert [name for name in names if name.startswith(start) and name.endswith(".whl")], start


def test_the_bundle_for_the_other_architecture_has_what_the_lock_names_for_it(
    site: LocalSite, bundle: Path, tmp_path: Path
) -> None:
    platform, ours = (f"linux-{'64' if arch == 'x86_64' else arch}" for arch in (OTHER, MACHINE))
    [digests] = packed(tmp_path / f"pixi-{OTHER}.tar.gz", b"never run\n").digests.values()
    output = tmp_path / "other.tar"
    url = str(tmp_path / "pixi-{arch}.tar.gz")
    done = make(site, output, "--arch", OTHER, jupyter_pixi_url=url, jupyter_pixi_digests={OTHER: digests})
    assert done.returncode == 0, done.stderr
    assert f"packages for pixi on {OTHER}" in done.stdout
    names = names_in(output)
    conda = {name for name in names if name.endswith(".conda")}
    assert {name.split("/")[0] for name in conda} == {platform, "noarch"}
    assert [name for name in conda if name.startswith(f"{platform}/python-")]
    here = {name for name in names_in(bundle) if name.endswith(".conda")}
    assert {name.replace(platform, ours) for name in conda} == here
    wheels = {name for name in names if name.endswith(".whl")}
    assert unfit(wheels, OTHER, PYTHON) == []
    assert any(OTHER in wheel for wheel in wheels)
    assert "pixi.tar.gz" in names


def test_it_is_deployed_with_the_network_cut_off(site: LocalSite, bundle: Path, tmp_path: Path) -> None:
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("only root may cut the network off")
    settings = {"jupyter_source": "bundle", "jupyter_bundle": str(bundle), "jupyter_uv": None}
    done = run_offline(site, tmp_path / "person", "up", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 checks ok" in done.stdout
    release = site.environment.resolve().parents[2]
    [locks] = [path for path in Path(site.settings["jupyter_locks"]).iterdir() if path.name.startswith("pixi-core")]
    # Where its packages came from on the way leaves no trace, so a mirror or the channel gives the same release.
    assert (release / "pixi.lock").read_text() == (locks / "pixi.lock").read_text()
    # Asked without checks: each of these commands has a loopback of its own, and the server is on the first one's.
    planned = run_offline(site, tmp_path / "person", "plan", **settings)
    assert planned.returncode == 0, planned.stdout
    assert "would change something" not in planned.stdout


def test_the_bundle_of_another_lock_is_refused(site: LocalSite, bundle: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.tar"
    unpacked = tmp_path / "unpacked"
    with tarfile.open(bundle) as archive:
        archive.extractall(unpacked, filter="data")
    contents = json.loads((unpacked / "bundle.json").read_text())
    (unpacked / "bundle.json").write_text(json.dumps(contents | {"lock": "0" * 64}))
    with tarfile.open(wrong, "w") as archive:
        for file in unpacked.rglob("*"):
            if file.is_file():
                archive.add(file, str(file.relative_to(unpacked)))
    other = LocalSite(tmp_path / "other", settings=site.settings)
    done = other.run("up", jupyter_source="bundle", jupyter_bundle=str(wrong))
    assert done.returncode == 1
    assert "the bundle has the packages of another lock (profile core)" in done.stdout
    assert not other.environment.exists()


def test_a_bundle_for_the_other_provider_is_refused(site: LocalSite, bundle: Path, tmp_path: Path) -> None:
    other = LocalSite(tmp_path / "other")
    done = other.run("up", jupyter_source="bundle", jupyter_bundle=str(bundle))
    assert done.returncode == 1
    assert "the bundle is for the provider pixi, and this host has jupyter_provider 'uv'" in done.stdout
    assert not other.environment.exists()
