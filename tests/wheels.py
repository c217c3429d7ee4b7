"""Small wheels of the tests' own, so that no index is asked for them."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path


def make_wheel(
    directory: Path, name: str, version: str, requires: str = "", files: Mapping[str, str] | None = None
) -> tuple[Path, str]:
    """A wheel with one module and one program, NAMEd; its path and sha256.

    `requires` are lines of metadata; `files` are further files by their paths in the wheel, such as
    ``NAME-VERSION.data/data/etc/x.json``.
    """
    info = f"{name}-{version}.dist-info"
    contents = {
        f"{name}/__init__.py": f"def main():\n    print('{name} {version}')\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}d = {name}:main\n",
    } | dict(files or {})
    record = f"{info}/RECORD"
    lines = []
    for path, text in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text.encode())}\n")
    contents[record] = "".join(lines) + f"{record},,\n"
    wheel = directory / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in contents.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return wheel, hashlib.sha256(wheel.read_bytes()).hexdigest()
