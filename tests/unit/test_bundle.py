"""Unpacking what came instead of the internet: its own files, and nothing that an archive might do besides."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from jupyfleet_host import bundle
from jupyfleet_host.common import HostError

CONTENTS = {"schema": bundle.SCHEMA, "provider": "uv", "python": "3.99", "arch": "any", "wheels": {}}


def archive(path: Path, *members: tuple[str, bytes, Any]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, kind, content in ((bundle.CONTENTS, tarfile.REGTYPE, json.dumps(CONTENTS)), *members):
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind == tarfile.REGTYPE:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content.encode()))
            else:
                member.linkname = content
                tar.addfile(member)
    return path


def unpack(home: Path, tar: Path) -> None:
    bundle.unpack(
        {
            "lock_file": str(home / "lock"),
            "archive": str(tar),
            "sha256": None,
            "directory": str(home / "bundles/one"),
            "provider": "uv",
            "python": None,
            "discard": False,
        }
    )


@pytest.mark.parametrize(
    "member",
    [
        ("../outside", tarfile.REGTYPE, "x"),
        ("/tmp/outside", tarfile.REGTYPE, "x"),
        ("a/../../outside", tarfile.REGTYPE, "x"),
        ("link", tarfile.SYMTYPE, "/etc/passwd"),
        ("hard", tarfile.LNKTYPE, "/etc/passwd"),
        ("device", tarfile.CHRTYPE, ""),
        (bundle.CONTENTS, tarfile.REGTYPE, "{}"),
    ],
    ids=lambda member: member[0],
)
def test_what_is_no_file_of_a_bundle_is_refused(tmp_path: Path, member: tuple[str, bytes, Any]) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with pytest.raises(HostError, match="is no bundle of jupyfleet's"):
        unpack(home, archive(tmp_path / "x.tar", member))
    assert not (home / "bundles/one").exists()
    assert not list(tmp_path.rglob("outside"))
