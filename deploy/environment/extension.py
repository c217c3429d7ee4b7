"""The wheel of `files/jupyter_mcp`, built on the controller by hatchling: the same sources give the same bytes."""

from __future__ import annotations

import functools
import hashlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pyinfra.api.exceptions import PyinfraError

from deploy.paths import FILES

_LEFT_OUT = {"tests", "__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache", ".hypothesis", "dist", "build"}


@dataclass(frozen=True)
class Extension:
    """The sources of an extension; its wheel is built only when a host needs it."""

    sources: Path

    @functools.cached_property
    def digest(self) -> str:
        """Changes when a file that could end up in the wheel does."""
        total = hashlib.sha256()
        for file in sorted(self.sources.rglob("*")):
            if file.is_file() and not _LEFT_OUT.intersection(file.relative_to(self.sources).parts):
                total.update(f"{file.relative_to(self.sources)}\0".encode())
                total.update(hashlib.sha256(file.read_bytes()).digest())
        return total.hexdigest()

    def build(self) -> tuple[str, str]:
        """Build the wheel and return its path and sha256.

        Raises:
            PyinfraError: hatchling's own words.
        """
        return _build(self.sources, self.digest)


#: One for all hosts of a run: its digest reads every file.
JUPYTER_MCP = Extension(FILES / "jupyter_mcp")


@functools.cache
def _build(sources: Path, digest: str) -> tuple[str, str]:
    """Once a run, whatever the number of hosts; the directory lasts as long as the process."""
    directory = _scratch() / digest
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)]
    built = subprocess.run(command, cwd=sources, capture_output=True, text=True, check=False)
    wheels = list(directory.glob("*.whl"))
    if built.returncode or len(wheels) != 1:
        raise PyinfraError(f"the wheel of {sources.name} could not be built:\n{built.stderr or built.stdout}")
    return str(wheels[0]), hashlib.sha256(wheels[0].read_bytes()).hexdigest()


@functools.cache
def _scratch() -> Path:
    keeper = tempfile.TemporaryDirectory(prefix="jupyfleet-wheels-")
    _KEEPERS.append(keeper)
    return Path(keeper.name)


_KEEPERS: list[tempfile.TemporaryDirectory[str]] = []
