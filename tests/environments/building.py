"""Building a release as a test asks for it, and what such a release says."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jupyfleet_host.common import HostError
from jupyfleet_host.environment import build
from jupyfleet_host.releases import activate, is_complete
from tests.environments.channel import Package

STANDIN = Path(__file__).with_name("pixi_standin.py")
Spec = dict[str, Any]


@dataclass(frozen=True)
class Archive:
    """A program as pixi's releases are packed; by architecture the sha256 of the archive and of the program."""

    file: Path
    digests: dict[str, list[str]]


def packed(file: Path, program: bytes) -> Archive:
    with tarfile.open(file, "w:gz") as members:
        member = tarfile.TarInfo("pixi")
        member.size, member.mode = len(program), 0o755
        members.addfile(member, io.BytesIO(program))
    digests = [hashlib.sha256(file.read_bytes()).hexdigest(), hashlib.sha256(program).hexdigest()]
    return Archive(file, {os.uname().machine: digests})


def packed_standin(file: Path, calls: Path | None = None) -> Archive:
    """The stand-in of pixi, run by the tests' own Python; into `calls` it writes the arguments of each call."""
    program = STANDIN.read_text()
    if calls:
        first = "from __future__ import annotations\n"
        assert first in program
        noted = f"import sys\nwith open({str(calls)!r}, 'a') as calls:\n    print(*sys.argv[1:], file=calls)\n"
        program = program.replace(first, first + noted)
    return packed(file, f"#!{sys.executable}\n{program}".encode())


def pixi_of(home: Path, archive: Archive) -> Spec:
    return {
        "home": str(home / ".pixi"),
        "version": "0.75.0",
        "digests": archive.digests,
        "url": archive.file.as_uri(),
    }


def content_of(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def tool(version: str) -> Package:
    """A package with one program, which says its version."""
    return Package("tool", version, {"bin/tool": f"#!/bin/sh\necho tool {version}\n"})


def manifest(channel_url: str, index_url: str, tool_version: str) -> str:
    return (
        f'[workspace]\nname = "test"\nchannels = ["{channel_url}"]\nplatforms = ["linux-64", "linux-aarch64"]\n'
        f'[dependencies]\npython = "*"\npip = "*"\ntool = "{tool_version}"\n'
        f'[pypi-dependencies]\naddition = "*"\n[pypi-options]\nindex-url = "{index_url}"\n'
    )


def says(path: Path, program: str = "tool") -> str:
    """What a program of a release prints."""
    command = [path / ".pixi/envs/default/bin" / program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def switch_to(spec: Spec, path: Path, keep: int = 3) -> None:
    activate({"lock_file": spec["lock_file"], "path": str(path), "link": spec["link"], "keep": keep})


def refused(spec: Spec) -> str:
    """Why a build is refused; nothing of it may be taken for complete."""
    with pytest.raises(HostError) as caught:
        build(spec)
    assert not is_complete(Path(spec["path"]))
    return str(caught.value)
