"""What differs between the families of Linux that a server is deployed to: where supervisord is, and who installs.

Everything that depends on the family is in this table, and nowhere else.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import NamedTuple

from jupyfleet_host.common import HostError

OS_RELEASE = Path("/etc/os-release")


class Distribution(NamedTuple):
    """One family.

    `installer` is the command that package names are appended to, and `refresh` what fetches the lists before it, if
    anything; `query` tells of one name by its exit code whether it is installed. `unit` is supervisord's, `socket` its
    own interface, `programs` the directory it reads, for files that end in `suffix`.
    """

    family: str
    query: tuple[str, ...]
    refresh: tuple[str, ...]
    installer: tuple[str, ...]
    unit: str
    socket: str
    programs: str
    suffix: str


FAMILIES = {
    "fedora": Distribution(
        family="fedora",
        query=("rpm", "--query", "--whatprovides", "--quiet"),
        refresh=(),
        installer=("dnf", "install", "--assumeyes", "--setopt=install_weak_deps=False"),
        unit="supervisord.service",
        socket="/run/supervisor/supervisor.sock",
        programs="/etc/supervisord.d",
        suffix=".ini",
    ),
    "debian": Distribution(
        family="debian",
        query=("dpkg-query", "--show", "--showformat=${db:Status-Status}\\n"),
        refresh=("apt-get", "update", "--quiet"),
        installer=("apt-get", "install", "--yes", "--quiet", "--no-install-recommends"),
        unit="supervisor.service",
        socket="/run/supervisor.sock",
        programs="/etc/supervisor/conf.d",
        suffix=".conf",
    ),
}

SUPERVISOR_UNITS = frozenset(family.unit for family in FAMILIES.values())


def of_os_release(text: str) -> Distribution:
    """The family that an os-release(5) file names, by its own ID or by those that it is like.

    Raises:
        HostError: another family.
    """
    fields = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        words = shlex.split(value, comments=True)
        fields[name.strip()] = words[0] if words else ""
    for identifier in (fields.get("ID", ""), *fields.get("ID_LIKE", "").split()):
        if identifier in FAMILIES:
            return FAMILIES[identifier]
    name = fields.get("PRETTY_NAME") or fields.get("ID") or "This host"
    raise HostError(
        f"{name} is of no family that jupyter_scope 'system' knows: they are {' and '.join(sorted(FAMILIES))}. "
        "Use jupyter_scope 'user', which needs only Python."
    )


def of_this_host() -> Distribution:
    """The family of this host.

    Raises:
        HostError: another family, or none that can be told.
    """
    try:
        return of_os_release(OS_RELEASE.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError) as error:
        raise HostError(f"what system this host runs cannot be told: {OS_RELEASE}: {error}") from error
