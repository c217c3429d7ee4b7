"""Which processes belong to a site, read from /proc: by their environment, never by their name or command line.

supervisord is started with ``JUPYFLEET_SITE``, and the server, kernels and terminals inherit it; no person sets it.
(Under emulation of another architecture a command line shows the emulator, so it tells nothing.)
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

PROC = Path("/proc")
#: The variable that marks the processes of a site; its value is the home.
MARK = "JUPYFLEET_SITE"


def listeners(bind: str, port: int) -> Iterator[str]:
    """The sockets that keep another one from listening on an address and port, as /proc/PID/fd names them.

    They come while the tables are read: to read one to its end, the kernel goes through all connections that there
    could be, some 5 ms, and the sockets that listen are the first. (proc_pid_net(5): state 0A is LISTEN, and addresses
    are in groups of four bytes in the machine's order.)
    """
    wanted = ipaddress.ip_address(bind)
    tables = ("net/tcp", "net/tcp6") if wanted.version == 4 else ("net/tcp6", "net/tcp")
    for table in tables:
        with contextlib.suppress(OSError), (PROC / table).open() as lines:
            next(lines)  # The heading.
            for line in lines:
                fields = line.split()
                address_text, _, port_text = fields[1].rpartition(":")
                if fields[3] != "0A" or int(port_text, 16) != port:
                    continue
                address = _address(address_text)
                if address == wanted or address.is_unspecified or wanted.is_unspecified:
                    yield f"socket:[{fields[9]}]"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    groups = [int(text[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(text), 8)]
    return ipaddress.ip_address(b"".join(groups))


def holders(socket: str) -> list[int]:
    """The processes that have a socket open, as far as this user may see."""
    return [pid for pid in _pids() if _holds(PROC / str(pid), socket)]


def of_site(home: str) -> list[int]:
    """The processes of the site in `home`, without this one and those it was started from."""
    ours = _ancestors()
    return [pid for pid in _pids() if pid not in ours and site_of(pid) == home]


def site_of(pid: int) -> str | None:
    """The home of the site that a process belongs to."""
    return environment_of(pid).get(MARK)


def environment_of(pid: int) -> dict[str, str]:
    """The variables that a process was started with; none where they may not be seen."""
    text = _read(PROC / str(pid) / "environ").decode(errors="replace")
    return {name: value for name, _, value in (variable.partition("=") for variable in text.split("\0")) if name}


def name_of(pid: int) -> str:
    return _read(PROC / str(pid) / "comm").decode(errors="replace").strip() or "?"


def end(pids: Iterable[int], patience: float = 10) -> None:
    """End processes by their ids: politely, and after `patience` seconds for good."""
    left = set(pids)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        left = wait_for_end(left, patience)
        if not left:
            return


def wait_for_end(pids: Iterable[int], patience: float) -> set[int]:
    """Wait until processes are gone; those that are still there after `patience` seconds are the answer."""
    left, give_up = {pid for pid in pids if _is_alive(pid)}, time.monotonic() + patience
    while left and time.monotonic() < give_up:
        time.sleep(0.05)
        left = {pid for pid in left if _is_alive(pid)}
    return left


def _is_alive(pid: int) -> bool:
    """A zombie has ended: only its parent has not looked yet."""
    stat = _read(PROC / str(pid) / "stat")
    return bool(stat) and stat.rpartition(b")")[2].split()[:1] != [b"Z"]


def _pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def _holds(process: Path, socket: str) -> bool:
    with contextlib.suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                if str(descriptor.readlink()) == socket:
                    return True
    return False


def _ancestors() -> set[int]:
    found, pid = set(), os.getpid()
    while pid > 1:
        found.add(pid)
        status = _read(PROC / str(pid) / "stat").rpartition(b")")[2].split()
        pid = int(status[1]) if len(status) > 1 else 0
    return found


def _read(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""
