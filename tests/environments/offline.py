"""Commands in a namespace that has no network but the loopback."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.local_site import INVENTORY, PATIENCE, PROGRAM, ROOT, LocalSite

#: What leads to packages on this machine, and must not be followed when there is a bundle.
_SOURCES = ("PIP_", "UV_", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")


def run_offline(site: LocalSite, person: Path, command: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """``jupyfleet COMMAND`` without a network, by a person whose caches are empty."""
    data = [f"--data={key}={json.dumps(value)}" for key, value in (site.settings | settings).items()]
    environ = {name: value for name, value in site.environ.items() if not name.startswith(_SOURCES)}
    environ |= site.variables | {"HOME": str(person)}
    script = 'ip link set lo up && "$@"'
    argv = ["unshare", "-n", "sh", "-c", script, "sh", PROGRAM, command, INVENTORY, *data]
    return subprocess.run(
        [str(part) for part in argv],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
