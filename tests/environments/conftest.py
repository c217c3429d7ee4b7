"""What the tests of environments share: channels, an index and a pixi of their own, each made once in a run.

pixi is a stand-in (`pixi_standin`), and what a channel has is made here (`channel`); it is served over HTTP.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.paths import REQUIREMENTS
from jupyfleet_host import environment_pixi
from jupyfleet_host.package_index import environment_for_uv, read_pip_options
from tests.environments.building import Archive, Spec, content_of, manifest, packed_standin, pixi_of, tool
from tests.environments.channel import Package, index, packages_of, python_packages, served
from tests.local_site import LocalSite
from tests.wheels import make_wheel

#: What the profiles take from conda-forge, by PyPI's names, and what conda-forge calls it where that differs.
WANTED = ("pip", "jupyterlab", "jupyter-server", "ipykernel", "ipywidgets", "jupyterlab-git", "jupyter-resource-usage")
NAMES = {"jupyter-server": "jupyter_server"}
#: What profile full has beside, here as stand-ins: modules without content, which can be solved for and imported.
EMPTY = (
    *("matplotlib", "seaborn", "pandas", "numpy", "scikit-learn", "scipy", "polars", "pyarrow", "python-duckdb"),
    *("spacy", "black", "pytest", "python-graphviz", "graphviz", "tqdm", "spacy-model-en_core_web_sm"),
)
MODULES = {"scikit-learn": "sklearn", "python-duckdb": "duckdb", "spacy-model-en_core_web_sm": "en_core_web_sm"}


@pytest.fixture(scope="session")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Python, pip and a tool of two versions; the directory and the URL."""
    directory = tmp_path_factory.mktemp("channel")
    virtual = tmp_path_factory.mktemp("virtual") / "environment"
    subprocess.run([sys.executable, "-m", "venv", virtual], check=True)
    for package in [*python_packages(), *packages_of(virtual, ["pip"], {}), tool("1.0"), tool("2.0")]:
        package.write(directory)
    index(directory)
    with served(directory) as url:
        yield directory, url


@pytest.fixture(scope="session")
def simple_index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A package index with two packages: its URL, and the requirement of the second one, with its hash."""
    directory = tmp_path_factory.mktemp("simple")
    for name in ("addition", "late"):
        (directory / name).mkdir()
        wheel, digest = make_wheel(directory / name, name, "1.0")
        (directory / name / "index.html").write_text(f'<a href="{wheel.name}#sha256={digest}">{wheel.name}</a>')
    with served(directory) as url:
        yield url, f"late==1.0 --hash=sha256:{digest}\n"


@pytest.fixture(scope="session")
def pixi_archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return packed_standin(tmp_path_factory.mktemp("pixi") / f"pixi-{os.uname().machine}.tar.gz")


@pytest.fixture(scope="session")
def locks(
    tmp_path_factory: pytest.TempPathFactory,
    channel: tuple[Path, str],
    simple_index: tuple[str, str],
    pixi_archive: Archive,
) -> dict[str, tuple[str, str]]:
    """Manifest and lock for either version of the tool."""
    home = tmp_path_factory.mktemp("locking")
    found = {}
    for version in ("1.0", "2.0"):
        text = manifest(channel[1], simple_index[0], f"=={version}")
        asked = {"pixi": pixi_of(home, pixi_archive), "manifest": text, "lock": None}
        found[version] = (text, environment_pixi.lock(asked)["lock"])
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(scope="session")
def warm_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def spec(
    home: Path,
    warm_cache: Path,
    locks: dict[str, tuple[str, str]],
    simple_index: tuple[str, str],
    pixi_archive: Archive,
    tmp_path_factory: pytest.TempPathFactory,
) -> Spec:
    """What `environment.build` is asked for: a small environment of everything that a real one is made of."""
    wheel, digest = make_wheel(tmp_path_factory.mktemp("wheel"), "extension", "1.0")
    text, lock = locks["1.0"]
    return {
        "lock_file": str(home / ".jupyfleet.lock"),
        "path": str(home / "releases/one"),
        "link": str(home / ".pixi/envs/default"),
        "provider": "pixi",
        "pixi": pixi_of(home, pixi_archive),
        "cache": str(warm_cache),
        "manifest": text,
        "lock": lock,
        "added": simple_index[1],
        "index": simple_index[0],
        "wheels": [{"name": wheel.name, "sha256": digest, "content": content_of(wheel)}],
        "trials": [["tool"], ["extensiond"]],
        "megabytes": 1,
        "bundle": None,
    }


def empty(name: str, version: str) -> Package:
    """A package of `EMPTY`."""
    return Package(name, version, {f"site-packages/{MODULES.get(name, name.replace('-', '_'))}.py": ""}, ["python"])


# -- a whole site ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def lab_channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A channel with profile core, with what profile full has beside as stand-ins, and a tool; directory and URL."""
    directory, virtual = tmp_path_factory.mktemp("lab-channel"), tmp_path_factory.mktemp("virtual") / "environment"
    environ = dict(os.environ) | environment_for_uv(os.environ, Path.home())
    subprocess.run([sys.executable, "-m", "venv", virtual], check=True)
    uv = [Path(sys.executable).parent / "uv", "--quiet", "pip", "install", "--python", virtual / "bin/python"]
    subprocess.run([*uv, "--require-hashes", "-r", REQUIREMENTS / "core.txt"], env=environ, check=True)
    packages = [*python_packages(), *packages_of(virtual, WANTED, NAMES), Package("git", "2.47.0")]
    packages += [empty(name, "1.0") for name in EMPTY] + [tool("1.0")]
    for package in packages:
        package.write(directory)
    index(directory)
    with served(directory) as url:
        yield directory, url


@pytest.fixture(scope="session")
def pixi_settings(lab_channel: tuple[Path, str], pixi_archive: Archive) -> dict[str, Any]:
    """What makes a site use the stand-in, the channel, and this machine's package index."""
    found = {
        "jupyter_provider": "pixi",
        "jupyter_conda_channel": lab_channel[1],
        "jupyter_pixi_url": str(pixi_archive.file.with_name("pixi-{arch}.tar.gz")),
        "jupyter_pixi_digests": pixi_archive.digests,
    }
    if own_index := read_pip_options(os.environ, Path.home(), Path("/etc")).get("index-url"):
        found["jupyter_pypi_index"] = own_index
    return found


def ended(site: LocalSite) -> None:
    """Leave nothing of a site behind, whatever state its tests left it in."""
    site.run("down")
    for pid in site.processes():
        os.kill(pid, signal.SIGKILL)
