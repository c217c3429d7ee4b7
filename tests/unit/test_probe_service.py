"""The probe against supervisors: states, logs, and sockets without one."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
import urllib.parse
from pathlib import Path

from probe_servers import TOKEN, Host, Rude

from jupyfleet_host import (
    probe_service,
)


def test_service_names_pid_and_uptime(host: Host) -> None:
    host.passes("jupyter-service", "RUNNING, pid 4711, up 1:02:05")


def test_service_that_is_starting_gets_its_time(host: Host) -> None:
    host.supervisor.states = ["STARTING", "BACKOFF", "STARTING", "RUNNING"]
    host.passes("jupyter-service", "RUNNING", timeout=10)


def test_service_that_does_not_come_up_in_time(host: Host) -> None:
    host.supervisor.states = ["STARTING"]
    host.fails("jupyter-service", "jupyter is STARTING")


def test_service_fatal_says_its_last_words_without_the_token(host: Host) -> None:
    host.supervisor.states = ["FATAL"]
    host.supervisor.extra = {"spawnerr": "Exited too quickly"}
    quoted = urllib.parse.quote(TOKEN, safe="")
    host.supervisor.stderr = f"old\nhttp://x/lab?token={quoted}\ngot {TOKEN} {json.dumps(TOKEN)}\nPort 8888 is in use\n"
    checks = host.fails("jupyter-service", "FATAL (Exited too quickly)", "Port 8888 is in use", "***", timeout=30)
    assert checks["jupyter-service"]["seconds"] < 5


def test_service_log_cut_within_the_token(host: Host) -> None:
    host.supervisor.states = ["FATAL"]
    tail = f"{TOKEN[5:]}\nthe end "
    host.supervisor.stderr = f"{TOKEN[:5]}{tail}{'x' * (probe_service.LOG_BYTES - len(tail.encode()))}"
    detail = host.fails("jupyter-service", "the end")["jupyter-service"]["detail"]
    assert TOKEN[5:] not in detail


def test_service_log_on_standard_output(host: Host) -> None:
    host.supervisor.states = ["STOPPED"]
    host.supervisor.stderr = None
    host.supervisor.stdout = "bye\n"
    host.fails("jupyter-service", "STOPPED", "jupyfleet up", "bye")


def test_service_exited_names_its_code(host: Host) -> None:
    host.supervisor.states = ["EXITED"]
    host.supervisor.extra = {"exitstatus": 3}
    host.fails("jupyter-service", "EXITED (exit code 3)", "says nothing")


def test_service_unknown_to_supervisor(host: Host) -> None:
    host.fails("jupyter-service", "knows no program other", "jupyfleet up", program="other")


def test_supervisor_not_running(host: Host, sockets: Path) -> None:
    host.fails("jupyter-service", "supervisord does not run", supervisor_socket=str(sockets / "none"))
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(sockets / "old"))
    host.fails("jupyter-service", "supervisord does not run", supervisor_socket=str(sockets / "old"))


def test_supervisor_socket_that_is_no_supervisor(host: Host, sockets: Path) -> None:
    with socketserver.ThreadingUnixStreamServer(str(sockets / "x"), Rude) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        host.fails("jupyter-service", "gave no usable answer", supervisor_socket=str(sockets / "x"))
        server.shutdown()
    host.fails("jupyter-service", "gave no usable answer", supervisor_socket=f"/{'long' * 50}")
