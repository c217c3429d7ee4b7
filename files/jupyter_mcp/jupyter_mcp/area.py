"""A cell's output area: what kernel messages do to a list of outputs, and the same done to the shared one.

`Area.take` changes its own list and returns the operations; `Area.write` applies operations to the shared list of the
live document. So an execution keeps its outputs even when its cell is deleted, and the two never drift apart.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from jupyter_ydoc import YNotebook
from pycrdt import Array, Map, Text

from .outputs import output_from_message

__all__ = ["Area", "Operation"]


@dataclass(frozen=True)
class Operation:
    """`kind`: clear, append (`output`), extend (`text` at the end of output `index`), replace (`output` at `index`)."""

    kind: str
    output: dict[str, Any] | None = None
    index: int = -1
    text: str = ""


# What one execution may put into the notebook. A loop that prints for ever must not fill the memory of the server, of
# every browser, and the disk.
MAX_BYTES = 64 * 1024 * 1024


@dataclass
class Area:
    """The outputs of one execution, as nbformat has them. `size`: about how many bytes of text they are."""

    outputs: list[dict[str, Any]] = field(default_factory=list)
    limit: int = MAX_BYTES
    size: int = 0
    _clear_next: bool = False
    _full: bool = False

    def take(self, msg_type: str, content: dict[str, Any]) -> list[Operation]:
        """What an output message changes. `clear_output(wait=True)` waits for the next output."""
        if msg_type == "clear_output":
            if content.get("wait"):
                self._clear_next = True
                return []
            return self._clear()
        output = output_from_message(msg_type, content)
        if output is None:
            return []
        operations: list[Operation] = []
        if self._clear_next:
            operations += self._clear()
        # Why it failed is worth more than the rest of what it printed.
        if self._full and output["output_type"] != "error":
            return operations
        self.size += _size(output)
        if self.size > self.limit and output["output_type"] != "error":
            self._full = True
            text = f"\n[Output beyond {self.limit} bytes is not kept. The cell runs on.]\n"
            output = {"output_type": "stream", "name": "stderr", "text": text}
        last = self.outputs[-1] if self.outputs else None
        if (
            output["output_type"] == "stream"
            and last is not None
            and last["output_type"] == "stream"
            and last["name"] == output["name"]
        ):
            last["text"] += output["text"]
            return [*operations, Operation("extend", index=len(self.outputs) - 1, text=output["text"])]
        self.outputs.append(output)
        return [*operations, Operation("append", output=dict(output))]

    def update(self, index: int, content: dict[str, Any]) -> list[Operation]:
        """Replace the data of a display that is shown at `index`; nothing when it has been cleared."""
        if index >= len(self.outputs) or self.outputs[index]["output_type"] not in ("display_data", "execute_result"):
            return []
        output = {
            **self.outputs[index],
            "data": dict(content.get("data") or {}),
            "metadata": dict(content.get("metadata") or {}),
        }
        self.outputs[index] = output
        return [Operation("replace", output=dict(output), index=index)]

    def _clear(self) -> list[Operation]:
        self._clear_next = self._full = False
        self.size = 0
        self.outputs.clear()
        return [Operation("clear")]

    @staticmethod
    def write(document: YNotebook, shared: Array[Any], operations: list[Operation]) -> None:
        """Apply operations to a cell's shared outputs, inside the caller's transaction."""
        for operation in _merged(operations):
            if operation.kind == "clear":
                shared.clear()
            elif operation.kind == "append" and operation.output is not None:
                shared.append(_shared_output(operation.output))
            elif operation.kind == "replace" and operation.output is not None:
                if operation.index < len(shared):
                    shared[operation.index] = _shared_output(operation.output)
            elif operation.kind == "extend":
                target = shared[len(shared) - 1] if len(shared) else None
                text = target.get("text") if isinstance(target, Map) else None
                if isinstance(text, Text):
                    text.insert(len(text), operation.text)
                elif target is not None:
                    # An older client may hold the text as a plain value.
                    target["text"] = Text(str(text or "") + operation.text)


def _size(output: dict[str, Any]) -> int:
    if output["output_type"] == "stream":
        return len(output["text"])
    return len(json.dumps(output, default=str))


def _shared_output(output: dict[str, Any]) -> Map[Any]:
    output = dict(output)
    if output["output_type"] == "stream":
        # Streams grow in place.
        output["text"] = Text(output["text"])
    return Map(output)


def _merged(operations: list[Operation]) -> list[Operation]:
    """Join what one batch adds to one stream, and drop what a later clear takes away again."""
    merged: list[Operation] = []
    pieces: list[str] = []

    def flush() -> None:
        if not pieces:
            return
        text = "".join(pieces)
        pieces.clear()
        last = merged[-1] if merged else None
        if last is not None and last.kind == "append" and last.output is not None and "text" in last.output:
            merged[-1] = Operation("append", output={**last.output, "text": last.output["text"] + text})
        else:
            merged.append(Operation("extend", text=text))

    for operation in operations:
        if operation.kind == "extend":
            pieces.append(operation.text)
            continue
        flush()
        if operation.kind == "clear":
            merged.clear()
        merged.append(operation)
    flush()
    return merged
