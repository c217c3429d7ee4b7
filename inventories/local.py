"""This machine, in user scope: a server for the one who deploys, without root.

``JUPYFLEET_HOME`` (default ``~/.local/share/jupyfleet``), ``JUPYFLEET_PORT`` (default 8888) and ``JUPYFLEET_PROFILE``
(``core`` or ``full``) let several sites stand side by side; any other setting goes into ``group_data/local.py``.
"""

import os
import shutil
import sys
from pathlib import Path

_environ = os.environ
_port = _environ.get("JUPYFLEET_PORT") or "8888"
_uv = shutil.which("uv", path=str(Path(sys.executable).parent))

_data = {
    "jupyter_scope": "user",
    "jupyter_home": _environ.get("JUPYFLEET_HOME") or str(Path.home() / ".local/share/jupyfleet"),
    # What is no number is left as it is, for the settings to refuse by its name.
    "jupyter_port": int(_port) if _port.isdigit() else _port,
    "jupyter_profile": _environ.get("JUPYFLEET_PROFILE") or "core",
    # The machine that deploys is the host, so the uv beside this Python can be used at once.
    "jupyter_uv": _uv,
}

local = [("@local", _data)]
