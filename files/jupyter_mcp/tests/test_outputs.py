"""Outputs cut to what an agent can take in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_mcp.outputs import collapse_text, cut, fit, output_from_message


def stream(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("a\rb", "b"),
        ("abc\rx", "xbc"),
        ("10%\r20%\r100%\ndone", "100%\ndone"),
        ("a\r\nb", "a\nb"),
        ("a\r", "a"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
    ],
)
def test_collapse(raw: str, shown: str) -> None:
    assert collapse_text(raw) == shown


@given(st.text("abé😀\n", max_size=300), st.integers(0, 200))
def test_cut_keeps_head_and_tail_and_counts(text: str, budget: int) -> None:
    shown, omitted = cut(text, budget)
    raw = text.encode()
    if len(raw) <= budget:
        assert (shown, omitted) == (text, 0)
        return
    head, tail = shown.split(f"\n[... {omitted} bytes left out ...]\n")
    assert text.startswith(head) and text.endswith(tail)
    assert len(head.encode()) + len(tail.encode()) + omitted == len(raw)
    assert len(head.encode()) + len(tail.encode()) <= budget


@given(st.lists(st.text("abc\n", max_size=3000), max_size=8), st.integers(0, 4000))
def test_fit_stays_near_the_budget_and_loses_nothing_silently(texts: list[str], budget: int) -> None:
    outputs = [stream(text) for text in texts]
    shown = fit(outputs, budget, 0)
    assert len(shown.outputs) == len(outputs)
    total = sum(len(output["text"]) for output in shown.outputs)
    # A cut costs a line that says so.
    assert total <= budget + 45 * len(outputs)
    assert sum(len(text) for text in texts) - shown.omitted <= total


def test_small_outputs_stay_whole_beside_a_large_one() -> None:
    shown = fit([stream("small"), stream("x" * 100_000), stream("end")], 1000, 0)
    assert shown.outputs[0]["text"] == "small"
    assert shown.outputs[2]["text"] == "end"
    assert 600 < len(shown.outputs[1]["text"]) < 1000


def test_images() -> None:
    output = {"output_type": "display_data", "data": {"image/png": "AAAA", "text/plain": "fig"}, "metadata": {}}
    shown = fit([output, output], 1000, 4)
    assert shown.images == [("image/png", "AAAA")] * 2
    assert "image 1 of this answer" in shown.outputs[0]["data"]["image/png"]
    assert shown.outputs[0]["data"]["text/plain"] == "fig"
    shown = fit([output], 1000, 3)
    assert shown.images == []
    assert "left out: 4 bytes" in shown.outputs[0]["data"]["image/png"]
    assert output["data"]["image/png"] == "AAAA", "the notebook's own output is untouched"


def test_rich_forms_go_before_plain_text() -> None:
    output = {
        "output_type": "execute_result",
        "data": {"text/html": "h" * 5000, "text/plain": "p" * 50, "application/json": {"a": ["x" * 5000]}},
        "metadata": {},
        "execution_count": 1,
    }
    shown = fit([output], 500, 0)
    data = shown.outputs[0]["data"]
    assert data["text/plain"] == "p" * 50
    assert "bytes left out" in data["text/html"]
    assert len(json.dumps(data)) < 1000
    assert shown.omitted > 9000


@pytest.mark.parametrize("msg_type", ["stream", "display_data", "execute_result", "error"])
def test_whatever_a_kernel_leaves_out_is_supplied(msg_type: str) -> None:
    import nbformat

    output = output_from_message(msg_type, {})
    assert output is not None
    nbformat.validate(nbformat.from_dict(output), ref="output", version=4)


def test_other_messages_are_no_outputs() -> None:
    assert output_from_message("status", {"execution_state": "idle"}) is None
