"""The locks of a site: kept beside the inventory, one for all hosts that ask the same, refused when they are stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.environment import sitelock
from deploy.environment.pixi import PINNED, manifest_of, pixi_release_of
from deploy.environment.uv import committed_lock, requirements_of, uv_release_of
from deploy.operations.environment import choose_release
from deploy.settings import Settings, SettingsError, read_settings

PIXI_LOCK = """\
version: 6
environments: {}
packages:
- conda: https://conda.example.invalid/linux-64/python-3.13.1-h0_cpython.conda
  sha256: aa
- conda: https://conda.example.invalid/noarch/jupyter_server-2.17.0-pyhcf101f3_0.conda
  sha256: bb
- pypi: https://files.example.invalid/jupyter_collaboration-4.1.0-py3-none-any.whl
  name: jupyter-collaboration
  version: '4.1.0'
"""


def settings(tmp_path: Path, **values: Any) -> Settings:
    data = {"jupyter_home": "/srv/lab", "jupyter_locks": str(tmp_path)}
    return read_settings("lab1", data | {f"jupyter_{name}": value for name, value in values.items()})


@pytest.mark.parametrize("provider", ["uv", "pixi"])
def test_a_lock_is_used_for_just_what_it_was_made_for(tmp_path: Path, provider: str) -> None:
    ours = settings(tmp_path, provider=provider)
    asked = manifest_of(ours) if provider == "pixi" else requirements_of(ours)
    assert sitelock.read(ours, asked) is None
    sitelock.check(ours, asked)
    found = ("found\n", "added\n") if provider == "pixi" else ("found\n",)
    directory = sitelock.write(ours, asked, found)
    assert directory.name == f"{provider}-core"
    assert sitelock.read(ours, asked) == found
    sitelock.check(ours, asked)
    assert sitelock.read(ours, asked + "# more\n") is None
    with pytest.raises(sitelock.StaleLockError, match="Run jupyfleet lock INVENTORY"):
        sitelock.check(ours, asked + "# more\n")


def test_hosts_that_ask_for_more_have_a_lock_of_their_own(tmp_path: Path) -> None:
    plain, more = settings(tmp_path), settings(tmp_path, extra_packages=["altair"])
    assert sitelock.directory_of(plain) != sitelock.directory_of(more)
    assert sitelock.directory_of(more) == sitelock.directory_of(settings(tmp_path, extra_packages=["altair"], port=9))


def test_a_release_of_uv_is_made_from_the_sites_lock_where_there_is_one(tmp_path: Path) -> None:
    ours = settings(tmp_path, extra_packages=["altair"])
    assert uv_release_of(ours).locks == (committed_lock("core"),)
    assert uv_release_of(ours).extra == ("altair",)
    sitelock.write(ours, requirements_of(ours), ("altair==5 --hash=sha256:aa\n",))
    assert uv_release_of(ours).locks == ("altair==5 --hash=sha256:aa\n",)
    assert uv_release_of(ours).extra == ()


def test_a_release_of_pixi_is_named_by_manifest_lock_and_version(tmp_path: Path) -> None:
    ours = settings(tmp_path, provider="pixi")
    unsolved = pixi_release_of(ours)
    assert not unsolved.is_solved
    sitelock.write(ours, manifest_of(ours), (PIXI_LOCK, "fastmcp==3.2.0 --hash=sha256:aa\n"))
    solved = pixi_release_of(ours)
    assert solved.is_solved
    mirrored = pixi_release_of(settings(tmp_path, provider="pixi", pixi_url="https://mirror.example.invalid/{arch}"))
    assert mirrored.identifier == solved.identifier
    digests = {"x86_64": ["a" * 64, "b" * 64]}
    other = pixi_release_of(settings(tmp_path, provider="pixi", pixi_version="0.99.0", pixi_digests=digests))
    assert len({unsolved.identifier, solved.identifier, other.identifier}) == 3


def test_both_kinds_of_lock_are_read_for_their_versions() -> None:
    found = {"jupyter-collaboration": "4.1.0", "jupyter-server": "2.17.0", "python": "3.13.1"}
    assert sitelock.packages((PIXI_LOCK,)) == found
    assert sitelock.packages((PIXI_LOCK, "fastmcp==3.2.0\n")) == found | {"fastmcp": "3.2.0"}
    text = (
        "anyio==4.1 \\\n    --hash=sha256:aa\nsoup==1 ; python_full_version < '3.12'\nsoup==2 ; sys_platform == 'x'\n"
    )
    assert sitelock.packages((text,)) == {"anyio": "4.1", "soup": "1, 2"}


def test_changes_are_said_a_line_per_package() -> None:
    found = sitelock.changes(("a==1\nb==1\n",), ("a==2\nc==1\n",))
    assert found == ["a 1 -> 2", "b 1 is no longer needed", "c 1 is new"]
    assert sitelock.changes(None, ("a==1\n",)) == ["a 1 is new"]


def test_pinned_digests_are_of_both_architectures() -> None:
    for digests in PINNED.values():
        assert set(digests) == {"x86_64", "aarch64"}
        assert len({digest for pair in digests.values() for digest in pair}) == 4
        assert all(len(digest) == 64 for pair in digests.values() for digest in pair)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"pypi_index": "https://user:secret@mirror.invalid/simple"}, "without a password"),
        ({"provider": "pixi", "conda_channel": "https://a@b.invalid/c"}, "without a password"),
        ({"provider": "pixi", "pixi_version": "0.99.0"}, "set jupyter_pixi_digests as well"),
        ({"provider": "pixi", "pixi_digests": {"x86_64": ["a" * 64]}}, "two of them per architecture"),
        ({"pixi_url": "https://mirror.invalid/{machine}"}, "may have {version} and {arch}"),
        ({"extra_conda_packages": ["r-base"]}, "are for jupyter_provider 'pixi'"),
        ({"source": "bundle"}, "is needed with jupyter_source 'bundle'"),
        ({"bundle": "file:/media/x.tar"}, "is only for jupyter_source 'bundle'"),
        ({"source": "bundle", "bundle": "/no/such/file"}, "is no file on the machine that deploys"),
        ({"source": "bundle", "bundle": "file:/x.tar", "python": "uv:3.13"}, "name a Python of the host"),
        ({"python_mirror": "file:///srv/python"}, "jupyter_python names a Python of the host"),
        (
            {"python": "uv:3.13", "python_mirror": "/srv/python"},
            "must be an http(s) URL without a password, or file:///",
        ),
        ({"python": "uv:3.9"}, "must name a Python from 3.11 on"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(tmp_path, **values)
    assert sentence in str(caught.value)
    assert "user:" not in str(caught.value)


KNOWN = {"active": "bb22", "previous": "aa11", "complete": ["bb22", "aa11", "ab33"]}


@pytest.mark.parametrize(
    ("changes", "to", "chosen", "reason"),
    [
        ({}, None, "aa11", ""),
        ({}, "ab", "ab33", ""),
        ({}, "bb22", "bb22", ""),
        ({}, "a", None, "more than one release begins with a"),
        ({}, "ff", None, "no release begins with ff"),
        ({"previous": None}, None, None, "nothing was active before release bb22"),
        ({"previous": "gone"}, None, None, "release gone, which was active before, is gone or damaged"),
        ({"active": None}, None, None, "no release is active on this host"),
        ({"complete": ["bb22"], "previous": None}, None, None, "There is no other complete one."),
    ],
)
def test_where_a_rollback_goes(changes: dict[str, Any], to: str | None, chosen: str | None, reason: str) -> None:
    name, why = choose_release(KNOWN | changes, to)
    assert name == chosen
    assert reason in why
