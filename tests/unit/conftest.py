"""A host on which everything is well, for the tests of the probe."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from probe_servers import Host, Jupyter, Supervisor

from jupyfleet_host import probe_common


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A folder whose path is short enough for a unix socket."""
    with tempfile.TemporaryDirectory(prefix="jf-") as folder:
        yield Path(folder)


@pytest.fixture
def supervisor(sockets: Path) -> Iterator[Supervisor]:
    """A supervisord that runs the program."""
    with Supervisor(sockets / "s") as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def jupyter() -> Iterator[Jupyter]:
    """A Jupyter that behaves."""
    with Jupyter() as server:
        yield server


@pytest.fixture
def host(
    tmp_path: Path, jupyter: Jupyter, supervisor: Supervisor, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> Host:
    """A host on which everything is well, and a probe that makes short pauses."""
    monkeypatch.setattr(probe_common, "POLL_SECONDS", 0.05)
    return Host(tmp_path, jupyter, supervisor, sockets / "s")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder of nobody's that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="jf-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        shutil.chown(path, "nobody")
        yield path
