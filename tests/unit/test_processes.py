"""Processes of a site, found by their environment and ended by their ids; strangers are left alone."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.paths import FILES
from jupyfleet_host import processes
from jupyfleet_host.processes import MARK

_SLEEP = "print('ready', flush=True); import time; time.sleep(60)"
_STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + _SLEEP


@contextlib.contextmanager
def program(code: str = _SLEEP, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has said 'ready', and does not outlive the test."""
    command = [sys.executable, "-S", "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | environ) as process:
        assert process.stdout
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def test_a_process_belongs_to_the_site_that_its_environment_names(tmp_path: Path) -> None:
    home = f"{tmp_path}/a home ü"
    with program(**{MARK: home}) as process, program(**{MARK: home + "2"}) as other:
        assert processes.site_of(process.pid) == home
        assert processes.of_site(home) == [process.pid]
        assert processes.of_site(home + "2") == [other.pid]


def test_kernels_and_terminals_belong_to_the_site_of_the_server_that_started_them(tmp_path: Path) -> None:
    child = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-S', '-c', {_SLEEP!r}]); p.wait()"
    with program(child, **{MARK: str(tmp_path)}) as server:
        found = processes.of_site(str(tmp_path))
        assert server.pid in found
        assert len(found) == 2
        processes.end(found)
        assert processes.of_site(str(tmp_path)) == []


def test_a_name_or_command_line_makes_nobody_part_of_a_site(tmp_path: Path) -> None:
    code = f"'{MARK}={tmp_path}'; " + _SLEEP
    with program(code, **{"NOT_" + MARK: str(tmp_path), "X": f"y {MARK}={tmp_path}"}):
        assert processes.of_site(str(tmp_path)) == []


def test_a_deploy_from_a_terminal_of_the_site_does_not_end_itself(tmp_path: Path) -> None:
    """Neither the script nor what it was started from is among the processes to end."""
    code = (
        f"import sys; sys.path.insert(0, {str(FILES)!r}); from jupyfleet_host import processes;"
        f"print(processes.of_site({str(tmp_path)!r}))"
    )
    shell = ["sh", "-c", '"$0" -S -c "$1"; exit 0', sys.executable, code]
    environ = os.environ | {MARK: str(tmp_path)}
    done = subprocess.run(shell, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_of_a_process_that_is_not_there_nothing_is_known() -> None:
    with program() as process:
        process.kill()
    assert processes.site_of(process.pid) is None
    assert processes.name_of(process.pid) == "?"


def test_a_process_has_the_name_that_the_system_shows() -> None:
    assert processes.name_of(os.getpid()) == Path("/proc/self/comm").read_text().strip()


# --- ports ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_who_listens_on_a_port_is_found(family: socket.AddressFamily, address: str) -> None:
    try:
        listener = socket.create_server((address, 0), family=family)
    except OSError as error:
        pytest.skip(f"this machine has no {address}: {error}")
    with listener:
        port = listener.getsockname()[1]
        [found] = processes.listeners(address, port)
        assert processes.holders(found) == [os.getpid()]
    assert list(processes.listeners(address, port)) == []
    assert processes.holders(found) == []


def test_only_who_is_in_the_way_of_an_address_counts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
        with socket.create_server(("127.0.0.2", port)):
            [first], [second] = processes.listeners("127.0.0.1", port), processes.listeners("127.0.0.2", port)
            assert first != second
            assert list(processes.listeners("127.0.0.3", port)) == []
            assert set(processes.listeners("0.0.0.0", port)) >= {first, second}
    with socket.create_server(("0.0.0.0", 0)) as every:
        assert len(list(processes.listeners("127.0.0.3", every.getsockname()[1]))) == 1


def test_a_connection_to_a_port_is_no_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, listener.accept()[0]:
            assert len(list(processes.listeners("127.0.0.1", port))) == 1
            assert list(processes.listeners("127.0.0.1", client.getsockname()[1])) == []


def test_all_who_share_a_socket_are_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-S", "-c", _SLEEP]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=[listener.fileno()]) as child:
            try:
                [found] = processes.listeners("127.0.0.1", listener.getsockname()[1])
                assert sorted(processes.holders(found)) == sorted([os.getpid(), child.pid])
            finally:
                child.kill()


# --- the end --------------------------------------------------------------------------------------------------------


def test_a_process_is_asked_to_end_before_it_is_made_to() -> None:
    polite = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); " + _SLEEP
    with program(polite) as process:
        processes.end([process.pid])
        assert process.wait() == 7


def test_one_that_does_not_listen_is_ended_for_good() -> None:
    with program(_STUBBORN) as process:
        began = time.monotonic()
        processes.end([process.pid], patience=0.5)
        assert 0.5 <= time.monotonic() - began < 5
        assert process.wait() == -signal.SIGKILL


def test_one_that_was_stopped_is_ended_too() -> None:
    with program() as process:
        process.send_signal(signal.SIGSTOP)
        while ") T " not in Path(f"/proc/{process.pid}/stat").read_text():
            time.sleep(0.01)
        processes.end([process.pid], patience=0.3)
        assert process.wait() == -signal.SIGKILL


def test_a_stranger_survives_and_one_that_has_gone_is_no_error() -> None:
    with program() as gone:
        gone.kill()
        gone.wait()
        with program() as stranger, program() as ours:
            processes.end([gone.pid, ours.pid])
            assert ours.wait() == -signal.SIGTERM
            assert stranger.poll() is None


def test_a_zombie_has_ended() -> None:
    with program("print('ready', flush=True)") as process:
        began = time.monotonic()
        assert processes.wait_for_end([process.pid], 10) == set()
        assert time.monotonic() - began < 5
        assert Path(f"/proc/{process.pid}").exists(), "nobody has looked after it yet, so it is a zombie"


def test_those_that_stay_are_the_answer() -> None:
    with program() as process:
        assert processes.wait_for_end([process.pid], 0.2) == {process.pid}
        assert processes.wait_for_end([], 10) == set()


def test_ending_nothing_takes_no_time() -> None:
    began = time.monotonic()
    processes.end([])
    assert time.monotonic() - began < 0.5
