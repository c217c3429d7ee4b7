"""Reading and editing cells on the live shared document, in place.

A cell is a shared Map whose source is a shared Text. Browsers hold on to both, so an edit changes characters of the
Text and never puts another Text in its place; a change of type or of position has to make a new Map (Yjs 13 cannot
move or retype one) and keeps the cell's id. Functions of plain arguments: no room, no lock, no disk.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any

from jupyter_ydoc import YNotebook
from pycrdt import Array, Map, Text

from .errors import CellNotFound, CellRefused

__all__ = [
    "CELL_TYPES",
    "Cell",
    "cell_dict",
    "change_type",
    "delete_cell",
    "insert_cell",
    "move_cell",
    "resolve_index",
    "resolve_insert_index",
    "set_source",
    "shared_cell",
    "source_hash",
    "upgrade_nbformat",
]

CELL_TYPES = ("code", "markdown", "raw")
# Beyond this many lines a line-by-line comparison costs more than it preserves.
_MAX_DIFF_LINES = 3000

Cell = dict[str, Any]


def source_hash(source: str) -> str:
    """A short fingerprint of a cell's source: 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def check_cell_type(cell_type: str) -> str:
    if cell_type not in CELL_TYPES:
        raise CellRefused(f"Unknown cell_type {cell_type!r}. Use 'code', 'markdown' or 'raw'.")
    return cell_type


def resolve_index(count: int, index: int) -> int:
    """The position meant by `index` in a notebook of `count` cells; -1 is the last cell."""
    if isinstance(index, bool) or not isinstance(index, int):
        raise CellNotFound("The index must be a whole number.")
    position = index + count if index < 0 else index
    if not 0 <= position < count:
        if count == 0:
            raise CellNotFound("The notebook has no cells. Use cell_insert to add one.")
        raise CellNotFound(
            f"There is no cell {index}: the notebook has {count} cells, 0 to {count - 1} (-1 is the last)."
        )
    return position


def resolve_insert_index(count: int, index: int) -> int:
    """The position at which a new cell goes; `count` or -1 appends, -2 puts it before the last cell."""
    if isinstance(index, bool) or not isinstance(index, int):
        raise CellNotFound("The index must be a whole number.")
    position = index + count + 1 if index < 0 else index
    if not 0 <= position <= count:
        raise CellNotFound(
            f"Cannot insert at {index}: the notebook has {count} cells. Use 0 to {count}, or -1 to append."
        )
    return position


def cell_dict(ycell: Map[Any], *, keep_trust: bool = False) -> Cell:
    """The cell as nbformat has it (source and texts joined), without what only lives in the shared document.

    One call into the shared document, whatever the cell holds: `Map.to_py` takes one call per value.
    """
    cell: Cell = json.loads(str(ycell))
    cell.pop("execution_state", None)
    metadata = cell.setdefault("metadata", {})
    if not keep_trust:
        metadata.pop("trusted", None)
    if cell.get("cell_type") == "code":
        cell.setdefault("outputs", [])
        cell.setdefault("execution_count", None)
    elif not cell.get("attachments", True):
        del cell["attachments"]
    return cell


def shared_cell(document: YNotebook, position: int) -> Map[Any]:
    """The shared Map of the cell at a position that has been checked."""
    ycell: Map[Any] = document.ycells[position]
    return ycell


def _hunks(before: str, after: str) -> Iterator[tuple[int, int, str]]:
    """The replacements (start, end, text), in characters and in order, that turn `before` into `after`."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    if len(old) > _MAX_DIFF_LINES or len(new) > _MAX_DIFF_LINES:
        yield from _trimmed(before, after, 0)
        return
    offsets = [0]
    for line in old:
        offsets.append(offsets[-1] + len(line))
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            yield from _trimmed("".join(old[i1:i2]), "".join(new[j1:j2]), offsets[i1])


def _trimmed(before: str, after: str, offset: int) -> Iterator[tuple[int, int, str]]:
    start = 0
    limit = min(len(before), len(after))
    while start < limit and before[start] == after[start]:
        start += 1
    end = 0
    while end < limit - start and before[-1 - end] == after[-1 - end]:
        end += 1
    old_end = len(before) - end
    text = after[start : len(after) - end]
    if start != old_end or text:
        yield offset + start, offset + old_end, text


def set_source(document: YNotebook, ycell: Map[Any], source: str) -> bool:
    """Turn the cell's source into `source` by the smallest edits of its Text; whether anything changed.

    What others type at the same moment in untouched places stays.
    """
    text = ycell["source"]
    if not isinstance(text, Text):
        ycell["source"] = Text(source)
        return True
    before = str(text)
    if before == source:
        return False
    edits = [
        # The shared Text counts bytes of UTF-8.
        (len(before[:start].encode()), len(before[:end].encode()), new)
        for start, end, new in _hunks(before, source)
    ]
    with document.ydoc.transaction():
        for start, end, new in reversed(edits):
            if end > start:
                del text[start:end]
            if new:
                text.insert(start, new)
    return True


def new_cell(source: str, cell_type: str) -> Cell:
    cell: Cell = {"id": str(uuid.uuid4()), "cell_type": check_cell_type(cell_type), "metadata": {}, "source": source}
    if cell_type == "code":
        # A cell without outputs has nothing that could be untrusted.
        cell |= {"metadata": {"trusted": True}, "outputs": [], "execution_count": None}
    return cell


def insert_cell(document: YNotebook, position: int, source: str, cell_type: str) -> str:
    """Insert a new cell at a checked position; its id."""
    cell = new_cell(source, cell_type)
    with document.ydoc.transaction():
        document.ycells.insert(position, document.create_ycell(cell))
    return str(cell["id"])


def delete_cell(document: YNotebook, position: int) -> None:
    with document.ydoc.transaction():
        del document.ycells[position]


def move_cell(document: YNotebook, position: int, to: int) -> None:
    """Move a cell so that it ends up at position `to`, keeping its id and content.

    Not to be called in a transaction.
    """
    if position != to:
        _exchange(document, position, to, cell_dict(document.ycells[position], keep_trust=True))


def change_type(document: YNotebook, position: int, cell_type: str) -> bool:
    """Give the cell another type, keeping id, source and metadata; whether anything changed.

    Not to be called in a transaction.
    """
    check_cell_type(cell_type)
    old = cell_dict(document.ycells[position], keep_trust=True)
    if old["cell_type"] == cell_type:
        return False
    cell: Cell = {key: old[key] for key in ("id", "metadata", "source") if key in old}
    cell["cell_type"] = cell_type
    if cell_type == "code":
        cell["metadata"] = {**cell["metadata"], "trusted": True}
        cell |= {"outputs": [], "execution_count": None}
    else:
        cell["metadata"].pop("trusted", None)
        if old["cell_type"] != "code" and old.get("attachments"):
            cell["attachments"] = old["attachments"]
    _exchange(document, position, position, cell)
    return True


def _exchange(document: YNotebook, position: int, to: int, cell: Cell) -> None:
    """Take a cell out, and put what it becomes at position `to`, in a transaction each.

    When one transaction does both above the cell in which a person types, JupyterLab moves the person's cursor to a
    neighbour of that cell.
    """
    del document.ycells[position]
    document.ycells.insert(to, document.create_ycell(cell))


def youtputs(ycell: Map[Any]) -> Array[Any]:
    """The shared list of a code cell's outputs."""
    outputs = ycell.get("outputs")
    if not isinstance(outputs, Array):
        ycell["outputs"] = Array()
        outputs = ycell["outputs"]
    return outputs


def upgrade_nbformat(document: YNotebook) -> bool:
    """Before 4.5 a file cannot hold cell ids, so they would change at every opening; upgrade to 4.5."""
    ymeta = document.ydoc.get("meta", type=Map)
    major, minor = int(ymeta.get("nbformat", 4)), int(ymeta.get("nbformat_minor", 5))
    if (major, minor) >= (4, 5):
        return False
    with document.ydoc.transaction():
        ymeta["nbformat"] = 4
        ymeta["nbformat_minor"] = 5
        # pycrdt's Map iterates keys; only cells that lack an id get one.
        for ycell in document.ycells:
            if not ycell.get("id"):
                ycell["id"] = str(uuid.uuid4())
    return True


def kernel_name(document: YNotebook) -> str | None:
    """The kernel that the notebook's metadata names, if any."""
    metadata = notebook_metadata(document)
    name = metadata.get("kernelspec", {}).get("name") if isinstance(metadata.get("kernelspec"), dict) else None
    return str(name) if name else None


def notebook_metadata(document: YNotebook) -> dict[str, Any]:
    ymeta = document.ydoc.get("meta", type=Map)
    meta = json.loads(str(ymeta))
    metadata = meta.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def first_position(ids: Sequence[str], cell_id: str) -> int:
    """The position of the cell with this id; CellNotFound when it is gone."""
    try:
        return ids.index(cell_id)
    except ValueError:
        raise CellNotFound(
            f"There is no cell with id {cell_id!r} (any more). Call notebook_get to see the cells."
        ) from None
