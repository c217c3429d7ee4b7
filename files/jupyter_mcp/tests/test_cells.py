"""Edits of cells on a shared document, seen from a second document that follows it."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import notebook
from hypothesis import given, settings
from hypothesis import strategies as st
from jupyter_ydoc import YNotebook
from pycrdt import Doc

from jupyter_mcp import cells
from jupyter_mcp.errors import CellNotFound, CellRefused

TEXTS = st.text(alphabet="ab\n é😀\r\u2028\t", max_size=60)


def document(*sources: str, minor: int = 5) -> YNotebook:
    made = YNotebook()
    made.set(notebook(*sources, minor=minor))
    return made


def follower(of: YNotebook) -> YNotebook:
    """Another client's copy, which hears of every update."""
    copy = YNotebook(Doc())
    copy.ydoc.apply_update(of.ydoc.get_update())
    of.ydoc.observe(lambda event: copy.ydoc.apply_update(event.update))
    return copy


def sources(of: YNotebook) -> list[str]:
    return [cell["source"] for cell in of.get()["cells"]]


@given(TEXTS, TEXTS)
@settings(deadline=None)
def test_set_source_gives_the_source_here_and_there(before: str, after: str) -> None:
    doc = document(before)
    copy = follower(doc)
    text = doc.ycells[0]["source"]
    changed = cells.set_source(doc, doc.ycells[0], after)
    assert changed is (before != after)
    assert str(text) == after, "the shared Text itself was edited"
    assert sources(copy) == [after]


def test_concurrent_typing_elsewhere_in_the_cell_survives() -> None:
    doc = document("first\nsecond\nthird\n")
    other = YNotebook(Doc())
    other.ydoc.apply_update(doc.ydoc.get_update())
    typed = other.ycells[0]["source"]
    typed.insert(0, "# typed\n")
    typed += "# end\n"
    cells.set_source(doc, doc.ycells[0], "first\nSECOND\nthird\n")
    doc.ydoc.apply_update(other.ydoc.get_update())
    assert sources(doc) == ["# typed\nfirst\nSECOND\nthird\n# end\n"]


@pytest.mark.parametrize("cell_type", cells.CELL_TYPES)
def test_insert(cell_type: str) -> None:
    doc = document("a", "b")
    copy = follower(doc)
    cell_id = cells.insert_cell(doc, 1, "new", cell_type)
    assert sources(copy) == ["a", "new", "b"]
    cell = copy.get()["cells"][1]
    assert (cell["id"], cell["cell_type"]) == (cell_id, cell_type)
    assert ("outputs" in cell) is (cell_type == "code")


def test_unknown_cell_type() -> None:
    doc = document("a")
    with pytest.raises(CellRefused, match="'code', 'markdown' or 'raw'"):
        cells.insert_cell(doc, 0, "x", "heading")
    with pytest.raises(CellRefused):
        cells.change_type(doc, 0, "Code")
    assert sources(doc) == ["a"]


def test_delete_to_the_last() -> None:
    doc = document("a", "b")
    copy = follower(doc)
    cells.delete_cell(doc, 0)
    cells.delete_cell(doc, 0)
    assert sources(copy) == []


@given(st.integers(0, 4), st.integers(0, 4))
@settings(deadline=None)
def test_move(position: int, to: int) -> None:
    doc = document(*"abcde")
    copy = follower(doc)
    cells.move_cell(doc, position, to)
    wanted = list("abcde")
    wanted.insert(to, wanted.pop(position))
    assert sources(copy) == wanted
    assert [cell["id"] for cell in copy.get()["cells"]] == [f"cell-{'abcde'.index(name)}" for name in wanted]


def test_move_keeps_everything() -> None:
    doc = document("a", "b")
    rich: dict[str, Any] = doc.get()
    rich["cells"][0] |= {
        "execution_count": 3,
        "metadata": {"tags": ["x"], "deep": {"n": 1}},
        "outputs": [
            {"output_type": "stream", "name": "stdout", "text": "hello\n"},
            {
                "output_type": "display_data",
                "data": {"text/plain": "1", "application/json": {"a": [1]}},
                "metadata": {},
            },
        ],
    }
    doc.set(rich)
    before = doc.get()["cells"][0]
    cells.move_cell(doc, 0, 1)
    assert doc.get()["cells"][1] == before


@pytest.mark.parametrize("first", cells.CELL_TYPES)
@pytest.mark.parametrize("second", cells.CELL_TYPES)
def test_change_of_type_keeps_id_and_source(first: str, second: str) -> None:
    doc = document("a")
    cells.change_type(doc, 0, first)
    cells.change_type(doc, 0, second)
    cell = cells.cell_dict(doc.ycells[0])
    assert (cell["id"], cell["source"], cell["cell_type"]) == ("cell-0", "a", second)
    assert ("outputs" in cell) is (second == "code")
    assert ("execution_count" in cell) is (second == "code")


@pytest.mark.parametrize(("index", "position"), [(0, 0), (2, 2), (-1, 2), (-3, 0)])
def test_index(index: int, position: int) -> None:
    assert cells.resolve_index(3, index) == position


@pytest.mark.parametrize(("count", "index"), [(3, 3), (3, -4), (0, 0), (0, -1), (3, True), (3, 10**30)])
def test_index_out_of_range(count: int, index: int) -> None:
    with pytest.raises(CellNotFound):
        cells.resolve_index(count, index)


@pytest.mark.parametrize(("index", "position"), [(0, 0), (3, 3), (-1, 3), (-2, 2), (-4, 0)])
def test_insert_index(index: int, position: int) -> None:
    assert cells.resolve_insert_index(3, index) == position


@pytest.mark.parametrize("index", [4, -5, False])
def test_insert_index_out_of_range(index: int) -> None:
    with pytest.raises(CellNotFound):
        cells.resolve_insert_index(3, index)


def test_upgrade_of_an_old_format() -> None:
    doc = document("a", minor=4)
    assert "id" not in doc.get()["cells"][0]
    assert cells.upgrade_nbformat(doc)
    upgraded = doc.get()
    assert upgraded["nbformat_minor"] == 5
    assert upgraded["cells"][0]["id"]
    assert not cells.upgrade_nbformat(doc)


def test_cell_dict_is_what_the_document_says() -> None:
    doc = document("a", "b\nc")
    assert [cells.cell_dict(ycell) for ycell in doc.ycells] == doc.get()["cells"]


def test_source_hash_tells_sources_apart() -> None:
    assert cells.source_hash("a") != cells.source_hash("a ")
    assert len(cells.source_hash("")) == 16
