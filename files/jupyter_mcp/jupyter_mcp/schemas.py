"""The output schemas of the tools. A tool whose result is a list or a text carries it as `result`.

`x-fastmcp-wrap-result` is how FastMCP's own client knows to unwrap it again.
"""

from __future__ import annotations

from typing import Any

__all__ = ["CELL", "DOCUMENT", "EDITED", "EXECUTED", "NOTEBOOK", "NOTEBOOKS", "ROOMS", "TEXT", "USERS", "WATCH"]

Schema = dict[str, Any]

_STRING: Schema = {"type": "string"}
_INTEGER: Schema = {"type": "integer"}


def _object(required: tuple[str, ...], **properties: Schema) -> Schema:
    # Under allOf the properties check and document the value all the same, and FastMCP's client still hands it out as
    # a plain dictionary, not as an object of a class made up from the schema.
    return {
        "type": "object",
        "additionalProperties": True,
        "allOf": [{"properties": properties, "required": list(required)}],
    }


def _wrapped(result: Schema, **more: Schema) -> Schema:
    properties = {"result": result, **more}
    return {"type": "object", "properties": properties, "required": ["result"], "x-fastmcp-wrap-result": True}


def _described(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description}


NOTEBOOK = _object(("path", "name"), path=_STRING, name=_STRING)
NOTEBOOKS = _wrapped({"type": "array", "items": NOTEBOOK})
_USER = _object(("id", "name"), id=_STRING, name=_STRING)
USERS = _wrapped({"type": "array", "items": _USER})
ROOMS = _wrapped(
    {
        "type": "array",
        "items": _object(
            ("room_id", "path", "file_id", "users", "user_count", "has_kernel"),
            room_id=_STRING,
            path=_STRING,
            file_id=_STRING,
            users={"type": "array", "items": _USER},
            user_count=_INTEGER,
            has_kernel={"type": "boolean"},
        ),
    }
)
WATCH = _object(
    ("changed",),
    changed={"type": "boolean"},
    cell_count=_INTEGER,
    version=_described(_INTEGER, "Pass as `since` to miss no change until the next call."),
)
_CELL_PROPERTIES: dict[str, Schema] = {
    "id": _STRING,
    "cell_type": {"type": "string", "enum": ["code", "markdown", "raw"]},
    "source": _STRING,
    "metadata": {"type": "object"},
    "outputs": {"type": "array", "items": {"type": "object"}},
    "execution_count": {"type": ["integer", "null"]},
    "attachments": {"type": "object"},
}
CELL = _object(
    ("id", "cell_type", "source", "metadata", "index", "source_hash"),
    **_CELL_PROPERTIES,
    index=_INTEGER,
    source_hash=_described(_STRING, "Pass as `expected_source_hash` to edit this very source only."),
)
DOCUMENT = _object(
    ("cells", "metadata", "nbformat", "nbformat_minor"),
    cells={"type": "array", "items": _object(("cell_type", "source", "metadata"), **_CELL_PROPERTIES)},
    metadata={"type": "object"},
    nbformat=_INTEGER,
    nbformat_minor=_INTEGER,
)
TEXT = _wrapped(_STRING)
EDITED = _wrapped(_STRING, index=_INTEGER, cell_id=_STRING, source_hash=_STRING)
EXECUTED = _wrapped(
    {"type": "array", "items": _object(("type", "content"), type=_STRING, content={"type": "object"})},
    execution_id=_STRING,
    status={"type": "string", "enum": ["queued", "running", "ok", "error", "failed"]},
    execution_count={"type": ["integer", "null"]},
    cell_id=_STRING,
    saved={"type": ["boolean", "null"]},
    omitted_bytes=_INTEGER,
)
