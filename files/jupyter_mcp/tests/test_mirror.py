"""The mirror renders, after any edits by anyone, what nbformat would write for the whole document."""

from __future__ import annotations

import nbformat
from conftest import notebook
from hypothesis import given, settings
from hypothesis import strategies as st
from jupyter_ydoc import YNotebook
from pycrdt import Doc, Map

from jupyter_mcp import cells
from jupyter_mcp.area import Area
from jupyter_mcp.mirror import Mirror

OUTPUTS = [
    ("stream", {"name": "stdout", "text": "line\nline 2 é\r\n"}),
    ("stream", {"name": "stderr", "text": "more\u2028"}),
    ("display_data", {"data": {"text/html": "<b>\n</b>", "image/png": "AAA\nBBB", "image/svg+xml": "<a>\n"}}),
    ("execute_result", {"data": {"application/json": {"a": [1, 2.5, None, "x\ny"]}}, "execution_count": 4}),
    ("error", {"ename": "E", "evalue": "v", "traceback": ["a\nb", "c"]}),
]

STEP = st.tuples(
    st.sampled_from(["insert", "delete", "move", "type", "source", "output", "meta", "minor", "remote"]),
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.text(alphabet='ab\n é😀\r\u2028\x07"\\', max_size=12),
)


def wanted(document: YNotebook) -> bytes:
    text = nbformat.writes(nbformat.from_dict(document.get()), version=nbformat.NO_CONVERT)
    return (text if text.endswith("\n") else text + "\n").encode()


def edit(document: YNotebook, kind: str, one: int, two: int, text: str) -> None:
    count = len(document.ycells)
    if kind == "insert" or count == 0:
        cells.insert_cell(document, one % (count + 1), text, cells.CELL_TYPES[two % 3])
        return
    position = one % count
    if kind == "delete":
        cells.delete_cell(document, position)
    elif kind == "move":
        cells.move_cell(document, position, two % count)
    elif kind == "type":
        cells.change_type(document, position, cells.CELL_TYPES[two % 3])
    elif kind == "source":
        cells.set_source(document, document.ycells[position], text)
    elif kind == "output":
        ycell = document.ycells[position]
        if ycell["cell_type"] == "code":
            with document.ydoc.transaction():
                Area.write(document, cells.youtputs(ycell), Area().take(*OUTPUTS[two % len(OUTPUTS)]))
                ycell["execution_count"] = two
                ycell["execution_state"] = "idle"
    elif kind == "meta":
        document.ycells[position]["metadata"]["note"] = [text, two]
    elif kind == "minor":
        document.ydoc.get("meta", type=Map)["nbformat_minor"] = 4 + two % 2


@given(st.lists(st.lists(STEP, min_size=1, max_size=4), max_size=12))
@settings(deadline=None, max_examples=60)
def test_renders_like_nbformat(transactions: list[list[tuple[str, int, int, str]]]) -> None:
    document = YNotebook()
    document.set(notebook("a", "b", "c", kernelspec={"name": "x", "display_name": "X"}))
    mirror = Mirror(document)
    assert mirror.render().data == wanted(document)
    for steps in transactions:
        version = mirror.version
        if steps[0][0] == "remote":
            # What another client did, merged in one update.
            other = YNotebook(Doc())
            other.ydoc.apply_update(document.ydoc.get_update())
            for step in steps:
                edit(other, *step)
            document.ydoc.apply_update(other.ydoc.get_update())
        else:
            with document.ydoc.transaction():
                for step in steps:
                    edit(document, *step)
        rendered = mirror.render()
        assert rendered.data == wanted(document)
        assert rendered.version == mirror.version >= version
        assert mirror.ids == [str(ycell["id"]) for ycell in document.ycells]
    mirror.close()
    before = mirror.version
    cells.insert_cell(document, 0, "x", "code")
    assert mirror.version == before, "a closed mirror hears nothing"


def test_only_changed_cells_are_rendered_again() -> None:
    document = YNotebook()
    document.set(notebook(*[f"x = {number}" for number in range(50)]))
    mirror = Mirror(document)
    mirror.render()
    cells.set_source(document, document.ycells[7], "changed")
    assert [position for position, text in enumerate(mirror._texts) if text is None] == [7]
    cells.insert_cell(document, 3, "new", "code")
    assert [position for position, text in enumerate(mirror._texts) if text is None] == [3, 8]


def test_duplicate_ids_are_noticed() -> None:
    document = YNotebook()
    document.set(notebook("a", "b"))
    mirror = Mirror(document)
    assert not mirror.duplicate_ids()
    document.ycells[1]["id"] = "cell-0"
    assert mirror.duplicate_ids()
    assert mirror.ids == ["cell-0", "cell-0"]


def test_listeners() -> None:
    document = YNotebook()
    document.set(notebook("a"))
    mirror = Mirror(document)
    heard: list[int] = []
    remove = mirror.on_change(lambda: heard.append(mirror.version))
    with document.ydoc.transaction():
        cells.insert_cell(document, 0, "x", "code")
        cells.insert_cell(document, 0, "y", "code")
    assert heard == [1], "once per transaction"
    document.dirty = True
    assert heard == [1], "the state is not the notebook"
    remove()
    cells.delete_cell(document, 0)
    assert heard == [1]
