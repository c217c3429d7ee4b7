"""What JupyterLab asks before it saves, and that everything else about contents is Jupyter Server's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import notebook, write_notebook
from tornado.httpclient import HTTPClientError

from jupyter_mcp.upstream import Collaboration

Fetch = Callable[..., Awaitable[Any]]


async def _model(jp_fetch: Fetch, path: str, **params: str) -> dict[str, Any]:
    answer = await jp_fetch("api", "contents", path, params=params)
    model: dict[str, Any] = json.loads(answer.body)
    return model


async def _open_room(jp_serverapp: Any, path: str) -> None:
    collaboration = Collaboration(jp_serverapp.web_app.settings)
    await collaboration.open(collaboration.room_id(path))


async def test_a_shared_notebook_has_nothing_that_could_differ(
    jp_serverapp: Any, jp_root_dir: Path, jp_fetch: Fetch
) -> None:
    write_notebook(jp_root_dir / "sub/shared.ipynb", "1")
    await _open_room(jp_serverapp, "sub/shared.ipynb")
    model = await _model(jp_fetch, "sub/shared.ipynb", content="0", hash="1")
    assert model["hash"] is None
    assert datetime.fromisoformat(model["last_modified"]).timestamp() == 0
    # What JupyterLab's own validation asks for is there.
    assert (model["name"], model["path"], model["type"]) == ("shared.ipynb", "sub/shared.ipynb", "notebook")


async def test_a_notebook_that_nobody_shares_is_answered_as_ever(jp_root_dir: Path, jp_fetch: Fetch) -> None:
    path = write_notebook(jp_root_dir / "alone.ipynb", "1")
    model = await _model(jp_fetch, "alone.ipynb", content="0", hash="1")
    assert model["hash"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert abs(datetime.fromisoformat(model["last_modified"]).timestamp() - path.stat().st_mtime) < 1


@pytest.mark.parametrize("params", [{}, {"content": "0"}, {"hash": "1"}])
async def test_other_questions_about_a_shared_notebook_are_answered_as_ever(
    jp_serverapp: Any, jp_root_dir: Path, jp_fetch: Fetch, params: dict[str, str]
) -> None:
    path = write_notebook(jp_root_dir / "shared.ipynb", "1")
    await _open_room(jp_serverapp, "shared.ipynb")
    model = await _model(jp_fetch, "shared.ipynb", **params)
    assert abs(datetime.fromisoformat(model["last_modified"]).timestamp() - path.stat().st_mtime) < 1
    assert (model["content"] is None) == (params.get("content") == "0")
    assert model["hash"] == (hashlib.sha256(path.read_bytes()).hexdigest() if "hash" in params else None)


async def test_a_notebook_is_still_saved_renamed_and_deleted_through_the_api(
    jp_root_dir: Path, jp_fetch: Fetch
) -> None:
    body = json.dumps({"type": "notebook", "format": "json", "content": notebook("1 + 1")})
    assert (await jp_fetch("api", "contents", "a.ipynb", method="PUT", body=body)).code == 201
    assert json.loads((jp_root_dir / "a.ipynb").read_text())["cells"][0]["source"] == ["1 + 1"]
    await jp_fetch("api", "contents", "a.ipynb", method="PATCH", body=json.dumps({"path": "b.ipynb"}))
    assert (jp_root_dir / "b.ipynb").exists()
    await jp_fetch("api", "contents", "b.ipynb", method="DELETE")
    assert not (jp_root_dir / "b.ipynb").exists()
    with pytest.raises(HTTPClientError, match="404"):
        await jp_fetch("api", "contents", "b.ipynb", params={"content": "0", "hash": "1"})


async def test_contents_of_notebooks_ask_for_the_token(
    jp_serverapp: Any, jp_root_dir: Path, jp_fetch: Fetch, http_server_client: Any, jp_base_url: str
) -> None:
    write_notebook(jp_root_dir / "shared.ipynb", "secret")
    await _open_room(jp_serverapp, "shared.ipynb")
    with pytest.raises(HTTPClientError, match="403"):
        await http_server_client.fetch(f"{jp_base_url}api/contents/shared.ipynb?content=0&hash=1")
