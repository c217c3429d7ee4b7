"""The notebooks that are measured, and looking into their files. Plain JSON, as nbformat lays it out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CASES", "SIZES", "Case", "code_cell", "file_holds", "read_notebook", "write_notebook"]

SIZES = (10, 2000)


@dataclass(frozen=True)
class Case:
    """A notebook of `count` cells; `tab`: a browser has it open while it is measured.

    The peer takes another way then: without a tab it reads and writes the file, with one the live document.
    """

    count: int
    tab: bool

    @property
    def name(self) -> str:
        return f"{self.count:,} cells{', open in a tab' if self.tab else ''}"

    def path(self, purpose: str) -> str:
        return f"{purpose}-{self.count}{'-tab' if self.tab else ''}.ipynb"


CASES = tuple(Case(count, tab) for count in SIZES for tab in (False, True))


def code_cell(count: int, nth: int = 0) -> int:
    """The index of a code cell in the middle of a notebook of `count` cells; another one for every `nth`."""
    return (count // 2 // 4) * 4 + 1 + (nth % 2) + (nth // 2) * 4


def _cell(index: int) -> dict[str, Any]:
    # Every fourth cell is prose; every second code cell has been run.
    if index % 4 == 0:
        text = [f"## Part {index}\n", "\n", "What follows loads the measurements, cleans them and draws them.\n"]
        return {"cell_type": "markdown", "id": f"cell-{index}", "metadata": {}, "source": text}
    source = [
        f"table_{index} = load('measurements-{index}.csv')\n",
        f"table_{index} = table_{index}.dropna()\n",
        f"print(table_{index}.describe())",
    ]
    outputs: list[dict[str, Any]] = []
    if index % 2:
        text = [f"count  {index * 17}.0\n", "mean     0.5123\n", "std      0.2887\n"]
        outputs.append({"name": "stdout", "output_type": "stream", "text": text})
    return {
        "cell_type": "code",
        "execution_count": index if outputs else None,
        "id": f"cell-{index}",
        "metadata": {},
        "outputs": outputs,
        "source": source,
    }


def write_notebook(path: Path, count: int, sources: dict[int, str] | None = None) -> None:
    """A new notebook of `count` cells; `sources` gives some of them another source."""
    cells = [_cell(index) for index in range(count)]
    for index, source in (sources or {}).items():
        assert cells[index]["cell_type"] == "code", index
        cells[index] |= {"source": source.splitlines(keepends=True), "outputs": [], "execution_count": None}
    kernelspec = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernelspec}, "nbformat": 4, "nbformat_minor": 5}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def file_holds(path: Path, text: str) -> bool:
    """Whether the file holds `text` (without characters that JSON escapes) at this moment."""
    return text.encode() in path.read_bytes()


def read_notebook(path: Path) -> dict[str, Any]:
    """The notebook in the file, sources and texts joined."""
    notebook: dict[str, Any] = json.loads(path.read_bytes())
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook
