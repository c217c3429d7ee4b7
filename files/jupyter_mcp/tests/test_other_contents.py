"""Notebooks that are no files: the same tools over a contents manager that keeps them elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import LiveServer, ToolFailed
from peer import Browser


@pytest.fixture(scope="module")
def elsewhere(make_live: Callable[..., LiveServer]) -> LiveServer:
    manager = "--ServerApp.contents_manager_class=memory_contents.MemoryContents"
    return make_live(manager, PYTHONPATH=str(Path(__file__).parent))


def stored(server: LiveServer, path: str) -> list[dict[str, Any]]:
    """The cells as the contents manager has them."""
    answer = httpx.get(f"{server.url}api/contents/{path}", headers=server.headers)
    cells: list[dict[str, Any]] = answer.raise_for_status().json()["content"]["cells"]
    return cells


def test_an_answer_means_that_it_is_saved(elsewhere: LiveServer) -> None:
    assert elsewhere.call("notebook_create", path="team/plan.ipynb")["path"] == "team/plan.ipynb"
    with pytest.raises(ToolFailed, match="exists already"):
        elsewhere.call("notebook_create", path="team/plan.ipynb")
    assert elsewhere.call("notebook_list") == [{"path": "team/plan.ipynb", "name": "plan.ipynb"}]
    for number in range(5):
        cell = elsewhere.structured("cell_insert", path="team/plan.ipynb", index=-1, source=f"cell {number}")
        assert [found["source"] for found in stored(elsewhere, "team/plan.ipynb")][-1] == f"cell {number}"
    assert cell["cell_id"] == stored(elsewhere, "team/plan.ipynb")[-1]["id"]
    elsewhere.call("cell_update", path="/team/./plan.ipynb", index=0, source="6 * 7")
    answer = elsewhere.structured("cell_execute", path="team/plan.ipynb", index=0)
    assert (answer["status"], answer["saved"]) == ("ok", True)
    assert stored(elsewhere, "team/plan.ipynb")[0]["outputs"][0]["data"]["text/plain"] == "42"
    assert elsewhere.call("room_list")[0]["has_kernel"] is True
    elsewhere.call("cell_delete", path="team/plan.ipynb", index=1)
    assert [found["source"] for found in stored(elsewhere, "team/plan.ipynb")][1] == "cell 2"
    assert list(elsewhere.workspace.rglob("*.ipynb")) == [], "none of it is a file"


def test_what_is_not_there_is_refused(elsewhere: LiveServer) -> None:
    for path, hint in (("none.ipynb", "no notebook"), ("../a.ipynb", "leaves the workspace"), ("a.txt", "not a noteb")):
        with pytest.raises(ToolFailed, match=hint):
            elsewhere.call("cell_get", path=path, index=0)


def test_a_change_by_another_program_is_not_overwritten(elsewhere: LiveServer) -> None:
    elsewhere.call("notebook_create", path="theirs.ipynb")
    elsewhere.call("cell_insert", path="theirs.ipynb", index=0, source="mine")
    url = f"{elsewhere.url}api/contents/theirs.ipynb"
    model = httpx.get(url, headers=elsewhere.headers).json()
    model["content"]["cells"][0]["source"] = "theirs"
    httpx.put(url, headers=elsewhere.headers, json=model).raise_for_status()
    with pytest.raises(ToolFailed, match="changed on disk by another program"):
        elsewhere.call("cell_insert", path="theirs.ipynb", index=0, source="more")
    assert [cell["source"] for cell in stored(elsewhere, "theirs.ipynb")] == ["theirs"]
    assert elsewhere.call("cell_get", path="theirs.ipynb", index=0)["source"] == "theirs"


async def test_a_tab_and_an_agent(elsewhere: LiveServer) -> None:
    elsewhere.call("notebook_create", path="both.ipynb")
    elsewhere.call("cell_insert", path="both.ipynb", index=0, source="start")
    async with Browser(elsewhere, "both.ipynb") as tab:
        await tab.until(lambda: tab.sources == ["start"])
        tab.type(0, " typed")
        await tab.until(lambda: [cell["source"] for cell in stored(elsewhere, "both.ipynb")] == ["start typed"])
