"""A release is named by what it holds: the same content has the same name everywhere, and other content another."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from deploy.environment.extension import Extension
from deploy.environment.profiles import PROFILES
from deploy.environment.releases import release_of, supervisor_of
from deploy.environment.uv import UvRelease as Release
from deploy.environment.wheel import Wheel
from deploy.paths import FILES, REQUIREMENTS
from deploy.settings import read_settings

BASE = Release(
    python="python3",
    uv=None,
    locks=("numpy==1 --hash=sha256:aa\n",),
    extra=("altair>=5", "polars"),
    wheels=(Wheel("https://x.invalid/model-1-py3-none-any.whl", "a" * 64),),
    trials=(("python", "--version"),),
)


def settings_of(**data: Any) -> Any:
    return read_settings("lab1", {"jupyter_home": "/srv/lab"} | data)


def identifier_of(**data: Any) -> str:
    return release_of(settings_of(**data)).identifier


# --- the name -------------------------------------------------------------------------------------------------------


def test_a_name_is_short_plain_and_the_same_each_time() -> None:
    assert len(BASE.identifier) == 16
    int(BASE.identifier, 16)
    assert dataclasses.replace(BASE).identifier == BASE.identifier


def test_a_name_is_the_same_in_another_process() -> None:
    code = (
        "from deploy.settings import read_settings; from deploy.environment.releases import release_of;"
        "print(release_of(read_settings('h', {'jupyter_home': '/other'})).identifier)"
    )
    command = [sys.executable, "-c", code]
    root = Path(__file__).parents[2]
    environ = {"PYTHONPATH": f"{root}:{root}/files", "PYTHONHASHSEED": "7"}
    said = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.strip()
    assert said == identifier_of()


@pytest.mark.parametrize(
    "changes",
    [
        {"python": "python3.12"},
        {"locks": ("numpy==2 --hash=sha256:aa\n",)},
        {"locks": ("numpy==1 --hash=sha256:bb\n",)},
        {"locks": (*BASE.locks, "more==1\n")},
        {"extra": ("altair>=5",)},
        {"extra": ("altair>=6", "polars")},
        {"wheels": ()},
        {"wheels": (Wheel(BASE.wheels[0].location, "b" * 64),)},
        {"wheels": (Wheel("https://x.invalid/model-2-py3-none-any.whl", "a" * 64),)},
        {"locks": (*BASE.locks, "altair>=5"), "extra": ("polars",)},
    ],
)
def test_a_name_changes_with_each_thing_that_matters(changes: dict[str, Any]) -> None:
    assert dataclasses.replace(BASE, **changes).identifier != BASE.identifier


@pytest.mark.parametrize(
    "changes",
    [
        {"uv": "/usr/bin/uv"},
        {"extra": ("polars", "altair>=5")},
        {"trials": ()},
        {"wheels": (Wheel("http://mirror.invalid/deep/model-1-py3-none-any.whl", "a" * 64),)},
    ],
)
def test_a_name_does_not_change_with_what_makes_no_difference(changes: dict[str, Any]) -> None:
    assert dataclasses.replace(BASE, **changes).identifier == BASE.identifier


_LISTS = st.lists(st.sampled_from(["a", "b", "ab", "\0", "a\0b", ""]), max_size=3).map(tuple)


@hypothesis_settings(deadline=None)  # A loaded machine takes any time.
@given(_LISTS, _LISTS, _LISTS, _LISTS)
def test_different_content_never_shares_a_name(locks: Any, extra: Any, other_locks: Any, other_extra: Any) -> None:
    one = Release("python3", None, locks, extra)
    other = Release("python3", None, other_locks, other_extra)
    is_same = (locks, sorted(extra)) == (other_locks, sorted(other_extra))
    assert (one.identifier == other.identifier) is is_same


# --- from settings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [{"jupyter_profile": "full"}, {"jupyter_extra_packages": ["altair"]}, {"jupyter_python": "python3.12"}],
)
def test_settings_that_decide_the_content_give_another_release(data: dict[str, Any]) -> None:
    assert identifier_of(**data) != identifier_of()


@pytest.mark.parametrize(
    "data",
    [
        {"jupyter_home": "/elsewhere"},
        {"jupyter_port": 9000},
        {"jupyter_bind": "0.0.0.0"},
        {"jupyter_auth": "none"},
        {"jupyter_base_url": "/lab1/"},
        {"jupyter_workspace": "/data"},
        {"jupyter_uv": "/usr/bin/uv"},
        {"jupyter_keep_releases": 9},
        {"jupyter_mcp_room_idle_timeout": 5},
    ],
)
def test_settings_that_do_not_are_of_the_same_release_so_that_nothing_is_installed_again(data: dict[str, Any]) -> None:
    assert identifier_of(**data) == identifier_of()
    assert supervisor_of(settings_of(**data)).identifier == supervisor_of(settings_of()).identifier


def test_a_model_s_wheel_is_named_by_its_bytes_and_tried(tmp_path: Path) -> None:
    names = set()
    for content in (b"one", b"two"):
        wheel = tmp_path / "en_core_web_sm-3.8.0-py3-none-any.whl"
        wheel.write_bytes(content)
        release = release_of(settings_of(jupyter_profile="full", jupyter_spacy_model=str(wheel)))
        assert release.wheels == (Wheel(str(wheel), hashlib.sha256(content).hexdigest()),)
        assert "spacy.load" in str(release.trials[-1])
        [spec] = [wheel.build_spec() for wheel in release.wheels]
        assert base64.b64decode(spec["content"]) == content
        names.add(release.identifier)
    assert len(names) == 2


def test_a_model_from_a_url_is_fetched_by_the_host() -> None:
    url = "https://models.example.invalid/en_core_web_sm-3.8.0-py3-none-any.whl"
    release = release_of(settings_of(jupyter_profile="full", jupyter_spacy_model=f"{url}#sha256={'a' * 64}"))
    [wheel] = release.wheels
    assert wheel.build_spec() == {"name": url.rsplit("/", 1)[-1], "sha256": "a" * 64, "url": url}


def test_every_profile_has_a_lock_with_a_hash_for_each_version_and_no_index() -> None:
    for name in [*PROFILES, "supervisor", "uv"]:
        text = (REQUIREMENTS / f"{name}.txt").read_text()
        pins = [line for line in text.splitlines() if "==" in line and not line.lstrip().startswith(("#", "--"))]
        assert pins
        assert all(line.endswith("\\") for line in pins), name
        assert "index-url" not in text
        assert "find-links" not in text


# --- the extension --------------------------------------------------------------------------------------------------


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the extension's sources."""
    ignored = shutil.ignore_patterns("__pycache__", ".*cache", ".hypothesis", "dist", "build")
    shutil.copytree(FILES / "jupyter_mcp", tmp_path / "jupyter_mcp", ignore=ignored)
    return tmp_path / "jupyter_mcp"


@pytest.mark.parametrize(
    "name",
    [
        "tests/test_new.py",
        "jupyter_mcp/__pycache__/x.pyc",
        ".pytest_cache/v/x",
        ".ruff_cache/x",
        ".mypy_cache/x",
        ".hypothesis/x",
        "dist/x.whl",
        "build/lib/x.py",
    ],
)
def test_tests_and_caches_do_not_make_another_extension(sources: Path, name: str) -> None:
    before = Extension(sources).digest
    (sources / name).parent.mkdir(parents=True, exist_ok=True)
    (sources / name).write_text("new")
    assert Extension(sources).digest == before


@pytest.mark.parametrize("name", ["jupyter_mcp/new.py", "pyproject.toml", "jupyter-config/new.json", "README.md"])
def test_a_source_that_changes_makes_another_extension(sources: Path, name: str) -> None:
    before = Extension(sources).digest
    file = sources / name
    file.write_bytes((file.read_bytes() if file.exists() else b"") + b"\n# changed\n")
    assert Extension(sources).digest != before


def test_a_source_that_is_renamed_or_removed_makes_another_extension(sources: Path) -> None:
    before = Extension(sources).digest
    file = next((sources / "jupyter_mcp").glob("*.py"))
    file = file.rename(file.with_name("renamed_module.py"))
    renamed = Extension(sources).digest
    file.unlink()
    assert len({before, renamed, Extension(sources).digest}) == 3


def test_the_same_sources_give_the_same_wheel_wherever_and_whenever_it_is_built(sources: Path, tmp_path: Path) -> None:
    shutil.copytree(sources, tmp_path / "again/jupyter_mcp")
    one, other = Extension(sources), Extension(tmp_path / "again/jupyter_mcp")
    assert one.digest == other.digest
    (path, digest), (_, other_digest) = one.build(), other.build()
    assert digest == other_digest == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert one.build() == (path, digest)
    names = zipfile.ZipFile(path).namelist()
    assert any(name.endswith("jupyter_mcp/__init__.py") for name in names)
    assert not any("test" in name or "__pycache__" in name for name in names)
