"""The programs that test machines take, and whether this machine has them."""

from __future__ import annotations

import shutil


def missing(*names: str) -> str | None:
    """A sentence about the programs that are not here, if any."""
    absent = [name for name in names if shutil.which(name) is None]
    return f"there is no {' and no '.join(absent)} (make installs what it can before such tests)" if absent else None
