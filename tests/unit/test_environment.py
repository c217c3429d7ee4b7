"""Environments on a host, built for real by uv from small wheels of our own: complete, or not there at all."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyfleet_host import releases as machinery
from jupyfleet_host.common import HostError
from jupyfleet_host.environment import build
from jupyfleet_host.releases import STAMP, activate, is_complete, state
from tests.builds import build_once_free, start_build
from tests.wheels import make_wheel

UV = Path(sys.executable).parent / "uv"
Spec = dict[str, Any]


# --- wheels of our own, so that no index is asked -------------------------------------------------------------------


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    directory = tmp_path_factory.mktemp("wheels")
    made = {
        "supervisor": make_wheel(directory, "supervisor", "1.0"),
        "addition": make_wheel(directory, "addition", "2.0", "Requires-Dist: supervisor\n"),
    }
    apart = tmp_path_factory.mktemp("apart")
    return made | {"model": make_wheel(apart, "model", "3.0")}


@pytest.fixture(autouse=True)
def _only_our_wheels(
    wheels: dict[str, tuple[Path, str]], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uv is configured with a directory of wheels, no index, and a cache of its own."""
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels["supervisor"][0].parent))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "uv-cache"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "a home"


@pytest.fixture
def spec(home: Path, wheels: dict[str, tuple[Path, str]]) -> Spec:
    return {
        "home": str(home),
        "lock_file": str(home / ".jupyfleet.lock"),
        "tools": str(home / "tools"),
        "path": str(home / "releases/one"),
        "link": str(home / ".pixi/envs/default"),
        "provider": "uv",
        "python": sys.executable,
        "python_mirror": None,
        "uv": str(UV),
        "uv_lock": "",
        "index": None,
        "bundle": None,
        "megabytes": 1,
        "locks": [f"supervisor==1.0 --hash=sha256:{wheels['supervisor'][1]}\n"],
        "extra": [],
        "wheels": [],
        "trials": [["supervisord"]],
    }


def packages_of(path: Path) -> list[str]:
    return sorted(found.name.split("-")[0] for found in path.glob("lib/python3*/site-packages/*.dist-info"))


def switch_to(spec: Spec, path: Path, keep: int = 3) -> list[str]:
    answer = activate({"lock_file": spec["lock_file"], "path": str(path), "link": spec["link"], "keep": keep})
    removed: list[str] = answer["removed"]
    return removed


def inode_of(path: Path) -> int:
    return path.stat().st_ino


# --- built ----------------------------------------------------------------------------------------------------------


def test_an_environment_is_built_from_its_lock_and_works(spec: Spec) -> None:
    path = Path(spec["path"])
    assert not is_complete(path)
    answer = build(spec)
    assert answer["packages"] == 1
    assert answer["summary"].startswith("1 package in ")
    assert is_complete(path)
    done = subprocess.run([path / "bin/supervisord"], capture_output=True, text=True, check=True)
    assert done.stdout == "supervisor 1.0\n"


def test_a_second_build_changes_nothing_and_needs_no_uv(spec: Spec) -> None:
    path = Path(spec["path"])
    build(spec)
    before = {str(file): (file.lstat().st_ino, file.lstat().st_mtime_ns) for file in path.rglob("*")}
    build(spec | {"uv": "/no/such/uv"})
    assert {str(file): (file.lstat().st_ino, file.lstat().st_mtime_ns) for file in path.rglob("*")} == before


def test_the_state_tells_complete_from_absent_and_names_the_active_one(spec: Spec, home: Path) -> None:
    one, two = spec["path"], str(home / "releases/two")
    asked = {"paths": [one, two], "link": spec["link"]}
    assert state(asked) == {"stamped": {one: False, two: False}, "active": None, "previous": None}
    build(spec)
    switch_to(spec, Path(one))
    assert state(asked) == {"stamped": {one: True, two: False}, "active": one, "previous": None}
    assert state({"paths": [one], "link": None}) == {"stamped": {one: True}, "active": None, "previous": None}


def test_extra_packages_are_resolved_beside_the_lock(spec: Spec) -> None:
    build(spec | {"extra": ["addition>=1", "supervisor"]})
    assert packages_of(Path(spec["path"])) == ["addition", "supervisor"]


def test_a_wheel_may_come_with_the_request(spec: Spec, wheels: dict[str, tuple[Path, str]]) -> None:
    file, digest = wheels["model"]
    content = base64.b64encode(file.read_bytes()).decode()
    build(spec | {"wheels": [{"name": file.name, "sha256": digest, "content": content}]})
    assert packages_of(Path(spec["path"])) == ["model", "supervisor"]


@pytest.fixture
def mirror(wheels: dict[str, tuple[Path, str]]) -> Iterator[str]:
    """The directory of the model's wheel, served over HTTP."""
    handler = functools.partial(_Quiet, directory=str(wheels["model"][0].parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def test_a_wheel_may_come_from_a_url(spec: Spec, wheels: dict[str, tuple[Path, str]], mirror: str) -> None:
    file, digest = wheels["model"]
    build(spec | {"wheels": [{"name": file.name, "sha256": digest, "url": f"{mirror}/{file.name}"}]})
    assert packages_of(Path(spec["path"])) == ["model", "supervisor"]


# --- noticed and repaired -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "bin/supervisord").write_text("#!/bin/sh\nexit 1\n"),
        lambda path: (path / "bin/supervisord").unlink(),
        lambda path: next(path.glob("lib/python3*/site-packages/*.dist-info/RECORD")).write_text(""),
        lambda path: shutil.rmtree(next(path.glob("lib/python3*/site-packages/*.dist-info"))),
        lambda path: (path / "pyvenv.cfg").unlink(),
        lambda path: (path / "bin/python").unlink(),
        lambda path: (path / STAMP).unlink(),
        lambda path: (path / STAMP).write_text(""),
        lambda path: (path / STAMP).write_text("null"),
        lambda path: (path / STAMP).write_text('{"files": 3}'),
        lambda path: (path / STAMP).write_text('{"files": {}}'),
        lambda path: (path / STAMP).write_bytes(b"\xff\0"),
    ],
)
def test_damage_is_noticed_and_repaired(spec: Spec, damage: Any) -> None:
    path = Path(spec["path"])
    build(spec)
    damage(path)
    assert not is_complete(path)
    build(spec)
    assert is_complete(path)
    assert subprocess.run([path / "bin/supervisord"], capture_output=True, check=True).stdout == b"supervisor 1.0\n"


def test_another_python_makes_it_another_environment(spec: Spec) -> None:
    path = Path(spec["path"])
    build(spec)
    stamp = json.loads((path / STAMP).read_text())
    (path / STAMP).write_text(json.dumps(stamp | {"python": "3.11.0 (an earlier build)"}))
    assert not is_complete(path)
    build(spec)
    assert is_complete(path)


def test_a_half_finished_directory_is_cleared(spec: Spec) -> None:
    path = Path(spec["path"])
    (path / "lib").mkdir(parents=True)
    (path / "lib/leftover").touch()
    build(spec)
    assert not (path / "lib/leftover").exists()
    assert is_complete(path)


@pytest.mark.parametrize("home_is_a_link", [False, True])
def test_what_is_in_use_is_repaired_and_never_taken_away(spec: Spec, home: Path, home_is_a_link: bool) -> None:
    if home_is_a_link:
        (home.parent / "elsewhere").mkdir()
        home.symlink_to("elsewhere")
    path = Path(spec["path"])
    build(spec)
    switch_to(spec, path)
    assert state({"paths": [str(path)], "link": spec["link"]})["active"] == str(path)
    directory, kept = inode_of(path), path / "kept-by-the-running-server"
    kept.touch()
    (path / "bin/supervisord").write_text("damaged")
    shutil.rmtree(next(path.glob("lib/python3*/site-packages/supervisor")))
    build(spec)
    assert is_complete(path)
    assert inode_of(path) == directory
    assert kept.exists()
    assert subprocess.run([path / "bin/supervisord"], capture_output=True, check=True).stdout == b"supervisor 1.0\n"


# --- refused --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def previous_release(spec: Spec) -> Iterator[Path]:
    """A release that is active. What fails inside is not stamped, cannot be made active, and leaves it as it was."""
    previous = Path(spec["path"]).with_name("previous")
    build(spec | {"path": str(previous)})
    switch_to(spec, previous)
    yield previous
    assert is_complete(previous)
    assert not (Path(spec["path"]) / STAMP).exists()
    with pytest.raises(HostError, match="is not complete, so it was not made active"):
        switch_to(spec, Path(spec["path"]))
    assert Path(spec["link"]).resolve() == previous


def test_a_package_that_is_not_what_the_lock_says_is_refused(spec: Spec) -> None:
    with previous_release(spec), pytest.raises(HostError) as caught:
        build(spec | {"locks": [f"supervisor==1.0 --hash=sha256:{'0' * 64}\n"]})
    assert str(caught.value).startswith("could not install the packages:\n")
    assert "hash" in str(caught.value).lower()


def test_a_lock_without_hashes_is_refused(spec: Spec) -> None:
    with previous_release(spec), pytest.raises(HostError, match="could not install the packages"):
        build(spec | {"locks": ["supervisor==1.0\n"]})


def test_an_extra_package_that_does_not_exist_is_refused_with_the_resolver_s_words(spec: Spec) -> None:
    with previous_release(spec), pytest.raises(HostError) as caught:
        build(spec | {"extra": ["no-package-of-this-name>=9"]})
    reason = str(caught.value)
    assert reason.startswith("could not resolve the extra packages no-package-of-this-name>=9:\n")
    assert "no-package-of-this-name was not found" in reason


def test_an_extra_package_that_contradicts_the_lock_is_refused(spec: Spec) -> None:
    with previous_release(spec), pytest.raises(HostError, match="could not resolve the extra packages supervisor>1"):
        build(spec | {"extra": ["supervisor>1"]})


@pytest.mark.parametrize("by", ["content", "url"])
def test_a_wheel_with_another_digest_is_refused(
    spec: Spec, wheels: dict[str, tuple[Path, str]], mirror: str, by: str
) -> None:
    file, _ = wheels["model"]
    source = {"content": base64.b64encode(file.read_bytes()).decode(), "url": f"{mirror}/{file.name}"}
    wheel = {"name": file.name, "sha256": "0" * 64, by: source[by]}
    with previous_release(spec), pytest.raises(HostError, match=r"model-3\.0"):
        build(spec | {"wheels": [wheel]})


@pytest.mark.parametrize("trial", [["python", "-c", "import no_such_module"], ["no-such-program"]])
def test_an_environment_that_fails_its_trial_is_not_complete(spec: Spec, trial: list[str]) -> None:
    with previous_release(spec), pytest.raises(HostError, match=f"could not run {trial[0]}"):
        build(spec | {"trials": [trial]})


def test_a_uv_that_is_not_there_is_asked_for(spec: Spec) -> None:
    with pytest.raises(HostError, match=r"there is no uv at /no/such/uv\. Correct jupyter_uv"):
        build(spec | {"uv": "/no/such/uv"})


def test_a_python_that_is_not_there_is_named(spec: Spec) -> None:
    with pytest.raises(HostError, match="could not make an environment from /no/such/python"):
        build(spec | {"python": "/no/such/python"})


# --- interrupted, and two at once -----------------------------------------------------------------------------------


def test_killed_at_any_moment_it_is_built_by_the_next_run(spec: Spec) -> None:
    chance = random.Random(15)
    path = Path(spec["path"])
    began = time.monotonic()
    build(spec)
    long = time.monotonic() - began
    half_finished = 0
    for _ in range(16):
        shutil.rmtree(path)
        with start_build(spec) as process:
            time.sleep(chance.uniform(0.05, 0.1 + 1.2 * long))
            os.kill(process.pid, signal.SIGKILL)
        half_finished += path.exists() and not (path / STAMP).exists()
        if (path / STAMP).exists():
            assert is_complete(path)
        build_once_free(spec)
        assert is_complete(path)
        assert subprocess.run([path / "bin/supervisord"], capture_output=True, check=True).stdout == b"supervisor 1.0\n"
    assert half_finished >= 3, "the kills did not fall into the work"


def test_killed_during_the_repair_of_what_is_in_use_it_is_repaired_by_the_next_run(spec: Spec) -> None:
    path = Path(spec["path"])
    build(spec)
    switch_to(spec, path)
    directory = inode_of(path)
    for pause in (0.1, 0.2, 0.3, 0.4):
        (path / "bin/supervisord").write_text("damaged")
        with start_build(spec) as process:
            time.sleep(pause)
            os.kill(process.pid, signal.SIGKILL)
        build_once_free(spec)
        assert is_complete(path)
        assert inode_of(path) == directory


def test_of_two_builds_at_once_the_second_is_refused_and_told_who_is_at_work(spec: Spec, home: Path) -> None:
    waiting = home.parent / "waiting"
    trial = ["python", "-c", f"import pathlib, time; pathlib.Path({str(waiting)!r}).touch(); time.sleep(60)"]
    with start_build(spec | {"trials": [trial]}) as first:
        try:
            give_up = time.monotonic() + 30
            while not waiting.exists():
                assert time.monotonic() < give_up
                time.sleep(0.02)
            refused = rf"another deploy is at work on this host: process {first.pid} since \d{{4}}-.*Wait for it"
            with pytest.raises(HostError, match=refused):
                build(spec)
            with pytest.raises(HostError, match=refused):
                switch_to(spec, Path(spec["path"]))
        finally:
            os.killpg(first.pid, signal.SIGKILL)
    build_once_free(spec)
    assert is_complete(Path(spec["path"]))


# --- made active ----------------------------------------------------------------------------------------------------


@pytest.fixture
def releases(spec: Spec) -> list[Path]:
    """Five complete releases, the oldest first: copies of one that was built."""
    first = Path(spec["path"])
    build(spec)
    made = [first]
    for number, name in enumerate(["two", "three", "four", "five"], 1):
        made.append(first.with_name(name))
        shutil.copytree(first, made[-1], symlinks=True)
        stamp = json.loads((first / STAMP).read_text())
        (made[-1] / STAMP).write_text(json.dumps(stamp | {"built_at": stamp["built_at"] + number}))
    assert all(map(is_complete, made))
    return made


def names_in(home: Path) -> set[str]:
    return {found.name for found in (home / "releases").iterdir()}


def test_the_active_environment_is_a_relative_link_so_that_a_home_may_move(
    spec: Spec, home: Path, releases: list[Path]
) -> None:
    switch_to(spec, releases[0], keep=5)
    link = Path(spec["link"])
    assert str(link.readlink()) == "../../releases/one"
    home.rename(home.with_name("moved"))
    assert (home.with_name("moved") / ".pixi/envs/default/bin/supervisord").exists()


def test_a_directory_of_links_on_another_disk_still_leads_home(spec: Spec, home: Path, releases: list[Path]) -> None:
    (home.parent / "disk/deep/pixi").mkdir(parents=True)
    (home / ".pixi").symlink_to(home.parent / "disk/deep/pixi")
    switch_to(spec, releases[0], keep=5)
    assert Path(spec["link"]).resolve() == releases[0].resolve()
    assert state({"paths": [str(releases[0])], "link": spec["link"]})["active"] == str(releases[0])


def test_a_switch_is_one_rename_in_which_there_is_always_an_environment(spec: Spec, releases: list[Path]) -> None:
    switch_to(spec, releases[0], keep=5)
    link, stop = Path(spec["link"]), threading.Event()
    seen: set[str] = set()

    def watch() -> None:
        while not stop.is_set():
            try:
                seen.add(str(link.readlink()))
            except OSError as error:
                seen.add(repr(error))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(3):
        switch_to(spec, releases[1], keep=5)
        switch_to(spec, releases[0], keep=5)
    stop.set()
    watcher.join()
    assert seen <= {"../../releases/one", "../../releases/two"}
    assert {found.name for found in link.parent.iterdir()} == {"default"}


def test_switching_to_what_is_active_touches_nothing(spec: Spec, releases: list[Path]) -> None:
    switch_to(spec, releases[0], keep=5)
    before = Path(spec["link"]).lstat()
    switch_to(spec, releases[0], keep=5)
    assert Path(spec["link"]).lstat() == before


def test_only_the_newest_are_kept(spec: Spec, home: Path, releases: list[Path]) -> None:
    assert sorted(Path(path).name for path in switch_to(spec, releases[4], keep=3)) == ["one", "two"]
    assert names_in(home) == {"three", "four", "five"}


def test_the_active_one_is_never_removed_however_old_it_is(spec: Spec, home: Path, releases: list[Path]) -> None:
    switch_to(spec, releases[0], keep=1)
    assert names_in(home) == {"one"}
    assert is_complete(releases[0])


def test_what_is_half_finished_is_removed_and_does_not_count(spec: Spec, home: Path, releases: list[Path]) -> None:
    (releases[4] / STAMP).unlink()
    (home / "releases/a-file").touch()
    (home / "releases/a-link").symlink_to("two")
    switch_to(spec, releases[0], keep=3)
    assert names_in(home) == {"one", "three", "four", "a-file", "a-link"}


def test_an_incomplete_environment_is_not_made_active(spec: Spec, releases: list[Path]) -> None:
    switch_to(spec, releases[0], keep=5)
    (releases[1] / "bin/supervisord").unlink()
    with pytest.raises(HostError, match=r"/two is not complete, so it was not made active\. Run up again"):
        switch_to(spec, releases[1])
    assert Path(spec["link"]).resolve() == releases[0]


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_an_environment_that_somebody_made_there_is_not_replaced(spec: Spec, releases: list[Path], kind: str) -> None:
    link = Path(spec["link"])
    link.parent.mkdir(parents=True)
    if kind == "directory":
        (link / "bin").mkdir(parents=True)
    else:
        link.touch()
    with pytest.raises(HostError, match=r"default is in the way: it is no link of jupyfleet's\. Move it away"):
        switch_to(spec, releases[0])
    assert link.exists()
    assert not link.is_symlink()


@pytest.mark.parametrize("target", ["../../releases/gone", "/nowhere", "../../releases/two"])
def test_a_link_that_leads_elsewhere_is_set_right(spec: Spec, releases: list[Path], target: str) -> None:
    link = Path(spec["link"])
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    (link.parent / ".default.jupyfleet-new").symlink_to("left by an interrupted run")
    switch_to(spec, releases[0], keep=5)
    assert link.resolve() == releases[0]


def test_the_lock_is_given_back_even_when_the_work_failed(spec: Spec) -> None:
    lock = Path(spec["lock_file"])
    with pytest.raises(RuntimeError), machinery.exclusive(lock):
        raise RuntimeError
    with machinery.exclusive(lock):
        assert str(os.getpid()) in lock.read_text()
