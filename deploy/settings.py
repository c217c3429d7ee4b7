"""Every setting of a host: its type, its default, what it means, and what makes it wrong.

Settings are pyinfra host or group data with the prefix ``jupyter_``. They are read and checked for all hosts of a
site before any host is touched; this module never talks to a host.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pyinfra.api.exceptions import PyinfraError

from deploy.paths import HostPaths, TlsFiles
from deploy.values import (
    AbsolutePath,
    Address,
    BaseUrl,
    CondaChannel,
    CondaRequirement,
    Executable,
    FirewallZone,
    HereOrThere,
    HostName,
    PackageIndex,
    PixiUrl,
    PypiRequirement,
    Python,
    PythonMirror,
    Sha256,
    ShareTag,
    SpacyModel,
    UserName,
    Version,
    is_on_host,
)

PREFIX = "jupyter_"

#: Unix sockets have short paths (108 bytes with the final NUL, see unix(7)); the longest of ours is this much longer.
_SOCKET_PATH_BYTES = 107


class Settings(BaseModel):
    """The settings of one host, by their names without the prefix ``jupyter_``."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    scope: Literal["user", "system"] = Field(
        "user",
        description="Whose the server is: 'user': the login user's, no root; 'system': a service user's, from boot.",
    )
    user: UserName | None = Field(None, description="The service user of scope 'system'; made when there is none.")
    home: AbsolutePath = Field(description="Directory below which everything is kept: releases, configuration, logs.")
    port: int = Field(8888, ge=1, le=65535, description="TCP port that JupyterLab and MCP are served on.")
    bind: Address = Field("127.0.0.1", description="IP address to listen on.")
    allowed_hosts: list[HostName] = Field(
        default_factory=list,
        description="Further names by which MCP clients may address the host, beside its own names and addresses.",
    )
    tls: Literal["none", "self-signed", "files"] = Field(
        "none", description="HTTPS: 'self-signed': with a certificate that the host makes; 'files': with one it has."
    )
    tls_certificate: HereOrThere | None = Field(
        None,
        description="With jupyter_tls 'files': the certificate, and those that lead to its authority. A path on the "
        "machine that deploys, or file: and one on the host.",
    )
    tls_key: HereOrThere | None = Field(None, description="The key of that certificate, at the same side.")
    firewall_zone: FirewallZone | None = Field(
        None, description="The zone of firewalld that the port is opened in, where it runs; None: its default zone."
    )
    base_url: BaseUrl = Field("/", description="Path in front of /lab and /mcp.")
    auth: Literal["token", "none"] = Field(
        "token", description="'token': a token file made on the host; 'none': no authentication, loopback only."
    )
    workspace: AbsolutePath = Field("", description="Directory of the notebooks; by default 'workspace' in the home.")
    workspace_mount: Literal["directory", "virtiofs"] = Field(
        "directory", description="What the workspace is: a directory of the host, or a share of the hypervisor."
    )
    workspace_tag: ShareTag = Field(
        "workspace", description="The tag of the share, with jupyter_workspace_mount 'virtiofs'."
    )
    provider: Literal["uv", "pixi"] = Field(
        "uv", description="What installs the environment: 'uv' from PyPI, 'pixi' from conda-forge."
    )
    profile: Literal["core", "full"] = Field(
        "core", description="'core': JupyterLab, collaboration and MCP; 'full': core, data science and NLP."
    )
    extra_packages: list[PypiRequirement] = Field(
        default_factory=list, description="Further packages for the environment, as requirements."
    )
    extra_conda_packages: list[CondaRequirement] = Field(
        default_factory=list, description="With provider 'pixi': further packages of the channel, as in 'r-base>=4'."
    )
    spacy_model: SpacyModel | None = Field(
        None,
        description="Where profile full gets en_core_web_sm: None: with 'pixi' from the channel, with 'uv' not at all; "
        "'none': not at all; with 'uv' a URL with #sha256=…, or a wheel's path.",
    )
    python: Python = Field(
        "python3",
        description="With 'uv': the host's Python (3.11 or newer) that environments are made from; 'uv:3.13' and the "
        "like: one that uv fetches.",
    )
    python_mirror: PythonMirror | None = Field(
        None,
        description="With 'uv:3.13' and the like: a mirror of the Pythons that uv fetches, or file:/// and a directory "
        "on the host; None: where uv has them from.",
    )
    uv: Executable | None = Field(
        None, description="A uv that the host already has; None: the pinned one is installed from the host's index."
    )
    source: Literal["index", "bundle"] = Field(
        "index",
        description="Where packages come from: 'index', or 'bundle': a file of `jupyfleet bundle`, no internet.",
    )
    bundle: HereOrThere | None = Field(
        None,
        description="With source 'bundle': its path on the machine that deploys, or file: and its path on the host.",
    )
    pypi_index: PackageIndex | None = Field(
        None, description="URL of the package index (PEP 503), such as a mirror; None: what the host's pip or uv has."
    )
    conda_channel: CondaChannel = Field(
        "conda-forge", description="With 'pixi': the channel, by its name or the URL of a mirror."
    )
    pixi_version: Version = Field("0.75.0", description="Which pixi installs.")
    pixi_digests: dict[str, list[Sha256]] | None = Field(
        None,
        description="By architecture the sha256 of pixi's archive and of the executable in it; None: those that "
        "jupyfleet has pinned for its default version.",
    )
    pixi_url: PixiUrl = Field(
        "https://github.com/prefix-dev/pixi/releases/download/v{version}/pixi-{arch}-unknown-linux-musl.tar.gz",
        description="Where pixi's archive is, with {version} and {arch}: http(s), file: on the host, or a path on the "
        "machine that deploys.",
    )
    locks: str | None = Field(
        None, description="Directory of the site's locks on the machine that deploys; None: beside the inventory."
    )
    keep_releases: int = Field(3, ge=1, le=100, description="How many environments to keep, the active one among them.")
    start_timeout: int = Field(
        120, ge=10, le=3600, description="Seconds that the server may take from its start to its first answer."
    )
    mcp_room_idle_timeout: int = Field(
        600, ge=1, description="Seconds after which a notebook that nobody uses is saved and closed."
    )
    mcp_publish: bool = Field(
        False,
        description="Whether OV_MCP_SERVERS tells agents in the server's terminals and kernels of its MCP server.",
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_that_follow(cls, values: Any) -> Any:
        """Defaults that depend on other settings."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        if values.get("scope") == "system":
            user = values.setdefault("user", "jupyter")
            values.setdefault("home", f"/home/{user}")
            values.setdefault("provider", "pixi")
            values.setdefault("bind", "127.0.0.1" if values.get("auth") == "none" else "0.0.0.0")  # noqa: S104
        if isinstance(values.get("home"), str):
            values.setdefault("workspace", str(PurePosixPath(values["home"]) / "workspace"))
        return values

    @model_validator(mode="after")
    def _belong_together(self) -> Settings:
        problems: list[Problem] = []

        def refuse(name: str, message: str) -> None:
            value = getattr(self, name)
            problems.append(Problem("", PREFIX + name, f"{message}." if value is None else f"{value!r} {message}."))

        if self.auth == "none" and not ipaddress.ip_address(self.bind).is_loopback:
            refuse("bind", "is no loopback address, and jupyter_auth is 'none'; use '127.0.0.1', or auth 'token'")
        if self.scope == "user" and self.user is not None:
            refuse("user", "is of no use: with jupyter_scope 'user' the server is the login user's")
        if self.scope == "user" and self.workspace_mount == "virtiofs":
            refuse("workspace_mount", "needs root on the host; use jupyter_scope 'system'")
        if self.scope == "user" and self.firewall_zone is not None:
            refuse("firewall_zone", "needs root on the host; use jupyter_scope 'system'")
        for name in ("tls_certificate", "tls_key"):
            if (getattr(self, name) is None) is (self.tls == "files"):
                verb = "is needed with" if self.tls == "files" else "is only for"
                refuse(name, f"{verb} jupyter_tls 'files'")
        if len({is_on_host(path) for path in (self.tls_certificate, self.tls_key) if path}) > 1:
            refuse("tls_key", "must be where jupyter_tls_certificate is: both here, or both on the host (file:)")
        if self.spacy_model_wheel and self.profile != "full":
            refuse("spacy_model", "is of no use: spaCy is only in jupyter_profile 'full'")
        if self.source == "bundle" and (self.spacy_model or "").startswith(("http:", "https:")):
            refuse(
                "spacy_model",
                "needs the internet; with jupyter_source 'bundle' name a file on the machine that deploys",
            )
        if (self.source == "bundle") is (self.bundle is None):
            verb = "is needed with" if self.bundle is None else "is only for"
            refuse("bundle", f"{verb} jupyter_source 'bundle'")
        is_fetched, has_directory = self.python.startswith("uv:"), (self.python_mirror or "").startswith("file:")
        if self.source == "bundle" and is_fetched and not has_directory:
            refuse(
                "python",
                "needs the internet; with jupyter_source 'bundle' name a Python of the host, or a directory in "
                "jupyter_python_mirror",
            )
        if self.python_mirror and not is_fetched:
            refuse("python_mirror", "is of no use: jupyter_python names a Python of the host")
        if self.provider == "pixi":
            if self.spacy_model_wheel:
                refuse("spacy_model", "is for jupyter_provider 'uv'; with 'pixi' leave it out, or use 'none'")
            if self.pixi_digests is None and self.pixi_version != type(self).model_fields["pixi_version"].default:
                refuse("pixi_version", "has no digests that jupyfleet knows; set jupyter_pixi_digests as well")
            if any(len(pair) != 2 for pair in (self.pixi_digests or {}).values()):
                refuse("pixi_digests", "must have two of them per architecture: of the archive, of the executable")
        elif self.extra_conda_packages:
            refuse("extra_conda_packages", "are for jupyter_provider 'pixi'")
        socket = str(self.paths.supervisor_socket)
        if self.scope == "user" and len(socket.encode()) > _SOCKET_PATH_BYTES:
            refuse(
                "home",
                f"is too long: the path of its socket, {socket}, would have {len(socket.encode())} bytes, "
                f"and the system allows {_SOCKET_PATH_BYTES}",
            )
        workspace, home = PurePosixPath(self.workspace), PurePosixPath(self.home)
        if home.is_relative_to(workspace):
            refuse("workspace", "holds the home, with its token; put it beside or below the home")
        if any(workspace.is_relative_to(path) for path in self.paths.removable()):
            refuse(
                "workspace", "is in a directory that jupyfleet replaces; use another, such as 'workspace' in the home"
            )
        if problems:
            raise _TogetherError(problems)
        return self

    @property
    def paths(self) -> HostPaths:
        return HostPaths(PurePosixPath(self.home), owner=self.user)

    @property
    def tls_files(self) -> TlsFiles | None:
        """The certificate and its key, on the host; None without HTTPS."""
        if self.tls == "none":
            return None
        if self.tls_certificate and self.tls_key and is_on_host(self.tls_key):
            named = (PurePosixPath(path.removeprefix("file:")) for path in (self.tls_certificate, self.tls_key))
            return TlsFiles(*named)
        return self.paths.own_tls_files

    @property
    def tls_files_here(self) -> tuple[Path, Path] | None:
        """A certificate and its key on the machine that deploys, for the host to get."""
        if self.tls_certificate and self.tls_key and not is_on_host(self.tls_key):
            return Path(self.tls_certificate), Path(self.tls_key)
        return None

    @property
    def scheme(self) -> str:
        return "http" if self.tls == "none" else "https"

    @property
    def spacy_model_wheel(self) -> str | None:
        """Where the model's wheel is, when it comes from one."""
        return None if self.spacy_model == "none" else self.spacy_model

    @property
    def has_spacy_model(self) -> bool:
        """Whether the environment has spaCy's model."""
        if self.profile != "full" or self.spacy_model == "none":
            return False
        return self.provider == "pixi" or self.spacy_model is not None

    @property
    def as_root(self) -> str | None:
        """As whom a host script changes the machine itself: root in system scope, the login user in user scope."""
        return "root" if self.scope == "system" else None


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a site's settings."""

    host: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.host}: {self.key}: {self.message}"


class _TogetherError(ValueError):
    """Settings that are right one by one, but not together; the problems name no host yet."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


class SettingsError(PyinfraError):
    """The settings of a site are wrong; nothing was touched. Its text has one sentence per problem."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def read_settings(host: str, data: Mapping[str, Any]) -> Settings:
    """Check the data of one host and return its settings.

    Keys without the prefix ``jupyter_`` are other people's and left alone.

    Raises:
        SettingsError: with every problem of this host.
    """
    ours = {
        key.removeprefix(PREFIX): value
        for key, value in data.items()
        if isinstance(key, str) and key.startswith(PREFIX)
    }
    try:
        return Settings.model_validate(ours)
    except ValidationError as error:
        details = [dict(detail) for detail in error.errors()]
        raise SettingsError([problem for detail in details for problem in _problems(host, detail, ours)]) from error


def read_all_settings(site: Mapping[str, Mapping[str, Any]]) -> dict[str, Settings]:
    """Check the data of every host of a site, by host name.

    Raises:
        SettingsError: with every problem of every host.
    """
    settings: dict[str, Settings] = {}
    problems: list[Problem] = []
    for host, data in site.items():
        try:
            settings[host] = read_settings(host, data)
        except SettingsError as error:
            problems.extend(error.problems)
    if problems:
        raise SettingsError(problems)
    return settings


def _problems(host: str, detail: dict[str, Any], ours: Mapping[str, Any]) -> list[Problem]:
    location = detail["loc"]
    if not location:
        return [replace(problem, host=host) for problem in detail["ctx"]["error"].problems]
    if location == ("workspace",) and "workspace" not in ours:
        return []  # It is made from the home, which is what is wrong.
    return [_problem(host, detail)]


def _problem(host: str, detail: dict[str, Any]) -> Problem:
    """Say one of pydantic's findings as a sentence with the key, the value and what would be right."""
    location = detail["loc"]
    name = str(location[0])
    key = PREFIX + name
    # A password in a URL is refused, and must not end up in a log for that.
    value = re.sub(r"//[^/@\s]*@", "//***@", repr(detail["input"]))
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, Settings.model_fields, n=1)
        hint = f"did you mean {PREFIX}{near[0]}?" if near else "see docs/settings.md for those there are."
        return Problem(host, key, f"there is no such setting; {hint}")
    if detail["type"] == "missing":
        return Problem(host, key, f"is not set. {Settings.model_fields[name].description}")
    if detail["type"] == "value_error":
        return Problem(host, key, f"{value} {detail['ctx']['error']}.")
    if detail["type"] == "literal_error":
        choices = " or ".join(repr(choice) for choice in get_args(Settings.model_fields[name].annotation))
        return Problem(host, key, f"{value} is not one of its values; use {choices}.")
    return Problem(host, key, f"{value} is wrong: {_lower_first(detail['msg'])}.")


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
