"""The provider pixi on a host: what is built, refused, repaired and interrupted.

pixi is a stand-in (`pixi_standin`) and the channel is the tests' own (`channel`), served over HTTP; Python, its
packages, the solver and the installer are real.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.environment import sitelock
from deploy.environment.pixi import manifest_of
from deploy.paths import FILES
from deploy.settings import read_settings
from jupyfleet_host import environment_pixi
from jupyfleet_host.common import HostError
from jupyfleet_host.environment import build
from jupyfleet_host.releases import STAMP, activate, is_complete
from tests.environments.channel import Package, index, packages_of, python_packages, served, tampered
from tests.wheels import make_wheel

STANDIN = Path(__file__).with_name("pixi_standin.py")
Spec = dict[str, Any]
_TOOL = "#!/bin/sh\necho tool {}\n"


def tool(version: str, says: str = "") -> Package:
    return Package("tool", version, {"bin/tool": _TOOL.format(says or version)})


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
def simple_index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A package index with one package."""
    directory = tmp_path_factory.mktemp("simple")
    (directory / "addition").mkdir()
    wheel, digest = make_wheel(directory / "addition", "addition", "1.0")
    (directory / "addition/index.html").write_text(f'<a href="{wheel.name}#sha256={digest}">{wheel.name}</a>')
    with served(directory) as url:
        yield url


@pytest.fixture(scope="session")
def pixi_archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    """The stand-in as pixi's releases are packed, and its digests."""
    program = f"#!{sys.executable}\n{STANDIN.read_text()}".encode()
    archive = tmp_path_factory.mktemp("pixi") / "pixi.tar.gz"
    with tarfile.open(archive, "w:gz") as members:
        member = tarfile.TarInfo("pixi")
        member.size, member.mode = len(program), 0o755
        members.addfile(member, io.BytesIO(program))
    digests = [hashlib.sha256(archive.read_bytes()).hexdigest(), hashlib.sha256(program).hexdigest()]
    return archive, {os.uname().machine: digests}


def manifest(channel_url: str, index_url: str, tool_version: str) -> str:
    return (
        f'[workspace]\nname = "test"\nchannels = ["{channel_url}"]\nplatforms = ["linux-64", "linux-aarch64"]\n'
        f'[dependencies]\npython = "*"\npip = "*"\ntool = "{tool_version}"\n'
        f'[pypi-dependencies]\naddition = "*"\n[pypi-options]\nindex-url = "{index_url}"\n'
    )


@pytest.fixture(scope="session")
def locks(
    tmp_path_factory: pytest.TempPathFactory,
    channel: tuple[Path, str],
    simple_index: str,
    pixi_archive: tuple[Path, dict[str, list[str]]],
) -> dict[str, tuple[str, str]]:
    """Manifest and lock for either version of the tool."""
    home = tmp_path_factory.mktemp("locking")
    found = {}
    for version in ("1.0", "2.0"):
        text = manifest(channel[1], simple_index, f"=={version}")
        spec = {"pixi": pixi_of(home, pixi_archive), "manifest": text, "lock": None}
        found[version] = (text, environment_pixi.lock(spec)["lock"])
    return found


def pixi_of(home: Path, archive: tuple[Path, dict[str, list[str]]]) -> Spec:
    return {"home": str(home / ".pixi"), "version": "0.75.0", "digests": archive[1], "url": archive[0].as_uri()}


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
    pixi_archive: tuple[Path, dict[str, list[str]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Spec:
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
        "wheels": [{"name": wheel.name, "sha256": digest, "content": base64.b64encode(wheel.read_bytes()).decode()}],
        "trials": [["tool"], ["extensiond"]],
        "megabytes": 1,
    }


def says(path: Path, program: str = "tool") -> str:
    command = [path / ".pixi/envs/default/bin" / program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def switch_to(spec: Spec, path: Path, keep: int = 3) -> None:
    activate({"lock_file": spec["lock_file"], "path": str(path), "link": spec["link"], "keep": keep})


# --- locked ---------------------------------------------------------------------------------------------------------


def test_one_lock_holds_both_architectures_with_a_digest_for_everything(locks: dict[str, tuple[str, str]]) -> None:
    lock = locks["1.0"][1]
    assert "linux-64/python-" in lock
    assert "linux-aarch64/python-" in lock
    packages = sitelock.packages(lock)
    assert packages["tool"] == "1.0"
    assert packages["addition"] == "1.0"
    assert "python" in packages
    described = lock.partition("\npackages:\n")[2]
    assert described.count("sha256: ") >= described.count("- conda: ") + described.count("- pypi: ")


def test_what_a_lock_changes_is_said_package_by_package(locks: dict[str, tuple[str, str]]) -> None:
    assert sitelock.changes(locks["1.0"][1], locks["2.0"][1]) == ["tool 1.0 -> 2.0"]


def test_the_manifest_of_a_profile_is_one_that_can_be_read(channel: tuple[Path, str]) -> None:
    import tomllib

    settings = read_settings("h", {"jupyter_home": "/srv/x", "jupyter_provider": "pixi", "jupyter_profile": "full"})
    document = tomllib.loads(manifest_of(settings))
    assert document["workspace"]["platforms"] == ["linux-64", "linux-aarch64"]
    assert document["dependencies"]["spacy-model-en_core_web_sm"] == "*"
    assert document["dependencies"]["jupyterlab"].startswith(">=4.")
    assert document["pypi-dependencies"]["jupyter-collaboration"] == ">=5"


@pytest.mark.parametrize("wrong", ["no-package-of-this-name", 'tool = ">=9"'])
def test_what_cannot_be_solved_is_explained(
    spec: Spec, channel: tuple[Path, str], simple_index: str, wrong: str
) -> None:
    line = wrong if "=" in wrong else f'{wrong} = "*"'
    text = manifest(channel[1], simple_index, "*").replace('tool = "*"', line)
    with pytest.raises(HostError) as caught:
        environment_pixi.lock({"pixi": spec["pixi"], "manifest": text, "lock": None})
    reason = str(caught.value)
    assert reason.startswith("could not find versions that go together for every platform:")
    assert wrong.split(" ")[0] in reason


def test_a_channel_that_cannot_be_reached_is_named(spec: Spec, simple_index: str) -> None:
    text = manifest("http://127.0.0.1:9/channel", simple_index, "*")
    with pytest.raises(HostError, match=r"127\.0\.0\.1:9"):
        environment_pixi.lock({"pixi": spec["pixi"], "manifest": text, "lock": None})


# --- built ----------------------------------------------------------------------------------------------------------


def test_a_release_is_built_beside_its_manifest_and_lock(spec: Spec, home: Path) -> None:
    path = Path(spec["path"])
    build(spec)
    assert is_complete(path)
    assert says(path) == "tool 1.0"
    assert says(path, "extensiond") == "extension 1.0"
    assert says(path, "additiond") == "addition 1.0"
    assert (path / "pixi.toml").read_text() == spec["manifest"]
    assert (path / "pixi.lock").read_text() == spec["lock"]
    switch_to(spec, path)
    assert Path(spec["link"]).resolve() == path / ".pixi/envs/default"
    assert {entry.name for entry in (home / ".pixi").iterdir()} == {"bin", "envs"}


def test_a_second_build_changes_nothing_and_runs_no_pixi(spec: Spec, home: Path) -> None:
    path = Path(spec["path"])
    build(spec)
    (home / ".pixi/bin/pixi").write_text("#!/bin/sh\nexit 9\n")
    before = {str(file): (file.lstat().st_ino, file.lstat().st_mtime_ns) for file in path.rglob("*")}
    build(spec)
    assert {str(file): (file.lstat().st_ino, file.lstat().st_mtime_ns) for file in path.rglob("*")} == before


def test_an_upgrade_is_built_beside_and_old_ones_go(spec: Spec, home: Path, locks: dict[str, tuple[str, str]]) -> None:
    one, two = Path(spec["path"]), home / "releases/two"
    build(spec)
    switch_to(spec, one)
    build(spec | {"path": str(two), "manifest": locks["2.0"][0], "lock": locks["2.0"][1]})
    assert says(one) == "tool 1.0"
    assert says(two) == "tool 2.0"
    switch_to(spec, two)
    assert Path(spec["link"]).resolve() == two / ".pixi/envs/default"


@pytest.mark.parametrize(
    "damaged",
    ["conda-meta/tool-1.0-0.json", "lib/python3.{}/site-packages/extension-1.0.dist-info/RECORD"],
)
def test_damage_is_noticed_and_repaired_where_it_is(spec: Spec, damaged: str) -> None:
    path = Path(spec["path"])
    build(spec)
    switch_to(spec, path)
    inode = path.stat().st_ino
    (path / ".pixi/envs/default" / damaged.format(sys.version_info[1])).unlink()
    assert not is_complete(path)
    build(spec)
    assert is_complete(path)
    assert path.stat().st_ino == inode
    assert says(path) == "tool 1.0"


# --- refused --------------------------------------------------------------------------------------------------------


def refused(spec: Spec) -> str:
    """Why a build is refused; nothing of it may be taken for complete."""
    with pytest.raises(HostError) as caught:
        build(spec)
    assert not is_complete(Path(spec["path"]))
    return str(caught.value)


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


def test_a_tampered_pixi_is_refused(spec: Spec, tmp_path: Path, home: Path) -> None:
    program = b"#!/bin/sh\necho pixi 0.75.0\n"
    archive = tmp_path / "pixi.tar.gz"
    with tarfile.open(archive, "w:gz") as members:
        member = tarfile.TarInfo("pixi")
        member.size, member.mode = len(program), 0o755
        members.addfile(member, io.BytesIO(program))
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


def test_pixi_may_come_along(spec: Spec, pixi_archive: tuple[Path, dict[str, list[str]]]) -> None:
    content = base64.b64encode(pixi_archive[0].read_bytes()).decode()
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
    assert "could not run tool" in refused(spec | {"trials": [["tool"], ["python", "-c", "exit(3)"]]}).replace(
        "python", "tool"
    )


def test_a_persons_own_configuration_is_not_read(spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    monkeypatch.setenv("PIXI_CACHE_DIR", str(tmp_path / "person/cache"))
    monkeypatch.setenv("PIXI_CONFIG_FILE", "/nowhere")
    build(spec)
    assert not [name for name in (".cache", ".pixi", "cache") if (tmp_path / "person" / name).exists()]


# --- interrupted ----------------------------------------------------------------------------------------------------

_SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from jupyfleet_host import common, environment
sys.exit(common.run_script(environment.build, json.load(sys.stdin)))
"""


def start_build(spec: Spec) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", _SCRIPT, str(FILES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin
    process.stdin.write(json.dumps(spec))
    process.stdin.close()
    return process


def build_once_free(spec: Spec) -> None:
    """Build as soon as what was killed is gone; until then it must be refused."""
    give_up = time.monotonic() + 60
    while True:
        try:
            build(spec)
        except HostError as error:
            if "another deploy is at work" not in str(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.02)
        else:
            return


def test_killed_thirty_times_it_is_never_half_active_and_finished_by_the_next_run(spec: Spec) -> None:
    """The whole process group goes each time, as in a power cut; every run begins where the one before was killed."""
    chance, path = random.Random(4), Path(spec["path"])
    began = time.monotonic()
    build(spec)
    long = time.monotonic() - began
    half_finished = 0
    for number in range(30):
        if is_complete(path):
            (path / STAMP).unlink()
            (path / ".pixi/envs/default/conda-meta/tool-1.0-0.json").unlink(missing_ok=True)
        with start_build(spec) as process:
            time.sleep(chance.uniform(0.05, 0.1 + long))
            os.killpg(process.pid, signal.SIGKILL)
        half_finished += path.exists() and not (path / STAMP).exists()
        if (path / STAMP).exists():
            assert is_complete(path), f"kill {number}: what is stamped is not whole"
    assert half_finished >= 10, "the kills did not fall into the work"
    build_once_free(spec)
    assert is_complete(path)
    assert says(path) == "tool 1.0"
    assert says(path, "additiond") == "addition 1.0"


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
