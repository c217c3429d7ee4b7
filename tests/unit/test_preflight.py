"""Preflight: a host that cannot work is told why in a sentence, and nothing on it changes."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyfleet_host import preflight

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")


def spec(top: Path, **changes: Any) -> dict[str, Any]:
    return {
        "scope": "user",
        "user": None,
        "home": str(top / "home"),
        "workspace_mount": "directory",
        "workspace": str(top / "home/workspace"),
        "lock_file": str(top / "home/.jupyfleet.lock"),
        "bind": "127.0.0.1",
        "port": free_port(),
        "python": sys.executable,
    } | changes


def problems(top: Path, **changes: Any) -> list[str]:
    """What preflight finds; that it changed nothing is seen to each time."""
    before = sorted(str(path) for path in top.rglob("*"))
    found: list[str] = preflight.check(spec(top, **changes))["problems"]
    assert sorted(str(path) for path in top.rglob("*")) == before
    assert all(sentence.endswith((".", ".)")) and "\n" not in sentence for sentence in found)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


# --- all is well ----------------------------------------------------------------------------------------------------


def test_a_host_with_python_room_and_a_free_port_is_good(tmp_path: Path) -> None:
    assert preflight.check(spec(tmp_path)) == {
        "problems": [],
        "python": platform.python_version(),
        "machine": platform.machine(),
        "family": None,
        "selinux": Path("/sys/fs/selinux/enforce").exists(),
    }


def test_directories_that_are_there_already_are_good(tmp_path: Path) -> None:
    (tmp_path / "home/workspace").mkdir(parents=True)
    assert problems(tmp_path) == []


def test_a_workspace_may_be_a_link_to_a_directory(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "work").symlink_to("disk")
    assert problems(tmp_path, workspace=str(tmp_path / "work")) == []


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    found = problems(tmp_path, python="no-such-python", bind="203.0.113.7")
    assert [sentence.split()[0:2] for sentence in found] == [
        ["no-such-python", "does"],
        ["the", "home"],
        ["the", "workspace"],
        ["203.0.113.7", "is"],
    ]


# --- the port -------------------------------------------------------------------------------------------------------

_LISTEN = """
import socket, sys
s = socket.create_server((sys.argv[1], 0), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print(s.getsockname()[1], flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def listening(address: str = "127.0.0.1", **environ: str) -> Iterator[tuple[int, int]]:
    """A program that listens on a port: its process id and the port."""
    with subprocess.Popen(
        [sys.executable, "-c", _LISTEN, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environ,
    ) as process:
        assert process.stdout
        try:
            yield process.pid, int(process.stdout.readline())
        finally:
            process.kill()


def test_a_port_that_a_stranger_has_is_told_with_the_stranger(tmp_path: Path) -> None:
    with listening() as (pid, port):
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        [sentence] = problems(tmp_path, port=port)
    assert sentence.startswith(f"port {port} on 127.0.0.1 is taken by process {pid} ({name}).")
    assert "jupyter_port" in sentence
    assert problems(tmp_path, port=port) == []


@pytest.mark.parametrize(("theirs", "ours"), [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1")])
def test_a_stranger_on_all_addresses_has_each_of_them(tmp_path: Path, theirs: str, ours: str) -> None:
    with listening(theirs) as (pid, port):
        [sentence] = problems(tmp_path, port=port, bind=ours)
    assert f"port {port} on {ours} is taken by process {pid} " in sentence


def test_a_stranger_on_ipv6_is_found_too(tmp_path: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    with listening("::1") as (pid, port):
        [sentence] = problems(tmp_path, port=port, bind="::1")
    assert f"taken by process {pid} " in sentence


def test_a_port_that_the_site_itself_has_is_no_problem(tmp_path: Path) -> None:
    with listening(JUPYFLEET_SITE=str(tmp_path / "home")) as (_, port):
        assert problems(tmp_path, port=port) == []


def test_another_site_is_a_stranger(tmp_path: Path) -> None:
    with listening(JUPYFLEET_SITE=str(tmp_path / "home2")) as (pid, port):
        [sentence] = problems(tmp_path, port=port)
    assert f"taken by process {pid} " in sentence


def test_a_port_that_was_used_a_moment_ago_is_free(tmp_path: Path) -> None:
    """Connections that linger in TIME-WAIT after a restart must not look like a stranger."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            listener.accept()[0].close()
    assert problems(tmp_path, port=port) == []


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path, bind="203.0.113.7") == ["203.0.113.7 is no address of this host. Set jupyter_bind."]


# --- directories ----------------------------------------------------------------------------------------------------


def test_a_workspace_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "work").touch()
    [sentence] = problems(tmp_path, workspace=str(tmp_path / "work"))
    assert (
        sentence == f"the workspace {tmp_path}/work is a file, not a directory. Move it away or set jupyter_workspace."
    )


def test_a_parent_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "srv").touch()
    [sentence] = problems(tmp_path, workspace=str(tmp_path / "srv/a/work"))
    assert f"{tmp_path}/srv/a/work cannot be made: {tmp_path}/srv is a file" in sentence


def test_a_link_to_a_disk_that_is_not_mounted_is_named(tmp_path: Path) -> None:
    (tmp_path / "work").symlink_to("/mnt/not-mounted-here")
    [sentence] = problems(tmp_path, workspace=str(tmp_path / "work"))
    assert f"{tmp_path}/work is a link to /mnt/not-mounted-here, which is not there" in sentence


def test_a_read_only_file_system_is_named_even_to_root(tmp_path: Path) -> None:
    """In a namespace of its own, so that no mount is left behind."""
    code = (
        "import json, sys; from jupyfleet_host import preflight as p; print(json.dumps(p.check(json.load(sys.stdin))))"
    )
    mounted = f'mount -t tmpfs -o ro none \'{tmp_path}/mnt\' && exec "$0" "$@"'
    (tmp_path / "mnt").mkdir()
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted, sys.executable, "-c", code],
        input=json.dumps(spec(tmp_path, home=str(tmp_path / "mnt/home"))),
        env=os.environ | {"PYTHONPATH": str(Path(preflight.__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and ("unshare" in done.stderr or "mount" in done.stderr):
        pytest.skip(f"this machine allows no namespaces: {done.stderr.strip()}")
    [sentence] = json.loads(done.stdout)["problems"]
    assert sentence == (f"the home {tmp_path}/mnt/home is on a read-only file system. Remount it or set jupyter_home.")


# --- as a user without rights ---------------------------------------------------------------------------------------


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that another user may look into, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        yield Path(scratch)


def problems_of_nobody(top: Path, **changes: Any) -> list[str]:
    """What preflight finds for a user who owns nothing: in a child process that gives up root for good."""
    python = top / "python3"
    python.write_text("#!/bin/sh\necho 3 12 1\n")
    python.chmod(0o755)
    asked = spec(top, python=str(python)) | changes
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(send, json.dumps(preflight.check(asked)["problems"]).encode())
        except BaseException as error:
            os.write(send, json.dumps([f"raised {error!r}"]).encode())
        finally:
            os._exit(0)
    os.close(send)
    os.waitpid(child, 0)
    with os.fdopen(receive) as said:
        found: list[str] = json.load(said)
    return found


@as_root
def test_a_user_without_rights_may_deploy_into_a_directory_of_their_own(open_directory: Path) -> None:
    (open_directory / "home").mkdir()
    os.chown(open_directory / "home", NOBODY, NOBODY)
    assert problems_of_nobody(open_directory) == []


@as_root
def test_a_home_of_another_user_is_refused_with_the_user_s_name(open_directory: Path) -> None:
    (open_directory / "home").mkdir()
    [home, workspace] = problems_of_nobody(open_directory)
    assert home.startswith(f"the home {open_directory}/home is not writable for user no")
    assert home.endswith("Change its owner or mode, or set jupyter_home.")
    assert f"cannot be made in {open_directory}/home, which is not writable" in workspace


@as_root
@pytest.mark.parametrize("is_there", [False, True])
def test_a_home_that_a_user_may_not_even_look_for_is_refused_in_a_sentence(
    open_directory: Path, is_there: bool
) -> None:
    closed = open_directory / "closed"
    (closed / "home" if is_there else closed).mkdir(parents=True)
    closed.chmod(0o700)
    own = open_directory / "own"
    own.mkdir()
    os.chown(own, NOBODY, NOBODY)
    [sentence] = problems_of_nobody(open_directory, home=str(closed / "home"), workspace=str(own))
    assert f"the home {closed}/home cannot be made in {closed}, which is not writable for user" in sentence


@as_root
def test_a_directory_that_may_be_written_but_not_searched_is_refused(open_directory: Path) -> None:
    (open_directory / "home").mkdir(mode=0o700)
    os.chown(open_directory / "home", NOBODY, NOBODY)
    (open_directory / "home").chmod(0o600)
    assert "is not writable" in problems_of_nobody(open_directory)[0]


@as_root
def test_a_port_for_root_alone_is_refused(open_directory: Path) -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if first < 2:
        pytest.skip("this machine lets everyone have every port")
    os.chown(open_directory, NOBODY, NOBODY)
    [sentence] = problems_of_nobody(open_directory, port=first - 1)
    assert sentence == f"port {first - 1} needs root. Set jupyter_port to 1024 or above."


@as_root
def test_a_stranger_who_may_not_be_looked_at_is_at_least_another_user(open_directory: Path) -> None:
    os.chown(open_directory, NOBODY, NOBODY)
    with listening() as (_, port):
        [sentence] = problems_of_nobody(open_directory, port=port)
    assert f"port {port} on 127.0.0.1 is taken by a process of another user." in sentence


# --- Python ---------------------------------------------------------------------------------------------------------


def interpreter(top: Path, script: str) -> str:
    path = top / "fake-python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("version", ["3.9.21", "3.10.0", "2.7.18"])
def test_a_python_that_is_too_old_is_refused_with_its_version(tmp_path: Path, version: str) -> None:
    python = interpreter(tmp_path, f"echo {version.replace('.', ' ')}")
    [sentence] = problems(tmp_path, python=python)
    assert sentence == f"{python} is Python {version}, and 3.11 is needed. Set jupyter_python."


@pytest.mark.parametrize("version", ["3.11.0", "3.13.1", "4.0.0"])
def test_a_python_that_is_new_enough_is_good(tmp_path: Path, version: str) -> None:
    assert problems(tmp_path, python=interpreter(tmp_path, f"echo {version.replace('.', ' ')}")) == []


@pytest.mark.parametrize("script", ["exit 1", "true", "echo Python 3.12", "printf '\\377'", "kill -9 $$"])
def test_what_answers_like_no_python_does_not_run(tmp_path: Path, script: str) -> None:
    python = interpreter(tmp_path, script)
    [sentence] = problems(tmp_path, python=python)
    assert sentence.startswith(
        f"{python} does not run on this host. Install Python 3.11 or newer, or set jupyter_python"
    )


@pytest.mark.parametrize("python", ["no-such-python-here", "/no/such/python", "/", "/etc/passwd"])
def test_a_python_that_is_not_there_is_asked_for(tmp_path: Path, python: str) -> None:
    [sentence] = problems(tmp_path, python=python)
    assert sentence.startswith(f"{python} does not run on this host")


def test_a_home_that_is_somebodys_is_not_taken_over(tmp_path: Path) -> None:
    asked = spec(tmp_path)
    (tmp_path / "home/tools").mkdir(parents=True)
    [problem] = preflight.check(asked)["problems"]
    assert "holds tools and was not made by jupyfleet" in problem


def test_a_home_that_jupyfleet_made_or_that_holds_only_a_workspace_is_used(tmp_path: Path) -> None:
    asked = spec(tmp_path)
    (tmp_path / "home/workspace").mkdir(parents=True)
    assert preflight.check(asked)["problems"] == []
    (tmp_path / "home/tools").mkdir()
    Path(asked["lock_file"]).touch()
    assert preflight.check(asked)["problems"] == []
