"""A wheel that is installed on its own, beside what a lock names."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Wheel:
    """A wheel from a URL with a digest, or from a file of this machine."""

    location: str
    sha256: str

    @property
    def name(self) -> str:
        return self.location.rsplit("/", 1)[-1]

    def build_spec(self) -> dict[str, Any]:
        spec = {"name": self.name, "sha256": self.sha256}
        if self.location.startswith(("http://", "https://")):
            return spec | {"url": self.location}
        return spec | {"content": base64.b64encode(Path(self.location).read_bytes()).decode()}
