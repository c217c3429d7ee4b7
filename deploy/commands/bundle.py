"""``jupyfleet bundle``: everything for a host without internet, in one file."""

from __future__ import annotations

import platform
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pyinfra.api.exceptions import PyinfraError

from deploy.commands import common
from deploy.environment import bundle as bundles
from jupyfleet_host.common import plural


class Arch(StrEnum):
    """Of the hosts that the bundle is for."""

    X86_64 = "x86_64"
    AARCH64 = "aarch64"


class Profile(StrEnum):
    """Of `deploy.environment.profiles`."""

    CORE = "core"
    FULL = "full"


_HERE = Arch(platform.machine()) if platform.machine() in list(Arch) else Arch.X86_64
_PYTHON_HERE = "{}.{}".format(*sys.version_info[:2])


def bundle(
    output: Annotated[Path, typer.Option(help="The file to write.", dir_okay=False)],
    profile: Annotated[Profile, typer.Option(help="The profile of the hosts.")] = Profile.CORE,
    arch: Annotated[Arch, typer.Option(help="The architecture of the hosts.")] = _HERE,
    python: Annotated[
        str, typer.Option(help="The version of the hosts' Python, such as 3.13; else this machine's.")
    ] = _PYTHON_HERE,
    extra: Annotated[
        list[str] | None, typer.Option(help="A further package, as in jupyter_extra_packages.", metavar="PACKAGE")
    ] = None,
) -> None:
    """Collect every wheel that a host needs, with the provider uv, and uv itself, for an install without internet.

    Deploy it with `jupyter_source = "bundle"` and `jupyter_bundle = "/path/of/the/file"`.

    Example: `jupyfleet bundle --profile full --arch aarch64 --python 3.13 --output lab-aarch64.tar`
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        count = bundles.make(profile.value, arch.value, python, output.resolve(), extra=tuple(extra or ()))
    except (PyinfraError, OSError) as error:
        typer.echo(f"jupyfleet: {error}", err=True)
        raise typer.Exit(common.EXIT_FAILED) from error
    size = output.stat().st_size // 1_000_000
    typer.echo(f"{output}: {plural(count, 'wheel', 'wheels')} for Python {python} on {arch.value}, {size} MB")
