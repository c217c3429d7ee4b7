"""Whether wheels are for hosts of another architecture, by the tags that such a host's Python would accept."""

from __future__ import annotations

from collections.abc import Iterable

from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename


def unfit(wheels: Iterable[str], arch: str, python: str) -> list[str]:
    """Those that no Python of that version takes there, glibc 2.28 being the oldest."""
    major, minor = (int(part) for part in python.split("."))
    platforms = [f"manylinux_2_{number}_{arch}" for number in range(28, 4, -1)] + [f"manylinux2014_{arch}"]
    fits = {
        *cpython_tags((major, minor), platforms=platforms),
        *compatible_tags((major, minor), platforms=platforms),
    }
    return [wheel for wheel in wheels if not parse_wheel_filename(wheel)[3] & fits]
