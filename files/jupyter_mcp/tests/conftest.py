"""Fixtures: a Jupyter Server in this process, a real one of its own, and notebooks to put into them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from forking import QuickServer
from live import LiveServer

pytest_plugins = ["pytest_jupyter.jupyter_server"]

# Extensions that take long to start, and have nothing to do with what is tested.
_SLOW = ("jupyterlab", "jupyter_lsp", "jupyter_server_terminals", "notebook_shim", "jupyter_resource_usage")
_SLOW += ("jupyterlab_git", "nbdime")
EXTENSIONS = {"jupyter_server_fileid": True, "jupyter_server_ydoc": True, "jupyter_mcp": True}


def notebook(*sources: str, minor: int = 5, **metadata: Any) -> dict[str, Any]:
    """A notebook of code cells, as nbformat has it."""
    cells = []
    for number, source in enumerate(sources):
        cell: dict[str, Any] = {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {},
            "outputs": [],
            "source": source,
        }
        if minor >= 5:
            cell["id"] = f"cell-{number}"
        cells.append(cell)
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": minor}


def write_notebook(path: Path, *sources: str, minor: int = 5, **metadata: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook(*sources, minor=minor, **metadata)))
    return path


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    return {
        "ServerApp": {
            "jpserver_extensions": dict(EXTENSIONS),
            "allow_unauthenticated_access": False,
            # Theirs is an endpoint that does not say who may use it, and the server warns of that.
            "terminals_enabled": False,
        },
        "YDocExtension": {"ystore_class": "jupyter_server_ydoc.stores.TempFileYStore"},
    }


@pytest.fixture(scope="session")
def make_live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., LiveServer]]:
    """Start real servers; all of them are stopped at the end of the session."""
    servers: list[LiveServer] = []

    def make(*arguments: str, **options: Any) -> LiveServer:
        server = LiveServer(tmp_path_factory.mktemp("live"), *arguments, **options)
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def live(make_live: Callable[..., LiveServer]) -> LiveServer:
    """The real server that most tests share; each uses notebooks of its own."""
    return make_live()


@pytest.fixture(scope="session")
def quick_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickServer]:
    """A real server that starts in a moment, to be killed often."""
    extensions = {**EXTENSIONS, **dict.fromkeys(_SLOW, False)}
    server = QuickServer(tmp_path_factory.mktemp("quick"), f"--ServerApp.jpserver_extensions={extensions}")
    # Else made by one of the others; without it no file has an id.
    (server.home / "data").mkdir()
    server.start()
    yield server
    server.stop()
