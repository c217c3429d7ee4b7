"""What the checks of the probe share: what they are asked, the time they have, and how they fall short."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from jupyfleet_host import distribution
from jupyfleet_host.common import HostError, Spec

POLL_SECONDS = 0.2


class CheckError(Exception):
    """A check fell short; the text says what happened and what to do next.

    `gone` tells that nobody is there to talk to, so that the checks that need it are not tried; `passing` that a
    server which is just starting may still change it.
    """

    def __init__(self, text: str, *, gone: bool = False, passing: bool = False) -> None:
        super().__init__(text)
        self.gone = gone
        self.passing = passing


@dataclass(frozen=True)
class Probe:
    """The spec; its time begins with it, and is shared by every check that waits for a server that was just started."""

    home: str
    log: str
    environment: str
    workspace: str
    workspace_mount: str
    workspace_tag: str
    user: str | None
    supervisor_socket: str
    program: str
    host: str
    port: int
    scheme: str
    base_url: str
    token_file: str | None
    profile: str
    spacy_model: str | None
    tools: list[str]
    forbidden_tools: list[str]
    timeout: float
    scope: str
    ca_file: str | None = None
    _begun: float = field(default_factory=time.monotonic, init=False)

    def left(self) -> float:
        """Seconds that remain, never negative."""
        return max(0.0, self._begun + self.timeout - time.monotonic())

    def pause(self) -> None:
        """Wait a little, but not beyond the end."""
        time.sleep(min(POLL_SECONDS, self.left()))

    def url(self, path: str) -> str:
        """A path below the server's base URL."""
        base = self.base_url.strip("/")
        return f"/{base}/{path}" if base else f"/{path}"

    @property
    def address(self) -> str:
        """Host and port for a person."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def probe_of(spec: Spec) -> Probe:
    """The spec as a probe; without a `supervisor_socket` it is the distribution's.

    Raises:
        HostError: the spec does not fit, or the distribution is none that is known.
    """
    if spec.get("supervisor_socket", "") is None:
        spec = spec | {"supervisor_socket": distribution.of_this_host().socket}
    try:
        return Probe(**spec)
    except TypeError as error:
        raise HostError(f"the probe's spec does not fit: {error}") from error


def first_line(text: str) -> str:
    """The first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def last_line(text: str) -> str:
    """The last line that says something, which is where Python names an error."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def describe(error: BaseException) -> str:
    """An error as type and message."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def parse_json(text: str | bytes) -> Any:
    """JSON, or None for what is not."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
