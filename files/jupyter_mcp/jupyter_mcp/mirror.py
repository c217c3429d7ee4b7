"""A live notebook's cell ids and the text of its file, kept up to date cell by cell.

Writing a notebook of 2,000 cells from scratch costs a third of a second; an edit changes one cell. The mirror observes
the shared document, forgets the text of exactly those cells that changed, and renders only these again. It never
changes the document. `render` gives, byte for byte, what nbformat would write (the tests compare the two).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from jupyter_ydoc import YNotebook
from pycrdt import Map

from .cells import cell_dict

__all__ = ["Mirror", "Rendered"]

_SPLIT_MIMES = {"application/javascript", "image/svg+xml"}
_TRANSIENT_METADATA = ("orig_nbformat", "orig_nbformat_minor", "signature")


@dataclass(frozen=True)
class Rendered:
    """The file of a notebook: `data` is its UTF-8 text, `version` the mirror's version that it shows.

    `trusted`: no code cell has outputs that the users of this server have not seen made, or marked as trusted.
    """

    data: bytes
    version: int
    cells: int
    trusted: bool


def _dumps(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, separators=(",", ": "))


def _split_bundle(bundle: dict[str, Any]) -> None:
    for mime, value in bundle.items():
        if isinstance(value, str) and (mime.startswith("text/") or mime in _SPLIT_MIMES):
            bundle[mime] = value.splitlines(True)


def _render(ycell: Map[Any], with_id: bool) -> tuple[str, bool]:
    """The cell's part of the file, and whether its outputs are trusted."""
    cell = cell_dict(ycell, keep_trust=True)
    trusted = bool(cell["metadata"].pop("trusted", False)) or not cell.get("outputs")
    if not with_id:
        cell.pop("id", None)
    if isinstance(cell.get("source"), str):
        cell["source"] = cell["source"].splitlines(True)
    for attachment in (cell.get("attachments") or {}).values():
        _split_bundle(attachment)
    for output in cell.get("outputs", ()):
        kind = output.get("output_type")
        if kind in ("execute_result", "display_data"):
            _split_bundle(output.get("data", {}))
        elif kind == "stream" and isinstance(output.get("text"), str):
            output["text"] = output["text"].splitlines(True)
    # Line breaks inside strings are escaped in JSON, so every line break here is one of the layout.
    return "  " + _dumps(cell).replace("\n", "\n  "), trusted


class Mirror:
    """Observes one notebook document; call `close` when its room goes."""

    def __init__(self, document: YNotebook) -> None:
        self._document = document
        self._ycells = document.ycells
        self._ymeta = document.ydoc.get("meta", type=Map)
        self._ids: list[str | None] = [None] * len(self._ycells)
        # Of each cell the text, None when it has changed, and whether its outputs are trusted.
        self._texts: list[str | None] = [None] * len(self._ycells)
        self._trusted = [True] * len(self._ycells)
        self._stale = False
        self._listeners: list[Callable[[], None]] = []
        self.version = 0
        self._subscriptions = [
            (self._ycells, self._ycells.observe_deep(self._on_cells)),
            (self._ymeta, self._ymeta.observe_deep(self._on_meta)),
        ]

    def close(self) -> None:
        for target, subscription in self._subscriptions:
            target.unobserve(subscription)
        self._subscriptions = []
        self._listeners = []

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after every transaction that changed cells or metadata; returns what removes it."""
        self._listeners.append(listener)

        def remove() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return remove

    def __len__(self) -> int:
        return len(self._ycells)

    @property
    def ids(self) -> list[str]:
        """The ids of all cells, in order."""
        self._settle()
        for position in _missing(self._ids):
            self._ids[position] = str(self._ycells[position].get("id") or "")
        return self._ids  # type: ignore[return-value]

    def render(self) -> Rendered:
        """The text of the file for the document as it is now. Runs without a pause, so it is one moment's state."""
        self._settle()
        meta = json.loads(str(self._ymeta))
        major, minor = int(meta.get("nbformat", 4)), int(meta.get("nbformat_minor", 5))
        with_id = (major, minor) >= (4, 5)
        for position in _missing(self._texts):
            self._texts[position], self._trusted[position] = _render(self._ycells[position], with_id)
        texts: list[str] = self._texts  # type: ignore[assignment]
        metadata = meta.get("metadata") or {}
        for key in _TRANSIENT_METADATA:
            metadata.pop(key, None)
        head = _dumps({"metadata": metadata, "nbformat": major, "nbformat_minor": minor})
        cells = "[\n" + ",\n".join(texts) + "\n ]" if texts else "[]"
        # '"cells"' sorts before the other three keys.
        data = '{\n "cells": ' + cells + "," + head[1:] + "\n"
        return Rendered(data.encode(), self.version, len(texts), all(self._trusted))

    def duplicate_ids(self) -> bool:
        """Whether two cells share an id (two clients may undo the same deletion)."""
        ids = self.ids
        return len(set(ids)) != len(ids)

    def _settle(self) -> None:
        if self._stale or len(self._ids) != len(self._ycells):
            self._ids = [None] * len(self._ycells)
            self._texts = [None] * len(self._ycells)
            self._trusted = [True] * len(self._ycells)
            self._stale = False

    def _changed(self) -> None:
        self.version += 1
        for listener in list(self._listeners):
            listener()

    def _on_meta(self, events: list[Any]) -> None:
        for event in events:
            # A change of the format decides whether ids are written.
            if not event.path and any(str(key).startswith("nbformat") for key in event.keys):
                self._texts = [None] * len(self._texts)
        self._changed()

    def _on_cells(self, events: list[Any]) -> None:
        try:
            # Paths of changes inside cells count positions after the insertions and deletions of the transaction.
            for event in events:
                if not event.path:
                    self._apply_delta(event.delta)
            for event in events:
                if event.path:
                    position = event.path[0]
                    self._texts[position] = None
                    if len(event.path) == 1 and "id" in (getattr(event, "keys", None) or ()):
                        self._ids[position] = None
        except Exception:
            # Better to render everything once more than to write a wrong text.
            self._stale = True
        self._changed()

    def _apply_delta(self, delta: list[dict[str, Any]]) -> None:
        position = 0
        for step in delta:
            if "retain" in step:
                position += step["retain"]
            elif "insert" in step:
                count = len(step["insert"])
                self._ids[position:position] = [None] * count
                self._texts[position:position] = [None] * count
                self._trusted[position:position] = [True] * count
                position += count
            elif "delete" in step:
                del self._ids[position : position + step["delete"]]
                del self._texts[position : position + step["delete"]]
                del self._trusted[position : position + step["delete"]]


def _missing(values: list[str | None]) -> Iterator[int]:
    """The positions of None, as many as there are: a loop over all others would cost more than a cell's rendering."""
    position = -1
    while True:
        try:
            position = values.index(None, position + 1)
        except ValueError:
            return
        yield position
