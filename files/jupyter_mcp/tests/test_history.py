"""The update stores of rooms: many at once, and changes that are written together."""

from __future__ import annotations

import asyncio
import functools
import logging
from pathlib import Path
from typing import Any

import pytest
from jupyter_server_ydoc.stores import SQLiteYStore
from pycrdt import Doc, Text
from traitlets.config import Config

from jupyter_mcp.history import History, prepare_stores

LOG = logging.getLogger("test")


@pytest.fixture
def make_store(tmp_path: Path) -> Any:
    # A class of its own, for it is changed.
    plain = type("SQLiteYStore", (SQLiteYStore,), {"db_path": str(tmp_path / "store.db")})
    return functools.partial(plain, config=Config())


async def stored(store: Any) -> str:
    """The text of the document that a new room would get from the store."""
    document = Doc()
    await store.apply_updates(document)
    return str(document.get("text", type=Text))


async def test_many_stores_start_and_write_at_once(make_store: Any, caplog: pytest.LogCaptureFixture) -> None:
    await prepare_stores(make_store, LOG)
    stores = [make_store(path=f"room {number}", log=LOG) for number in range(60)]
    running = [asyncio.create_task(store.start()) for store in stores]
    await asyncio.gather(*(store.started.wait() for store in stores))

    async def work(number: int) -> None:
        for change in range(3):
            document: Doc[Any] = Doc(client_id=change + 1)
            document.get("text", type=Text).insert(0, f"{number}.{change} ")
            await stores[number].write(document.get_update())

    async with asyncio.timeout(60):
        await asyncio.gather(*(work(number) for number in range(60)))
        for number, store in enumerate(stores):
            assert sorted((await stored(store)).split()) == [f"{number}.{change}" for change in range(3)]
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []
    await asyncio.gather(*(store.stop() for store in stores))
    await asyncio.gather(*running, return_exceptions=True)


async def test_changes_are_written_together_and_all_of_them(make_store: Any) -> None:
    await prepare_stores(make_store, LOG)
    store = make_store(path="room", log=LOG)
    running = asyncio.create_task(store.start())
    await store.started.wait()
    writes = 0
    plain = store.write

    async def counted(data: bytes) -> None:
        nonlocal writes
        writes += 1
        await plain(data)

    store.write = counted
    document: Doc[Any] = Doc()
    text = document.get("text", type=Text)
    text += "before; "
    early = document.get_update()
    history = History(store, document, LOG)
    # As a room does it: later, and this one from before.
    await store.write(early)
    for number in range(20):
        before = document.get_state()
        text += f"{number} "
        await store.write(document.get_update(before))
    assert writes == 0
    await history.flush()
    assert writes == 1
    assert await stored(store) == str(text)
    await history.flush()
    assert writes == 1, "nothing is written twice"
    text += "after"
    history.close()
    await history.flush()
    assert await stored(store) == str(text), "what was waiting is still written"
    text += " and on"
    await store.write(document.get_update())
    assert await stored(store) == str(text), "the store is as it was"
    await store.stop()
    await asyncio.gather(running, return_exceptions=True)


async def test_many_writes_of_which_few_are_the_stores_own(make_store: Any) -> None:
    """Whichever way a change is written, all of them are there, and what somebody else wrote in between."""
    await prepare_stores(make_store, LOG)
    stores = [make_store(path=path, log=LOG) for path in ("one", "two")]
    running = [asyncio.create_task(store.start()) for store in stores]
    await asyncio.gather(*(store.started.wait() for store in stores))
    own = 0

    def counting(plain: Any) -> Any:
        async def write(data: bytes) -> None:
            nonlocal own
            own += 1
            await plain(data)

        return write

    documents: list[Doc[Any]] = [Doc(), Doc()]
    for store in stores:
        store.write = counting(store.write)
    histories = [History(store, document, LOG) for store, document in zip(stores, documents, strict=True)]

    async def work(number: int) -> None:
        text = documents[number].get("text", type=Text)
        for change in range(150):
            text += f"{change} "
            await histories[number].flush()

    await asyncio.gather(work(0), work(1))
    # One for each room; a slow machine may come to the next.
    assert 2 <= own < 20
    for store, document in zip(stores, documents, strict=True):
        assert await stored(store) == str(document.get("text", type=Text))
    await asyncio.gather(*(store.stop() for store in stores))
    await asyncio.gather(*running, return_exceptions=True)


async def test_what_cannot_be_written_is_tried_again(make_store: Any) -> None:
    class Broken:
        def __init__(self) -> None:
            self.broken, self.written = True, []

        async def write(self, data: bytes) -> None:
            if self.broken:
                raise OSError("no space")
            self.written.append(data)

    store: Any = Broken()
    document: Doc[Any] = Doc()
    history = History(store, document, LOG)
    text = document.get("text", type=Text)
    text += "one "
    await history.flush()
    text += "two"
    store.broken = False
    await history.flush()
    again: Doc[Any] = Doc()
    for update in store.written:
        again.apply_update(update)
    assert str(again.get("text", type=Text)) == "one two"
    history.close()
