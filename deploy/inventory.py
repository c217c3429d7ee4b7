"""Reading an inventory the way stock pyinfra does, and checking the settings of every host in it."""

from __future__ import annotations

import ipaddress
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pyinfra.api import State
from pyinfra.api.exceptions import PyinfraError
from pyinfra.context import ctx_state

from deploy.settings import Settings, read_all_settings


class InventoryError(PyinfraError):
    """The inventory cannot be used; nothing was touched."""


@dataclass(frozen=True)
class SiteHost:
    """One host of an inventory: its name as pyinfra knows it, all its data, and the settings among them."""

    name: str
    data: Mapping[str, Any]
    settings: Settings

    @property
    def is_this_machine(self) -> bool:
        """Whether nobody has to go anywhere to reach it."""
        return self.name == "@local"

    @property
    def address(self) -> str | None:
        """Where other machines reach its server; None where the server listens on one address, and says which."""
        if self.is_this_machine or not ipaddress.ip_address(self.settings.bind).is_unspecified:
            return None
        return str(self.data.get("ssh_hostname") or self.name)


def load_site(
    inventory: Path, *, limit: Iterable[str] = (), overrides: Mapping[str, Any] | None = None
) -> list[SiteHost]:
    """Read an inventory file with its group data.

    `limit` keeps hosts by name, pattern or group; `overrides` are data that win over all others. The settings of
    hosts outside the limit are checked, too: an inventory is right as a whole or not used.

    Raises:
        InventoryError: the file is missing or no inventory, or the limit matches no host.
        SettingsError: settings are wrong.
    """
    # Here, since pyinfra_cli patches the whole process when it is imported (see `deploy.cli`).
    from pyinfra_cli.exceptions import CliError, UnexpectedExternalError
    from pyinfra_cli.inventory import make_inventory_from_files

    if not inventory.is_file():
        raise InventoryError(f"there is no inventory {inventory}")
    try:
        with ctx_state.use(State()):
            found = make_inventory_from_files(str(inventory), override_data=dict(overrides or {}), cwd=None)
    except (PyinfraError, CliError) as error:
        raise InventoryError(f"{inventory} is no inventory: {error}") from error
    except UnexpectedExternalError as error:
        raise InventoryError(
            f"{inventory} does not run: {type(error.exception).__name__}: {error.exception}"
        ) from error
    except SyntaxError as error:
        file = error.filename or inventory
        raise InventoryError(f"{file} is not Python: {error.msg}, line {error.lineno}") from error
    except SystemExit as error:
        raise InventoryError(f"{inventory} does not run: it ends the program with {error.code!r}") from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise InventoryError(f"{inventory} is no inventory, a Python file with lists of hosts: {error}") from error
    data = {host.name: host.data.dict() for host in found}
    if not data:
        raise InventoryError(f"{inventory} has no hosts: it needs a list, such as lab = ['server.example']")
    for values in data.values():
        values.setdefault("jupyter_locks", str(locks_beside(inventory)))
    settings = read_all_settings(data)
    groups = {host.name: {"all", *host.groups} for host in found}
    patterns = list(limit)
    names = [name for name in data if not patterns or any(_matches(name, groups[name], p) for p in patterns)]
    if not names:
        raise InventoryError(f"--limit {' '.join(patterns)} matches no host; there are {', '.join(data)}")
    return [SiteHost(name, data[name], settings[name]) for name in names]


def locks_beside(inventory: Path) -> Path:
    """Where the locks of a site are, unless it says otherwise: ``lab.locks`` beside ``lab.py``."""
    return inventory.resolve().with_suffix(".locks")


def inventory_of_stock_pyinfra() -> Path | None:
    """The inventory file that pyinfra itself was started with: the first of its arguments that is a file."""
    return next((Path(argument) for argument in sys.argv[1:] if Path(argument).is_file()), None)


def _matches(name: str, groups: set[str], pattern: str) -> bool:
    return pattern in groups or fnmatch(name, pattern)


def parse_override(text: str) -> tuple[str, Any]:
    """One ``KEY=VALUE`` of the command line; the value is JSON where it can be, and text otherwise.

    Raises:
        InventoryError: it has no equals sign.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InventoryError(f"--data {text}: write KEY=VALUE, as in --data jupyter_profile=full")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
