"""Let uv use the package index, certificates and wheels that this machine's pip is configured with.

uv does not read pip's configuration. Where uv has one of its own, that is what counts; else pip's is translated, so
that a site that has set up one of them needs no second place. No index is ever named by jupyfleet itself.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote

#: uv's own settings of where packages come from (uv's reference of environment variables).
_UV_SOURCES = (
    "UV_CONFIG_FILE",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_NO_INDEX",
    "UV_OFFLINE",
)
_PIP_OPTIONS = ("index-url", "extra-index-url", "find-links", "no-index", "cert", "trusted-host")


def environment_for_uv(environ: Mapping[str, str], home: Path, system: Path = Path("/etc")) -> dict[str, str]:
    """What to add to `environ` for uv: variables by name; empty where uv is configured itself.

    `home` is the user's home and `system` the directory of the machine's configuration.
    """
    pip = read_pip_options(environ, home, system)
    added = {}
    if "cert" in pip and not environ.get("SSL_CERT_FILE"):
        added["SSL_CERT_FILE"] = _expanded(pip["cert"], home)
    if _uv_is_configured(environ, home, system):
        return added
    if "index-url" in pip:
        added["UV_DEFAULT_INDEX"] = pip["index-url"]
    if extra := _reachable(pip.get("extra-index-url", "").split(), home):
        added["UV_INDEX"] = " ".join(extra)
        added["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # What pip does with several indexes.
    if links := _reachable(pip.get("find-links", "").split(), home):
        added["UV_FIND_LINKS"] = ",".join(links)
    if pip.get("no-index", "").lower() in {"1", "true", "yes", "on"}:
        added["UV_NO_INDEX"] = "1"
    if "trusted-host" in pip:
        added["UV_INSECURE_HOST"] = " ".join(pip["trusted-host"].split())
    return added


def read_pip_options(environ: Mapping[str, str], home: Path, system: Path) -> dict[str, str]:
    """pip's options that matter here, as pip ranks them: [global], then [install], then the environment.

    Of each section the stronger file counts: the machine's, the user's, that of PIP_CONFIG_FILE (which, where it is
    there, takes the place of the user's).
    """
    config_home = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = [system / "xdg/pip/pip.conf", system / "pip.conf", home / ".pip/pip.conf", config_home / "pip/pip.conf"]
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        files = []
    elif named and Path(named).exists():
        files = [*files[:2], Path(named)]
    parsers = [_parsed(file) for file in files]
    options: dict[str, str] = {}
    for section in ("global", "install"):
        for parser in parsers:
            if parser.has_section(section):
                options |= {key.replace("_", "-"): value for key, value in parser.items(section) if value}
    for option in _PIP_OPTIONS:
        if value := environ.get("PIP_" + option.upper().replace("-", "_")):
            options[option] = value
    return {option: options[option] for option in _PIP_OPTIONS if options.get(option)}


def _parsed(file: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    try:
        parser.read(file)
    except (configparser.Error, OSError, UnicodeDecodeError):
        return configparser.RawConfigParser()  # pip itself says what is wrong with it.
    return parser


def _uv_is_configured(environ: Mapping[str, str], home: Path, system: Path) -> bool:
    config_home = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = (config_home / "uv/uv.toml", system / "uv/uv.toml")
    return any(environ.get(name) for name in _UV_SOURCES) or any(file.is_file() for file in files)


def _reachable(locations: Iterable[str], home: Path) -> list[str]:
    """Leave out directories that are not there, as pip does with a warning; uv would stop."""
    expanded = [_expanded(location, home) for location in locations]
    return [place for place in expanded if "://" in place.removeprefix("file://") or _path(place).exists()]


def _expanded(location: str, home: Path) -> str:
    """uv does not know what ~ means."""
    return str(home / location[2:]) if location.startswith("~/") else location


def _path(location: str) -> Path:
    return Path(unquote(location.removeprefix("file://")) if location.startswith("file://") else location)


def main() -> None:
    """Become uv: ``python -m jupyfleet_host.package_index UV ARGUMENT…``."""
    environ = dict(os.environ) | environment_for_uv(os.environ, Path.home())
    os.execve(sys.argv[1], sys.argv[1:], environ)  # noqa: S606 - no shell is meant.


if __name__ == "__main__":
    main()
