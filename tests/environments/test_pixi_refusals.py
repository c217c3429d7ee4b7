"""What is refused rather than installed, and that nothing of it counts as a release.

pixi is a stand-in (`pixi_standin`) and the channel is the tests' own (`channel`), served over HTTP; Python, its
packages, the solver and the installer are real.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyfleet_host.environment import build
from jupyfleet_host.releases import STAMP, is_complete
from tests.environments.building import Archive, Spec, content_of, packed, refused
from tests.environments.channel import tampered


def test_a_stale_lock_is_refused(spec: Spec, locks: dict[str, tuple[str, str]]) -> None:
    reason = refused(spec | {"manifest": locks["2.0"][0]})
    assert "lock file not up-to-date with the workspace" in reason


def test_a_tampered_package_is_refused(spec: Spec, channel: tuple[Path, str], home: Path) -> None:
    [file] = (channel[0] / "noarch").glob("tool-1.0-*.conda")
    whole = file.read_bytes()
    try:
        tampered(file)
        reason = refused(spec | {"cache": str(home / "cache")})
    finally:
        file.write_bytes(whole)
    assert "tool" in reason
    assert "mismatch" in reason.lower() or "hash" in reason.lower()
    build(spec | {"cache": str(home / "cache")})


def test_what_is_added_after_the_solve_is_refused_when_it_is_not_what_the_lock_says(spec: Spec) -> None:
    digest = spec["added"].rpartition(":")[2].strip()
    reason = refused(spec | {"added": spec["added"].replace(digest, "0" * 64)})
    assert reason.startswith("could not add the packages that come after pixi's solve:")
    assert f"Got        {digest}" in reason


def test_a_tampered_pixi_is_refused(spec: Spec, tmp_path: Path, home: Path) -> None:
    archive = packed(tmp_path / "pixi.tar.gz", b"#!/bin/sh\necho pixi 0.75.0\n").file
    pixi = spec["pixi"] | {"url": archive.as_uri()}
    assert "is not what it should be: its sha256 is" in refused(spec | {"pixi": pixi})
    [machine] = pixi["digests"]
    # Even an archive of the right digest must hold the right executable.
    digests = {machine: [hashlib.sha256(archive.read_bytes()).hexdigest(), pixi["digests"][machine][1]]}
    assert "the pixi in" in refused(spec | {"pixi": pixi | {"digests": digests}})
    assert not (home / ".pixi/bin/pixi").exists()


def test_a_pixi_on_the_host_that_is_another_one_is_replaced(spec: Spec, home: Path) -> None:
    (home / ".pixi/bin").mkdir(parents=True)
    (home / ".pixi/bin/pixi").write_text("#!/bin/sh\ntouch was-run\n")
    build(spec)
    assert is_complete(Path(spec["path"]))


def test_pixi_may_come_along(spec: Spec, pixi_archive: Archive) -> None:
    content = content_of(pixi_archive.file)
    build(spec | {"pixi": spec["pixi"] | {"url": "/nowhere", "content": {os.uname().machine: content}}})
    assert is_complete(Path(spec["path"]))


def test_an_architecture_without_digests_is_named(spec: Spec) -> None:
    reason = refused(spec | {"pixi": spec["pixi"] | {"digests": {"riscv64": ["0", "0"]}}})
    assert f"is pinned for riscv64, and this host is {os.uname().machine}" in reason


def test_a_mirror_that_cannot_be_reached_is_named(spec: Spec) -> None:
    reason = refused(spec | {"pixi": spec["pixi"] | {"url": "http://127.0.0.1:9/{version}/{arch}"}})
    assert "could not fetch pixi from http://127.0.0.1:9/0.75.0/" in reason
    assert "set jupyter_pixi_url" in reason


def test_a_release_that_fails_its_trial_is_not_complete(spec: Spec) -> None:
    assert "could not run python" in refused(spec | {"trials": [["tool"], ["python", "-c", "exit(3)"]]})


def test_a_persons_own_configuration_is_not_read(spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    monkeypatch.setenv("PIXI_CACHE_DIR", str(tmp_path / "person/cache"))
    monkeypatch.setenv("PIXI_CONFIG_FILE", "/nowhere")
    build(spec)
    assert not [name for name in (".cache", ".pixi", "cache") if (tmp_path / "person" / name).exists()]


# --- a full disk ----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_too_little_room_is_found_before_anything_is_fetched(spec: Spec, small_disk: Path) -> None:
    reason = refused(spec | {"path": str(small_disk / "releases/one"), "megabytes": 100})
    assert "needs about 100 MB below" in reason
    assert "Nothing was fetched" in reason
    assert not (small_disk / "releases/one").exists()


def test_a_disk_that_becomes_full_leaves_nothing_that_counts_as_whole(spec: Spec, small_disk: Path) -> None:
    path = small_disk / "releases/one"
    asked = spec | {"path": str(path), "cache": str(small_disk / "cache")}
    reason = refused(asked)
    assert "install the packages" in reason or "No space left" in reason
    assert not (path / STAMP).exists()
    subprocess.run(["mount", "-o", "remount,size=600m", str(small_disk)], check=True)
    build(asked)
    assert is_complete(path)
