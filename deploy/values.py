"""The types of settings: what a value must be, each with the end of a sentence for one that is not."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path, PurePosixPath
from typing import Annotated

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import AfterValidator

#: A path with one of these cannot stand in supervisord's or systemd's files without an escape of its own: they are
#: quotes and comments there, patterns of files (``*?[]``), or separate the directories of PATH (``:``).
_UNSAFE_IN_PATH = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff%\"'\\;,#$`*?\[\]:]")


def _absolute(value: str) -> str:
    # Two leading slashes are a root of their own to pathlib, and would pass every comparison with other paths.
    path = PurePosixPath(re.sub("^/+", "/", value))
    if not path.is_absolute():
        raise ValueError("must be an absolute path, such as /srv/notebooks")
    if ".." in path.parts or _UNSAFE_IN_PATH.search(value):
        raise ValueError("must be a plain path: no '..', quotes, backslashes, or any of % ; , # $ ` : * ? [ ]")
    if value != value.strip():
        raise ValueError("must be a plain path: no white space before or after it")
    if path == PurePosixPath("/"):
        raise ValueError("must not be the root directory")
    return str(path)


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError as error:
        raise ValueError("must be an IP address, such as 127.0.0.1 or 0.0.0.0") from error


def _requirement(value: str) -> str:
    try:
        requirement = Requirement(value)
    except InvalidRequirement as error:
        raise ValueError("is no package requirement; write it as in 'altair>=5'") from error
    if requirement.url:
        raise ValueError("names a URL; name a package of the index, as in 'altair>=5'")
    return str(requirement)


def _base_url(value: str) -> str:
    if not re.fullmatch(r"/([A-Za-z0-9_~-][A-Za-z0-9._~-]*/)*", value):
        raise ValueError("must begin and end with a slash, such as / or /lab1/")
    return value


def _user_name(value: str) -> str:
    # What useradd takes everywhere; a name of digits would be taken for a user id.
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}", value):
        raise ValueError("is no user name: small letters, digits, '_' and '-', not beginning with a digit")
    if value == "root":
        raise ValueError("may do everything; name a user who may do less, such as 'jupyter'")
    return value


def _zone(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,17}", value):
        raise ValueError("is no name of a firewalld zone, such as 'public' or 'work'")
    return value


def _tag(value: str) -> str:
    # The specification of virtio-fs gives a tag 36 bytes; blanks and slashes would not survive a unit file.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,35}", value):
        raise ValueError("is no tag of a share: at most 36 letters, digits, '.', '_' and '-'")
    return value


def _host_name(value: str) -> str:
    if not re.fullmatch(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", value):
        raise ValueError("is no host name without a port, such as 'lab1.example.org' or '*.example.org'")
    return value


def _program(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]*", value):
        return value
    try:
        return _absolute(value)
    except ValueError as error:
        raise ValueError("must be a program's name or absolute path, such as python3.12 or /usr/bin/python3") from error


def _executable(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("must be an absolute path, such as /usr/bin/uv")
    return value


def _python(value: str) -> str:
    if value.startswith("uv:"):
        if not re.fullmatch(r"uv:3\.1[1-9](\.[0-9]+)?", value):
            raise ValueError("must name a Python from 3.11 on, as in uv:3.13")
        return value
    return _program(value)


def _conda_requirement(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9_][a-z0-9._-]*\s*([<>=!~][0-9A-Za-z.*+!_,|<>=~ -]*)?", value):
        raise ValueError("is no package of a channel; write it as in 'r-base>=4'")
    return value


def _index(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s@\"\\]+", value):
        raise ValueError("must be an http(s) URL without a password; what is secret belongs into the host's ~/.netrc")
    return value


def is_on_host(value: str) -> bool:
    """Of a `HereOrThere`: whether the host has the file, and not the machine that deploys."""
    return value.startswith("file:")


def _here_or_there(value: str) -> str:
    on_host = value.removeprefix("file:")
    if not on_host.startswith("/"):
        raise ValueError("must be an absolute path, or file: and one on the host")
    if value == on_host and not _is_file(Path(value)):
        raise ValueError("is no file on the machine that deploys")
    return value


def _python_mirror(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s@]+|file:///[^\s]+", value):
        raise ValueError("must be an http(s) URL without a password, or file:/// and a directory on the host")
    return value


def _channel(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+|(https?|file)://[^\s@\"\\]+", value):
        raise ValueError("must be a channel's name, or an http(s) or file URL without a password")
    return value


def _version(value: str) -> str:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)+", value):
        raise ValueError("must be a version, such as 0.75.0")
    return value


def _sha256(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError("must be 64 hexadecimal digits")
    return value


def _pixi_url(value: str) -> str:
    if not re.fullmatch(r"(https?://[^\s@]+|file:///[^\s]+|/.+)", value):
        raise ValueError("must be an http(s) URL without a password, a file: URL on the host, or an absolute path")
    try:
        value.format(version="", arch="")
    except (LookupError, ValueError) as error:
        raise ValueError("may have {version} and {arch} in braces, and nothing else") from error
    return value


def _spacy_model(value: str) -> str:
    if value == "none":
        return value
    location, _, digest = value.partition("#sha256=")
    name = location.rsplit("/", 1)[-1]
    if not re.fullmatch(r"en_core_web_sm-[0-9][A-Za-z0-9._]*-py3-none-any\.whl", name):
        raise ValueError("must end in a wheel's name, such as en_core_web_sm-3.8.0-py3-none-any.whl")
    is_url = re.match(r"https?://[^\s]+$", location)
    if (is_url or digest) and not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ValueError("must name the digest of the download: append #sha256= and 64 hexadecimal digits")
    if not is_url and not (Path(location).is_absolute() and _is_file(Path(location))):
        raise ValueError("must be an http(s) URL, or the absolute path of a wheel on the machine that deploys")
    return value


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


AbsolutePath = Annotated[str, AfterValidator(_absolute)]
Address = Annotated[str, AfterValidator(_address)]
PypiRequirement = Annotated[str, AfterValidator(_requirement)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
UserName = Annotated[str, AfterValidator(_user_name)]
FirewallZone = Annotated[str, AfterValidator(_zone)]
ShareTag = Annotated[str, AfterValidator(_tag)]
HostName = Annotated[str, AfterValidator(_host_name)]
Executable = Annotated[str, AfterValidator(_executable)]
Python = Annotated[str, AfterValidator(_python)]
CondaRequirement = Annotated[str, AfterValidator(_conda_requirement)]
PackageIndex = Annotated[str, AfterValidator(_index)]
PythonMirror = Annotated[str, AfterValidator(_python_mirror)]
#: A file that the machine that deploys sends, or one that the host has.
HereOrThere = Annotated[str, AfterValidator(_here_or_there)]
CondaChannel = Annotated[str, AfterValidator(_channel)]
Version = Annotated[str, AfterValidator(_version)]
Sha256 = Annotated[str, AfterValidator(_sha256)]
PixiUrl = Annotated[str, AfterValidator(_pixi_url)]
SpacyModel = Annotated[str, AfterValidator(_spacy_model)]
