"""Kernel messages as notebook outputs, and outputs as what an agent can take in.

Two directions, both pure: `output_from_message` makes the nbformat output that is written to the cell, `Budget` cuts a
list of outputs to a number of bytes and says what it left out.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

__all__ = ["OUTPUT_TYPES", "Shown", "as_content", "collapse_text", "fit", "output_from_message"]

Output = dict[str, Any]

OUTPUT_TYPES = ("stream", "display_data", "execute_result", "error")
IMAGE_MIMES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "".join(str(part) for part in value)
    return value if isinstance(value, str) else str(value)


def output_from_message(msg_type: str, content: dict[str, Any]) -> Output | None:
    """The nbformat output of an IOPub message; None for messages that are no output.

    Kernels of other languages leave out fields that nbformat requires, so every one is supplied.
    """
    if msg_type == "stream":
        name = content.get("name")
        return {
            "output_type": "stream",
            "name": name if name in ("stdout", "stderr") else "stdout",
            "text": _text(content.get("text", "")),
        }
    if msg_type in ("display_data", "update_display_data"):
        return {
            "output_type": "display_data",
            "data": dict(content.get("data") or {}),
            "metadata": dict(content.get("metadata") or {}),
        }
    if msg_type == "execute_result":
        return {
            "output_type": "execute_result",
            "data": dict(content.get("data") or {}),
            "metadata": dict(content.get("metadata") or {}),
            "execution_count": content.get("execution_count"),
        }
    if msg_type == "error":
        return {
            "output_type": "error",
            "ename": str(content.get("ename", "")),
            "evalue": str(content.get("evalue", "")),
            "traceback": [str(line) for line in content.get("traceback") or []],
        }
    return None


def collapse_text(text: str) -> str:
    """What a terminal would show: colours dropped, a carriage return starts the line over.

    A progress bar that was redrawn a thousand times becomes its last state.
    """
    text = _ANSI.sub("", text).replace("\r\n", "\n")
    if "\r" in text:
        text = "\n".join(_last_drawn(line) for line in text.split("\n"))
    return text


def _last_drawn(line: str) -> str:
    drawn = ""
    for part in line.split("\r"):
        if part:
            drawn = part + drawn[len(part) :]
    return drawn


def as_content(output: Output) -> dict[str, Any]:
    """An output as {"type": its kind, "content": the rest}."""
    return {
        "type": output.get("output_type", ""),
        "content": {key: value for key, value in output.items() if key != "output_type"},
    }


@dataclass(frozen=True)
class Shown:
    """Outputs cut to a budget. `omitted` counts the bytes of text that were left out, `images` holds (mime, base64)."""

    outputs: list[Output]
    omitted: int
    images: list[tuple[str, str]]


def cut(text: str, budget: int) -> tuple[str, int]:
    """`text` within `budget` bytes of UTF-8: its head and its tail, and the number of bytes left out between."""
    size = len(text.encode("utf-8", "replace"))
    if size <= budget:
        return text, 0
    raw = text.encode("utf-8", "replace")
    head, tail = budget * 2 // 3, budget - budget * 2 // 3
    first = raw[:head].decode("utf-8", "ignore")
    last = raw[len(raw) - tail :].decode("utf-8", "ignore") if tail else ""
    omitted = size - len(first.encode()) - len(last.encode())
    return f"{first}\n[... {omitted} bytes left out ...]\n{last}", omitted


def fit(outputs: list[Output], budget: int, image_limit: int) -> Shown:
    """Outputs whose texts fit in `budget` bytes together; images up to `image_limit` bytes of base64 are set apart.

    Small outputs stay whole; what is left of the budget is shared by the large ones. Every cut says how much is
    missing; nothing disappears without a word.
    """
    images: list[tuple[str, str]] = []
    prepared = [_prepare(output, image_limit, images) for output in outputs]
    sizes = [_size(output) for output in prepared]
    allowance = _allowance(sizes, budget)
    shown: list[Output] = []
    omitted = 0
    for output, size in zip(prepared, sizes, strict=True):
        if size > allowance:
            output, left_out = _shorten(output, allowance)
            omitted += left_out
        shown.append(output)
    return Shown(shown, omitted, images)


def _allowance(sizes: list[int], budget: int) -> int:
    """The largest size such that sizes cut to it sum up to at most the budget."""
    remaining, left = budget, len(sizes)
    for size in sorted(sizes):
        share = remaining // left
        if size > share:
            return max(share, 0)
        remaining -= size
        left -= 1
    return budget


def _prepare(output: Output, image_limit: int, images: list[tuple[str, str]]) -> Output:
    output = dict(output)
    kind = output.get("output_type")
    if kind == "stream":
        output["text"] = collapse_text(_text(output.get("text", "")))
    elif kind == "error":
        output["traceback"] = [collapse_text(str(line)) for line in output.get("traceback", ())]
    elif kind in ("display_data", "execute_result"):
        data = {mime: _text(value) if mime.startswith("text/") else value for mime, value in output["data"].items()}
        for mime in IMAGE_MIMES:
            if mime in data:
                encoded = _text(data[mime]).replace("\n", "")
                if len(encoded) <= image_limit:
                    images.append((mime, encoded))
                    data[mime] = f"[image {len(images)} of this answer, {len(encoded)} bytes of base64]"
                else:
                    data[mime] = f"[image left out: {len(encoded)} bytes of base64, the limit is {image_limit}]"
        output["data"] = data
    return output


def _size(output: Output) -> int:
    return len(json.dumps(output, ensure_ascii=False, default=str).encode("utf-8", "replace"))


def _shorten(output: Output, budget: int) -> tuple[Output, int]:
    kind = output.get("output_type")
    if kind == "stream":
        text, omitted = cut(output["text"], budget)
        return {**output, "text": text}, omitted
    if kind == "error":
        text, omitted = cut("\n".join(output["traceback"]), budget)
        evalue, more = cut(output.get("evalue", ""), max(budget // 4, 200))
        return {**output, "traceback": text.split("\n"), "evalue": evalue}, omitted + more
    data: dict[str, Any] = {}
    omitted = 0
    remaining = budget
    # Plain text says most for its size; rich forms of the same value are the first to go.
    for mime in sorted(output["data"], key=lambda name: (name != "text/plain", not name.startswith("text/"), name)):
        value = output["data"][mime]
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        size = len(text.encode("utf-8", "replace"))
        if size <= remaining:
            data[mime] = value
            remaining -= size
        elif mime == "text/plain" or not data:
            data[mime], left_out = cut(text, remaining)
            omitted += left_out
            remaining = 0
        else:
            data[mime] = f"[{size} bytes left out]"
            omitted += size
    return {**output, "data": data}, omitted
