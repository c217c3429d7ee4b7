"""``jupyfleet bundle``: everything for a host without internet, in one file."""

from __future__ import annotations

import json as json_format
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pyinfra.api.exceptions import PyinfraError

from deploy.commands import common
from deploy.environment import bundle_pixi, bundle_uv, sitelock
from deploy.environment.uv import committed_lock, requirements_of
from deploy.inventory import SiteHost
from deploy.settings import Settings
from jupyfleet_host import architecture
from jupyfleet_host.common import plural


class Arch(StrEnum):
    """Of the hosts that the bundle is for; those of `jupyfleet_host.architecture`."""

    X86_64 = "x86_64"
    AARCH64 = "aarch64"


class Profile(StrEnum):
    """Of `deploy.environment.profiles`."""

    CORE = "core"
    FULL = "full"


_HERE = Arch(architecture.here()) if architecture.here() in architecture.KNOWN else Arch.X86_64
_PYTHON_HERE = "{}.{}".format(*sys.version_info[:2])


def bundle(
    output: Annotated[Path, typer.Option(help="The file to write.", dir_okay=False)],
    profile: Annotated[Profile, typer.Option(help="The profile of the hosts.")] = Profile.CORE,
    arch: Annotated[Arch, typer.Option(help="The architecture of the hosts.")] = _HERE,
    python: Annotated[
        str, typer.Option(help="With uv: the version of the hosts' Python, such as 3.13; else this machine's.")
    ] = _PYTHON_HERE,
    extra: Annotated[
        list[str] | None, typer.Option(help="A further package, as in jupyter_extra_packages.", metavar="PACKAGE")
    ] = None,
    inventory: Annotated[
        Path | None,
        typer.Option(help="The site of the hosts: its provider, its lock and its packages, else uv and no further."),
    ] = None,
    data: common.Data = None,
    json: common.Json = False,
) -> None:
    """Collect every package that a host needs, and what installs them, for an install without internet.

    Deploy it with `jupyter_source = "bundle"` and `jupyter_bundle = "/path/of/the/file"`.

    Example: `jupyfleet bundle --inventory lab.py --profile full --arch aarch64 --python 3.13 --output lab-aarch64.tar`
    """
    settings = _settings(inventory, profile.value, data) if inventory else None
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        count = _make(settings, profile.value, arch.value, python, output.resolve(), tuple(extra or ()))
    except (PyinfraError, OSError) as error:
        typer.echo(f"jupyfleet: {error}", err=True)
        raise typer.Exit(common.EXIT_FAILED) from error
    made_for = f"pixi on {arch.value}" if _is_pixi(settings) else f"Python {python} on {arch.value}"
    size = output.stat().st_size
    if json:
        about = {"schema": "jupyfleet/bundle/1", "command": "bundle", "file": str(output), "bytes": size}
        typer.echo(json_format.dumps(about | {"packages": count, "profile": profile.value, "for": made_for}, indent=2))
    else:
        typer.echo(f"{output}: {plural(count, 'package', 'packages')} for {made_for}, {size // 1_000_000} MB")


def _make(settings: Settings | None, profile: str, arch: str, python: str, output: Path, extra: tuple[str, ...]) -> int:
    if settings is None:
        return bundle_uv.make(profile, arch, python, output, lock=committed_lock(profile), extra=extra)
    if _is_pixi(settings):
        if extra:
            raise PyinfraError("--extra is for uv; pixi takes what the site's lock has. Set jupyter_extra_packages.")
        return bundle_pixi.make(settings, arch, output)
    of_site = sitelock.read(settings, requirements_of(settings))
    wanted = extra if of_site else (*settings.extra_packages, *extra)
    lock = of_site[0] if of_site else committed_lock(profile)
    return bundle_uv.make(profile, arch, python, output, lock=lock, extra=wanted, index=settings.pypi_index)


def _is_pixi(settings: Settings | None) -> bool:
    return settings is not None and settings.provider == "pixi"


def _settings(inventory: Path, profile: str, data: list[str] | None) -> Settings:
    """Those of the first host that has the profile, or of the first host with it; no bundle is needed to make one."""
    hosts = common.load(inventory, None, [*(data or []), "jupyter_source=index", "jupyter_bundle=null"], False)
    found: list[SiteHost] = [host for host in hosts if host.settings.profile == profile]
    return (found or hosts)[0].settings.model_copy(update={"profile": profile})
