"""What runs show of themselves: their outputs, in the cells of the live document.

A cell shows the latest run of it and nothing of those before; a display (IPython's `display_id`) is shown by any number
of cells and changes in all of them. A cell that was deleted meanwhile shows nothing; its run keeps its outputs.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from jupyter_ydoc import YNotebook
from pycrdt import Map

from . import cells
from .area import Area, Operation
from .errors import CellNotFound
from .execution import Execution
from .rooms import Rooms

__all__ = ["Showing"]


class Showing:
    """Which run each cell of this server's open notebooks shows."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._latest: dict[tuple[str, str], Execution] = {}
        # display_id -> the runs that show it and the position among their outputs, per room.
        self._displays: dict[str, dict[str, list[tuple[Execution, int]]]] = defaultdict(dict)

    def latest(self, room_id: str, cell_id: str) -> Execution | None:
        return self._latest.get((room_id, cell_id))

    def expect(self, execution: Execution) -> None:
        """From now on the cell shows this run, with its first `write` or with its end."""
        self._latest[execution.room_id, execution.cell_id] = execution

    def forget(self, execution: Execution) -> None:
        if self.latest(execution.room_id, execution.cell_id) is execution:
            del self._latest[execution.room_id, execution.cell_id]
        displays = self._displays.get(execution.room_id, {})
        for display_id in list(displays):
            displays[display_id] = [shown for shown in displays[display_id] if shown[0] is not execution]
            if not displays[display_id]:
                del displays[display_id]

    def take(self, execution: Execution, msg_type: str, content: dict[str, Any]) -> list[Operation]:
        """What a message of the kernel changes in the run's outputs, and so in its cell; see `write`."""
        if msg_type == "execute_input":
            execution.execution_count = content.get("execution_count")
            return []
        if msg_type == "update_display_data":
            return self._update_displays(execution, content)
        operations = execution.area.take(msg_type, content)
        display_id = (content.get("transient") or {}).get("display_id")
        if display_id and msg_type in ("display_data", "execute_result"):
            shown = self._displays[execution.room_id].setdefault(display_id, [])
            shown.append((execution, len(execution.area.outputs) - 1))
        return operations

    def _update_displays(self, execution: Execution, content: dict[str, Any]) -> list[Operation]:
        """Show the new state wherever the display is shown, in this cell and in others."""
        display_id = (content.get("transient") or {}).get("display_id")
        own: list[Operation] = []
        for shown, index in self._displays[execution.room_id].get(display_id or "", ()):
            if self.latest(shown.room_id, shown.cell_id) is not shown:
                continue
            operations = shown.area.update(index, content)
            if shown is execution:
                own += operations
            else:
                self.write(shown, operations)
        return own

    def write(self, execution: Execution, operations: list[Operation]) -> None:
        """Apply operations to the cell. With the first of a run, what the cell showed before goes; that may be none."""
        if execution.begun and not operations:
            return
        shown = self._shown_in(execution)
        if shown is not None:
            document, ycell = shown
            with document.ydoc.transaction():
                if not execution.begun:
                    ycell["execution_count"] = None
                    ycell["execution_state"] = "running"
                self._write_outputs(execution, document, ycell, operations)

    @staticmethod
    def _write_outputs(execution: Execution, document: YNotebook, ycell: Map[Any], operations: list[Operation]) -> None:
        outputs = cells.youtputs(ycell)
        if not execution.begun:
            execution.begun = True
            outputs.clear()
        Area.write(document, outputs, operations)

    def _shown_in(self, execution: Execution) -> tuple[YNotebook, Map[Any]] | None:
        """The live document and the code cell that shows this execution; None when there is no such cell any more."""
        notebook = self._rooms.peek(execution.room_id)
        if notebook is None or self.latest(execution.room_id, execution.cell_id) is not execution:
            return None
        try:
            position = cells.first_position(notebook.mirror.ids, execution.cell_id)
        except CellNotFound:
            return None
        ycell = cells.shared_cell(notebook.document, position)
        return (notebook.document, ycell) if ycell.get("cell_type") == "code" else None

    def end(self, execution: Execution, last: list[Operation]) -> None:
        """Apply the last operations; the cell is at rest again."""
        shown = self._shown_in(execution)
        if shown is not None:
            document, ycell = shown
            with document.ydoc.transaction():
                self._write_outputs(execution, document, ycell, last)
                ycell["execution_count"] = execution.execution_count
                ycell["execution_state"] = "idle"
                # What a user of this server ran may be shown, as when run from the browser.
                ycell["metadata"]["trusted"] = True
