"""How answers are written: text for the agent, structured content for programs, images as images.

Imports FastMCP, as :mod:`jupyter_mcp.tools` does. Nothing here changes anything.
"""

from __future__ import annotations

import json
from typing import Any

from fastmcp.tools import ToolResult
from mcp.types import ImageContent, TextContent

from . import cells
from .errors import CellRefused, KernelFailed
from .execution import Execution
from .outputs import as_content, fit

__all__ = [
    "IMAGE_BYTES",
    "image_blocks",
    "json_text",
    "listing",
    "render_execution",
    "render_notebook",
    "render_page",
    "text",
]

IMAGE_BYTES = 1_000_000


def text(text: str, **more: Any) -> ToolResult:
    """A sentence for people; the same, and what a program wants to know, as structured content."""
    return ToolResult(
        content=[TextContent(type="text", text=text)],
        structured_content={"result": text, **more},
        meta={"fastmcp": {"wrap_result": True}},
    )


def json_text(value: Any) -> TextContent:
    return TextContent(type="text", text=json.dumps(value, ensure_ascii=False))


def listing(entries: list[dict[str, Any]]) -> ToolResult:
    """A list, which FastMCP would turn into JSON by itself and check three times on the way."""
    return ToolResult(
        content=[json_text(entries)],
        structured_content={"result": entries},
        meta={"fastmcp": {"wrap_result": True}},
    )


def image_blocks(images: list[tuple[str, str]]) -> list[ImageContent]:
    return [ImageContent(type="image", data=data, mime_type=mime) for mime, data in images]


def render_notebook(
    document: Any, mirror: Any, start: int, limit: int | None, brief: bool, output_bytes: int
) -> dict[str, Any]:
    """The notebook as nbformat JSON: cells `start` to `start + limit`, outputs within the budget."""
    count = len(mirror)
    end = count if limit is None else min(count, start + limit)
    shown = []
    remaining = output_bytes
    for position in range(start, end):
        cell = cells.cell_dict(cells.shared_cell(document, position))
        if brief:
            _make_brief(cell)
        elif cell.get("outputs"):
            cut = fit(cell["outputs"], max(remaining, 0), 0)
            cell["outputs"] = cut.outputs
            remaining -= len(json.dumps(cut.outputs, ensure_ascii=False, default=str))
        shown.append(cell)
    metadata = cells.notebook_metadata(document)
    metadata["jupyter_mcp"] = {
        "cell_count": count,
        "start": start,
        "returned": len(shown),
        "version": mirror.version,
    }
    return {"cells": shown, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _make_brief(cell: dict[str, Any]) -> None:
    lines = cell["source"].splitlines()
    if len(lines) > 3 or len(cell["source"]) > 300:
        head = "\n".join(lines[:3])[:300]
        cell["source"] = f"{head}\n[... {len(lines)} lines, {len(cell['source'])} characters in all ...]"
    if cell.get("outputs"):
        kinds = [str(output.get("output_type")) for output in cell["outputs"]]
        cell["outputs"] = []
        cell["metadata"] = {**cell["metadata"], "jupyter_mcp": {"output_kinds": kinds}}


def render_execution(execution: Execution, output_bytes: int, waited: float | None) -> ToolResult:
    """The outputs as [{type, content}]; an execution that has not simply finished ends with a 'status' entry."""
    if execution.status == "failed" and not execution.outputs:
        raise KernelFailed(execution.problem or "The execution failed.")
    shown = fit(execution.outputs, output_bytes, IMAGE_BYTES)
    result = [as_content(output) for output in shown.outputs]
    message = _status_message(execution, waited)
    if message is not None:
        status = {"execution_id": execution.id, "status": execution.status, "message": message}
        result.append({"type": "status", "content": status})
    structured = {
        "result": result,
        "execution_id": execution.id,
        "status": execution.status,
        "execution_count": execution.execution_count,
        "cell_id": execution.cell_id,
        "saved": execution.saved,
        "omitted_bytes": shown.omitted,
    }
    return ToolResult(
        content=[json_text(result), *image_blocks(shown.images)],
        structured_content=structured,
        meta={"fastmcp": {"wrap_result": True}},
        is_error=execution.status == "failed" or execution.saved is False,
    )


def _status_message(execution: Execution, waited: float | None) -> str | None:
    if execution.running:
        after = f" after {waited:g} seconds" if waited is not None else ""
        state = "waits for its turn" if execution.status == "queued" else "is still running"
        return (
            f"The cell {state}{after}; its outputs keep arriving in the notebook. "
            f"Call execution_get with execution_id '{execution.id}' for the rest, or kernel_interrupt to stop it."
        )
    return execution.problem


def render_page(execution: Execution, offset: int, size: int) -> ToolResult:
    """A page of the complete output text: what `json.dumps` gives for all outputs, by bytes of UTF-8."""
    whole = json.dumps([as_content(output) for output in execution.outputs], ensure_ascii=False).encode()
    if size <= 0:
        raise CellRefused("output_bytes must be at least 1 to read a page.")
    end = offset + size
    while end < len(whole) and end > offset + 1 and whole[end] & 0xC0 == 0x80:
        # Not in the middle of a character.
        end -= 1
    page = whole[offset:end]
    following = offset + len(page) if offset + len(page) < len(whole) else None
    content = {
        "text": page.decode("utf-8", "replace"),
        "offset": offset,
        "next_offset": following,
        "total_bytes": len(whole),
    }
    result = [{"type": "page", "content": content}]
    structured = {"result": result, "execution_id": execution.id, "status": execution.status}
    return ToolResult(
        content=[json_text(result)], structured_content=structured, meta={"fastmcp": {"wrap_result": True}}
    )
