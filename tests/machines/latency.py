"""A line with a delay: every byte to and from a host is held back by half a round trip, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from tests.machines.sshd_hosts import PORT as SSHD_PORT
from tests.machines.sshd_hosts import SshdHost

PORT = 2223


@contextlib.contextmanager
def far_away(hosts: Sequence[SshdHost], round_trip: float) -> Iterator[dict[str, dict[str, Any]]]:
    """Put hosts behind a line with a delay, in seconds; by host what pyinfra needs to know to take it."""
    network = hosts[0].network
    key = " ".join((network.keys / "host.pub").read_text().split()[:2])
    with network.known_hosts.open("a") as known:
        known.writelines(f"[{host.address}]:{PORT} {key}\n" for host in hosts)
    with delayed([host.address for host in hosts], SSHD_PORT, round_trip):
        yield {host.name: {"ssh_port": PORT} for host in hosts}


@contextlib.contextmanager
def delayed(addresses: Sequence[str], port: int, round_trip: float) -> Iterator[None]:
    """Serve each address at `PORT`, too, with a delay; `round_trip` is in seconds."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def serve() -> None:
        for address in addresses:
            await asyncio.start_server(lambda r, w, to=address: _relay(r, w, to, port, round_trip / 2), address, PORT)
        ready.set()

    async def end() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    serving = loop.create_task(serve())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    if not ready.wait(30) or serving.cancelled():
        raise RuntimeError("the delayed lines do not start")
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str, port: int, delay: float
) -> None:
    there, back = await asyncio.open_connection(address, port)
    for each in (writer, back):
        each.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A line that is taken down while somebody talks is no error; asyncio's streams would print it as one.
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(_pump(reader, back, delay), _pump(there, writer, delay), return_exceptions=True)
    for each in (writer, back):
        each.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def send() -> None:
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if not data:
                with contextlib.suppress(OSError):
                    writer.write_eof()
                return
            writer.write(data)

    sender = asyncio.ensure_future(send())
    data = b"-"
    while data:
        with contextlib.suppress(ConnectionError):
            data = b""
            data = await reader.read(65536)
        queue.put_nowait((time.monotonic() + delay, data))
    await sender
