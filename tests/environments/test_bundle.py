"""Hosts without internet, with the provider uv: a bundle is made here, and deployed where only the loopback is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name, parse_wheel_filename

from deploy.environment.uv import committed_lock
from tests.environments.offline import run_offline
from tests.environments.python_standin import write_mirror
from tests.environments.target import unfit
from tests.local_site import PROGRAM, ROOT, LocalSite

PYTHON = "{}.{}".format(*sys.version_info[:2])


def make(output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [PROGRAM, "bundle", "--output", output, *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("bundle") / "core.tar"
    done = make(output, "--profile", "core", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert (made["schema"], made["file"], made["bytes"]) == ("jupyfleet/bundle/1", str(output), output.stat().st_size)
    assert made["packages"] > 100
    return output


@pytest.fixture
def site(tmp_path: Path, bundle: Path) -> Iterator[LocalSite]:
    settings = {"jupyter_source": "bundle", "jupyter_bundle": str(bundle), "jupyter_uv": None}
    site = LocalSite(tmp_path / "site", settings=settings)
    yield site
    for pid in site.processes():
        os.kill(pid, signal.SIGKILL)


def test_it_is_deployed_with_the_network_cut_off(site: LocalSite, tmp_path: Path) -> None:
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("only root may cut the network off")
    done = run_offline(site, tmp_path / "person", "up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 checks ok" in done.stdout
    assert (site.home / "tools").is_dir()


def test_its_python_may_come_from_a_directory_of_the_host(site: LocalSite, tmp_path: Path) -> None:
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("only root may cut the network off")
    mirror = tmp_path / "mirror"
    site.variables["UV_PYTHON_DOWNLOADS_JSON_URL"] = str(write_mirror(mirror))
    python = {"jupyter_python": f"uv:{PYTHON}", "jupyter_python_mirror": mirror.as_uri()}
    done = run_offline(site, tmp_path / "person", "up", **python)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 checks ok" in done.stdout
    assert (site.environment / "bin/python").resolve().is_relative_to(site.home / "tools/python")


def test_the_bundle_for_the_other_architecture_fits_it(tmp_path: Path) -> None:
    output = tmp_path / "core-aarch64.tar"
    done = make(output, "--profile", "core", "--arch", "aarch64", "--python", "3.13")
    assert done.returncode == 0, done.stderr
    with tarfile.open(output) as archive:
        wheels = [name for name in archive.getnames() if name.endswith(".whl")]
    assert unfit(wheels, "aarch64", "3.13") == []
    names = {str(parse_wheel_filename(wheel)[0]) for wheel in wheels}
    assert {"jupyterlab", "fastmcp", "pycrdt", "supervisor", "uv"} <= names
    assert any("aarch64" in wheel for wheel in wheels)
    assert not any("x86_64" in wheel for wheel in wheels)
    locked = {canonicalize_name(line.split("==")[0]) for line in committed_lock("core").splitlines() if "==" in line}
    assert names - {"supervisor", "setuptools", "uv"} <= locked


def test_a_bundle_for_another_host_is_refused(site: LocalSite, bundle: Path, tmp_path: Path) -> None:
    with tarfile.open(bundle) as archive:
        text = archive.extractfile("bundle.json").read().decode()  # type: ignore[union-attr]
    for old, new, reason in (
        (f'"arch": "{os.uname().machine}"', '"arch": "riscv64"', "the bundle is for riscv64, and this host is"),
        (f'"python": "{PYTHON}"', '"python": "3.99"', "the bundle is for Python 3.99, and"),
    ):
        assert old in text
        wrong = tmp_path / "wrong.tar"
        (tmp_path / "bundle.json").write_text(text.replace(old, new))
        with tarfile.open(wrong, "w") as archive:
            archive.add(tmp_path / "bundle.json", "bundle.json")
        done = site.run("up", jupyter_bundle=str(wrong))
        assert done.returncode == 1
        assert reason in done.stdout
    (tmp_path / "no.tar").write_text("no archive")
    done = site.run("up", jupyter_bundle=f"file:{tmp_path}/no.tar")
    assert done.returncode == 1
    assert "is no bundle of jupyfleet's" in done.stdout
    assert not site.environment.exists()


def test_what_is_not_in_it_is_named(tmp_path: Path) -> None:
    done = make(tmp_path / "x.tar", "--extra", "no-package-of-this-name-at-all")
    assert done.returncode == 1
    assert "no-package-of-this-name-at-all" in done.stderr
    assert list(tmp_path.iterdir()) == []
