"""The locks of a site: what its environments are made of, solved once for all hosts, kept beside the inventory.

``LOCKS/PROVIDER-PROFILE/`` holds what was asked for and what was found: ``pixi.toml`` and ``pixi.lock``, with
``requirements.txt`` for what pip adds; or ``requirements.in`` and ``requirements.txt``. Hosts that ask for something
else than the profile alone (further packages, another channel) share a directory whose name ends in a digest of just
that. Nothing here talks to a host.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Final

from pyinfra.api.exceptions import PyinfraError

from deploy.settings import Settings

#: The texts of what was found, in the order of `FOUND`.
Lock = tuple[str, ...]

#: By provider: the file of what is asked for, and those of what was found.
ASKED: Final = {"pixi": "pixi.toml", "uv": "requirements.in"}
FOUND: Final = {"pixi": ("pixi.lock", "requirements.txt"), "uv": ("requirements.txt",)}
#: Settings that decide what is asked for, beside the profile; by provider.
_OWN: Final = {
    "pixi": ("extra_packages", "extra_conda_packages", "conda_channel", "pypi_index", "spacy_model"),
    "uv": ("extra_packages",),
}


class StaleLockError(PyinfraError):
    """A lock that answers another question than the settings ask today."""


def directory_of(settings: Settings) -> Path | None:
    """Where the lock of a host's environment is, or would be; none when the site says no place."""
    if settings.locks is None:
        return None
    names = _OWN[settings.provider]
    own = {name: getattr(settings, name) for name in names if getattr(settings, name) != _default(name)}
    suffix = "-" + hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:8] if own else ""
    return Path(settings.locks) / f"{settings.provider}-{settings.profile}{suffix}"


def _default(name: str) -> object:
    return Settings.model_fields[name].get_default(call_default_factory=True)


def read(settings: Settings, asked: str) -> Lock | None:
    """The lock for just what is `asked`, or none."""
    return earlier(settings) if _was_asked(settings) == asked else None


def check(settings: Settings, asked: str) -> None:
    """Refuse a lock that is for something else: whoever made it must say what is right.

    Raises:
        StaleLockError: it answers another question.
    """
    if earlier(settings) is not None and _was_asked(settings) != asked:
        raise StaleLockError(
            f"{directory_of(settings)}/{FOUND[settings.provider][0]} is not for what the settings and this jupyfleet "
            f"ask for: {ASKED[settings.provider]} beside it differs. Run jupyfleet lock INVENTORY, and keep what it "
            "changes."
        )


def _was_asked(settings: Settings) -> str | None:
    directory = directory_of(settings)
    file = directory / ASKED[settings.provider] if directory else None
    return file.read_text(encoding="utf-8") if file and file.is_file() else None


def earlier(settings: Settings) -> Lock | None:
    """The lock that is there, whatever it was made for: its versions stay where they can."""
    directory = directory_of(settings)
    files = [directory / name for name in FOUND[settings.provider]] if directory else []
    return (
        tuple(file.read_text(encoding="utf-8") for file in files) if all(map(Path.is_file, files)) and files else None
    )


def write(settings: Settings, asked: str, found: Lock) -> Path:
    """Keep a lock; what was asked for comes last, so that half of it is never taken for the whole.

    Raises:
        PyinfraError: there is no place for it.
    """
    directory = directory_of(settings)
    if directory is None:
        raise PyinfraError("there is no place to keep the site's lock: set jupyter_locks to a directory.")
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in zip(FOUND[settings.provider], found, strict=True):
        _replace(directory / name, text)
    _replace(directory / ASKED[settings.provider], asked)
    return directory


def _replace(file: Path, text: str) -> None:
    handle, beside = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    Path(beside).chmod(0o644)
    Path(beside).rename(file)


def packages(lock: Lock | None) -> dict[str, str]:
    """Every package that a lock of either provider names, with its version; where platforms differ, with all."""
    found: dict[str, set[str]] = {}
    for name, version in (pair for text in lock or () for pair in _pairs(text)):
        found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), set()).add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}


def _pairs(lock: str) -> list[tuple[str, str]]:
    if not lock.startswith("version:"):
        return re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", lock, re.MULTILINE)
    # pixi.lock: conda's packages are named by their file, PyPI's by fields of their own.
    described = lock.partition("\npackages:\n")[2]
    conda = re.findall(r"^- conda: \S*/([^/\s]+)-([^/\s-]+)-[^/\s-]+\.(?:conda|tar\.bz2)$", described, re.MULTILINE)
    pypi = re.findall(r"^- pypi: .*\n  name: '?([^\s']+)'?\n  version: '?([^\s']+)'?", described, re.MULTILINE)
    return conda + pypi


def changes(old: Lock | None, new: Lock) -> list[str]:
    """What differs between two locks, a line per package."""
    before, after = packages(old), packages(new)
    lines = []
    for name in sorted({*before, *after}):
        if name not in before:
            lines.append(f"{name} {after[name]} is new")
        elif name not in after:
            lines.append(f"{name} {before[name]} is no longer needed")
        elif before[name] != after[name]:
            lines.append(f"{name} {before[name]} -> {after[name]}")
    return lines
