"""A bundle: one archive with all that hosts without internet need, for one provider, profile and architecture.

What goes into it is the affair of `bundle_uv` and `bundle_pixi`. The extension comes with every deploy anyway.
"""

from __future__ import annotations

import functools
import hashlib
import json
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.settings import Settings
from jupyfleet_host.bundle import CONTENTS, SCHEMA


@dataclass(frozen=True)
class Bundle:
    """A bundle as a deploy uses it: `source` is a path on this machine, or ``file:`` and one on the host.

    `provider` is the one that it must be for.
    """

    source: str
    provider: str

    @property
    def on_host(self) -> str | None:
        return self.source.removeprefix("file:") if self.source.startswith("file:") else None

    @functools.cached_property
    def sha256(self) -> str | None:
        """Of the archive on this machine."""
        return None if self.on_host else digest_of(Path(self.source))

    @property
    def name(self) -> str:
        """Of its directory on a host."""
        return (self.sha256 or hashlib.sha256(self.source.encode()).hexdigest())[:16]


def bundle_of(settings: Settings) -> Bundle | None:
    """That of a host, where its packages come from one."""
    return Bundle(settings.bundle, settings.provider) if settings.bundle else None


@functools.cache
def digest_of(file: Path) -> str:
    """Once a run, whatever the number of hosts."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def written(output: Path, contents: dict[str, Any]) -> Iterator[Path]:
    """A directory to fill; what is in it when the block ends becomes the bundle, described by `contents`.

    No file is left where the block raises.
    """
    with tempfile.TemporaryDirectory(prefix="jupyfleet-bundle-", dir=output.parent) as scratch:
        directory = Path(scratch) / "bundle"
        directory.mkdir()
        yield directory
        files = sorted(file for file in directory.rglob("*") if file.is_file())
        digests = {wheel.name: digest_of(wheel) for wheel in files if wheel.suffix == ".whl"}
        (directory / CONTENTS).write_text(json.dumps({"schema": SCHEMA} | contents | {"wheels": digests}, indent=1))
        beside = Path(scratch) / "bundle.tar"
        with tarfile.open(beside, "w") as archive:
            for file in [directory / CONTENTS, *files]:
                archive.add(file, str(file.relative_to(directory)), filter=_nobodys)
        beside.chmod(0o644)
        beside.rename(output)


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without what differs between two machines, so that the same wheels give the same bundle."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member
