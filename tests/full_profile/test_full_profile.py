"""Profile full from the package index: every package of it, and a spaCy model from a configured source.

The model is a stand-in (see `spacy_model_standin`); everything else is real.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_site import ROOT, LocalSite

#: What profile full promises beyond core, by the names under which Python imports it.
MODULES = (
    *("matplotlib", "seaborn", "pandas", "numpy", "sklearn", "scipy", "polars", "pyarrow", "duckdb", "spacy", "black"),
    *("pytest", "graphviz", "yaml", "tqdm", "jupyterlab", "jupyter_server_ydoc", "ipykernel", "ipywidgets"),
    *("jupyterlab_git", "jupyter_resource_usage", "fastmcp", "jupyter_mcp"),
)
STANDIN = Path(__file__).parent / "spacy_model_standin.py"
CACHE = ROOT / ".cache/spacy-model-standin"
WHEEL = "en_core_web_sm-3.8.0-py3-none-any.whl"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSite]:
    site = LocalSite(tmp_path_factory.mktemp("full") / "site", settings={"jupyter_profile": "full"})
    yield site
    site.settings.clear()
    assert site.run("down").returncode == 0


@pytest.fixture(scope="module")
def model(site: LocalSite, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the stand-in, trained by the spaCy of the environment under test, once for each version of these."""
    python = site.environment / "bin/python"
    ask = [python, "-c", "import spacy; print(spacy.__version__)"]
    version = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    kept = CACHE / f"{version}-{hashlib.sha256(STANDIN.read_bytes()).hexdigest()[:16]}" / WHEEL
    if not kept.is_file():
        directory = tmp_path_factory.mktemp("model")
        subprocess.run([python, STANDIN, directory], check=True, stdout=subprocess.DEVNULL)
        build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", directory]
        subprocess.run(build, cwd=directory / "en_core_web_sm-3.8.0", check=True)
        kept.parent.mkdir(parents=True, exist_ok=True)
        beside = kept.with_suffix(".new")
        shutil.copy(directory / WHEEL, beside)
        beside.rename(kept)
    return kept


@pytest.fixture(scope="module")
def model_url(model: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(model.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{WHEEL}"
        server.shutdown()


def spacy_check(site: LocalSite, **settings: str) -> tuple[str, str]:
    [host] = json.loads(site.run("verify", "--json", **settings).stdout)["hosts"]
    [check] = [check for check in host["checks"] if check["id"] == "spacy-import"]
    return check["status"], check["detail"]


def test_it_installs_and_every_package_imports(site: LocalSite) -> None:
    done = site.run("up")
    assert done.returncode == 0, done.stdout
    python = site.environment / "bin/python"
    failed = [name for name in MODULES if subprocess.run([python, "-c", f"import {name}"], check=False).returncode]
    assert failed == []


def test_without_a_model_the_check_says_so(site: LocalSite) -> None:
    assert spacy_check(site) == ("skipped", "no spaCy model is set for this host")
    done = site.run("up", jupyter_spacy_model="none")
    assert done.returncode == 0, done.stdout
    assert "nothing changed" in done.stdout
    assert spacy_check(site, jupyter_spacy_model="none") == ("skipped", "no spaCy model is set for this host")


def test_a_model_whose_digest_is_wrong_is_refused_and_nothing_changes(site: LocalSite, model_url: str) -> None:
    before = site.environment.resolve()
    done = site.run("up", jupyter_spacy_model=f"{model_url}#sha256={'0' * 64}")
    assert done.returncode == 1
    assert "ash mismatch" in done.stdout
    assert site.environment.resolve() == before
    assert site.get("api") == 200


def test_a_model_comes_from_a_url_or_from_a_file_alike(site: LocalSite, model: Path, model_url: str) -> None:
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    done = site.run("up", jupyter_spacy_model=f"{model_url}#sha256={digest}")
    assert done.returncode == 0, done.stdout
    assert spacy_check(site, jupyter_spacy_model=str(model))[0] == "ok"
    assert "nothing changed" in site.run("up", jupyter_spacy_model=str(model)).stdout


def test_a_model_comes_from_a_file_into_a_new_home(site: LocalSite, model: Path) -> None:
    site.settings["jupyter_spacy_model"] = str(model)
    assert site.run("down").returncode == 0
    done = site.run("up")
    assert done.returncode == 0, done.stdout
    assert spacy_check(site)[0] == "ok"
