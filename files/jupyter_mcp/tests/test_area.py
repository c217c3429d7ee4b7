"""What kernel messages do to a cell's outputs, in an execution's own list and in the shared document alike."""

from __future__ import annotations

import json
from typing import Any

import nbformat
from conftest import notebook
from hypothesis import given, settings
from hypothesis import strategies as st
from jupyter_ydoc import YNotebook

from jupyter_mcp import cells
from jupyter_mcp.area import Area

STREAM = st.tuples(
    st.just("stream"),
    st.fixed_dictionaries({"name": st.sampled_from(["stdout", "stderr"]), "text": st.text("ab\né\r", max_size=5)}),
)
DISPLAY = st.tuples(
    st.sampled_from(["display_data", "execute_result"]),
    st.fixed_dictionaries(
        {"data": st.dictionaries(st.sampled_from(["text/plain", "text/html"]), st.text("x<>", max_size=3))}
    ),
)
ERROR = st.just(("error", {"ename": "E", "evalue": "v", "traceback": ["a"]}))
CLEAR = st.tuples(st.just("clear_output"), st.fixed_dictionaries({"wait": st.booleans()}))
OTHER = st.sampled_from([("comm_msg", {}), ("execute_input", {"code": "1"}), ("status", {})])
MESSAGES = st.lists(st.lists(st.one_of(STREAM, DISPLAY, ERROR, CLEAR, OTHER), max_size=6), max_size=6)


def shared_cell() -> tuple[YNotebook, Any]:
    document = YNotebook()
    document.set(notebook("x"))
    return document, document.ycells[0]


@given(MESSAGES)
@settings(deadline=None)
def test_both_lists_agree_and_are_valid(batches: list[list[tuple[str, dict[str, Any]]]]) -> None:
    document, ycell = shared_cell()
    area = Area()
    for batch in batches:
        operations = [operation for message in batch for operation in area.take(*message)]
        with document.ydoc.transaction():
            Area.write(document, cells.youtputs(ycell), operations)
        shown = cells.cell_dict(document.ycells[0])["outputs"]
        assert shown == json.loads(json.dumps(area.outputs))
    found = document.get()
    nbformat.validate(nbformat.from_dict(found))
    for one, other in zip(area.outputs, area.outputs[1:], strict=False):
        assert not (one["output_type"] == other["output_type"] == "stream" and one["name"] == other["name"])


def test_an_endless_print_is_stopped_and_says_so() -> None:
    area = Area(limit=1000)
    for number in range(500):
        area.take("stream", {"name": "stdout", "text": f"line {number}\n"})
    area.take("error", {"ename": "E", "evalue": "", "traceback": []})
    kinds = [(output["output_type"], output.get("name")) for output in area.outputs]
    assert kinds == [("stream", "stdout"), ("stream", "stderr"), ("error", None)]
    assert 900 < len(area.outputs[0]["text"]) <= 1000
    assert "not kept" in area.outputs[1]["text"]
    area.take("clear_output", {})
    area.take("stream", {"name": "stdout", "text": "again"})
    assert area.outputs == [{"output_type": "stream", "name": "stdout", "text": "again"}]


def test_update_of_a_display() -> None:
    document, ycell = shared_cell()
    area = Area()
    first = area.take("display_data", {"data": {"text/plain": "1"}, "metadata": {"a": 1}})
    second = area.update(0, {"data": {"text/plain": "2"}})
    Area.write(document, cells.youtputs(ycell), first)
    Area.write(document, cells.youtputs(ycell), second)
    assert cells.cell_dict(ycell)["outputs"][0]["data"] == {"text/plain": "2"}
    assert area.update(5, {"data": {}}) == []
