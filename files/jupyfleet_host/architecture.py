"""What depends on a host's processor: the names that others have for it. Everything that goes by it asks here."""

from __future__ import annotations

import platform
from typing import NamedTuple


class Architecture(NamedTuple):
    """One that jupyfleet is for: `name` is the kernel's (``uname -m``), `conda` the platform's in channels and locks.

    `wheels` are the tags of wheels from before PEP 600, the newest first: PEP 513, 571 and 599.
    """

    name: str
    conda: str
    wheels: tuple[str, ...]


X86_64 = Architecture("x86_64", "linux-64", ("manylinux2014", "manylinux2010", "manylinux1"))
AARCH64 = Architecture("aarch64", "linux-aarch64", ("manylinux2014",))
#: By the kernel's name. Locks are made for all of them.
KNOWN = {known.name: known for known in (X86_64, AARCH64)}


def here() -> str:
    """What the kernel of this machine calls it; it may be none that is known."""
    return platform.machine()


def problem(name: str) -> str | None:
    """Why nothing can be deployed to a host with a processor of this name, if nothing can."""
    if name in KNOWN:
        return None
    return f"this host is {name}, and its packages are only to be had for {' and '.join(KNOWN)}."
