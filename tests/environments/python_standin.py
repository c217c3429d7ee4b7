"""A stand-in for the Pythons that uv fetches: this machine's own, packed as those are, and listed as uv lists them.

The real ones come from where the tests cannot go. It proves that uv fetches, checks and uses what a mirror has; of the
Pythons that are really there it proves nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
from pathlib import Path

from tests.environments.channel import PLACEHOLDER, python_packages

_UPSTREAM = "https://github.com/astral-sh/python-build-standalone/releases/download"
_RELEASE = "20240101"


def write_mirror(directory: Path) -> Path:
    """Fill a directory with what a mirror of the Pythons has; the list that tells uv of them."""
    python = python_packages()[0]
    version, machine = python.version, os.uname().machine
    name = f"cpython-{version}+{_RELEASE}-{machine}-unknown-linux-gnu-install_only.tar.gz"
    archive = directory / _RELEASE / name
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz", compresslevel=1) as members:
        for path, content in sorted(python.files.items()):
            raw = content.encode() if isinstance(content, str) else content
            raw = raw.replace(PLACEHOLDER.encode(), b"/install")
            member = tarfile.TarInfo(f"python/{path}")
            member.size, member.mode = len(raw), 0o755 if path.startswith("bin/") or ".so" in path else 0o644
            members.addfile(member, io.BytesIO(raw))
        for path, target in python.links.items():
            member = tarfile.TarInfo(f"python/{path}")
            member.type, member.linkname = tarfile.SYMTYPE, target
            members.addfile(member)
    major, minor, patch = sys.version_info[:3]
    known = {
        "name": "cpython",
        "arch": {"family": machine, "variant": None},
        "os": "linux",
        "libc": "gnu",
        "major": major,
        "minor": minor,
        "patch": patch,
        "prerelease": "",
        "url": f"{_UPSTREAM}/{_RELEASE}/{name.replace('+', '%2B')}",
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "variant": None,
        "build": _RELEASE,
    }
    listed = directory / "downloads.json"
    listed.write_text(json.dumps({f"cpython-{version}-linux-{machine}-gnu": known}))
    return listed
