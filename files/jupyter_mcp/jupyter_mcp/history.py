"""A room's update store: the history of its document, which a browser needs to go on after the server was restarted.

A tab that outlives the server comes back with the document that it has, and the two are joined by their histories. What
the file holds and the history does not is made anew from the file, and joined to what the tab has: twice in the
document. So the history is written before the file, never after it. The room by itself commits every change to the
store's database, four of them for one run of a cell, and each in three or more steps through a thread; here changes are
collected, and written as one, in one step.

Nothing here knows of files. What an answer promises is in the file, not here.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
from pycrdt import Doc, TransactionEvent, merge_updates

__all__ = ["History", "prepare_stores"]

# For changes that no save follows, like the mark that a document is saved.
_DELAY_SECONDS = 2.0
_MAX_EXPECTED = 1000
_DATABASE_SECONDS = 10.0
# How often a store writes a change by itself, and looks after the size and the age of what it has.
_UPKEEP_SECONDS = 10.0
# The connection to the database that sqlite_anyio passes to threads. See tests/test_history.py.
_CONNECTION = "_real_connection"


async def prepare_stores(make_store: Callable[..., Any], log: logging.Logger) -> None:
    """Call it before the first room begins. `make_store(path=…, log=…)` makes an update store.

    Stores in a database of SQLite make it when they start: all at once when many start in a new workspace, so that all
    but one fail, and their rooms wait for ever. And they keep it locked from a statement's execution to its commit,
    which are turns of the event loop, while all others try and soon give up: changes are lost. So the database is made
    here, and all stores take turns.
    """
    store = make_store(path="", log=log)
    if not hasattr(store, "db_path"):
        return
    lock = anyio.Lock()
    # Rooms of tabs make stores of this class as well, with a lock each that would only guard them from themselves.
    type(store).lock = property(lambda store: lock, lambda store, own: None)
    running = asyncio.create_task(store.start())
    try:
        async with asyncio.timeout(_DATABASE_SECONDS):
            while store.db_initialized is None or not store.db_initialized.is_set():
                if running.done():
                    await running
                await asyncio.sleep(0.002)
        await store.stop()
    except Exception as error:
        log.error("jupyter_mcp: the database of shared documents cannot be used: %r", error)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _insert(connection: sqlite3.Connection, *row: str | bytes | float | None) -> None:
    with connection:
        connection.execute("INSERT INTO yupdates VALUES (?, ?, ?, ?)", row)


class History:
    """Takes the place of `store.write` (a pycrdt.store.BaseYStore) for the document, until `close`."""

    def __init__(self, store: Any, document: Doc[Any], log: logging.Logger) -> None:
        self._store = store
        self._document = document
        self._log = log
        self._plain_write = store.write
        self._upkeep_due = 0.0
        self._waiting: list[bytes] = []
        # Seen here in the moment in which they are made; the room passes them on later, when a save may have begun
        # that includes them.
        self._expected: deque[bytes] = deque(maxlen=_MAX_EXPECTED)
        self._writing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._late: asyncio.Task[None] | None = None
        self._subscription = document.observe(self._changed)
        store.write = self._passed_on

    def close(self) -> None:
        """The room writes for itself again; what waits here is still written."""
        self._document.unobserve(self._subscription)
        if self._store.__dict__.get("write") == self._passed_on:
            del self._store.write

    def _changed(self, event: TransactionEvent) -> None:
        self._expected.append(event.update)
        self._collect(event.update)

    async def _passed_on(self, change: bytes) -> None:
        try:
            self._expected.remove(change)
        except ValueError:
            # From before this began, or encoded otherwise; a change that is stored twice counts once.
            self._collect(change)

    def _collect(self, change: bytes) -> None:
        self._waiting.append(change)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_DELAY_SECONDS, self._due)

    def _due(self) -> None:
        self._timer = None
        self._late = asyncio.create_task(self.flush())

    async def flush(self) -> None:
        """Return when every change until now is in the store. One that cannot be written is tried again later."""
        async with self._writing:
            if not self._waiting:
                return
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            changes, self._waiting = self._waiting, []
            together = changes[0] if len(changes) == 1 else merge_updates(*changes)
            try:
                await self._write(together)
            except Exception as error:
                self._log.warning("jupyter_mcp: the history of a notebook was not written: %s", error)
                self._waiting.insert(0, together)

    async def _write(self, change: bytes) -> None:
        connection = getattr(getattr(self._store, "_db", None), _CONNECTION, None)
        now = time.monotonic()
        if connection is None or now >= self._upkeep_due:
            self._upkeep_due = now + _UPKEEP_SECONDS
            await self._plain_write(change)
            return
        compress = self._store._compress
        async with self._store.lock:
            metadata = await self._store.get_metadata()
            row = (self._store.path, compress(change) if compress else change, metadata, time.time())
            # To its end, also when this task is cancelled: the lock is for the connection.
            await anyio.to_thread.run_sync(_insert, connection, *row)
