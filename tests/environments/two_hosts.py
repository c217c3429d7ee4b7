"""An inventory of two hosts, both this machine: by itself, and by way of chroot, with a home and a port each."""

import os

_own = {
    "@local": ("JUPYFLEET_HOME", "JUPYFLEET_PORT"),
    "@chroot//": ("JUPYFLEET_OTHER_HOME", "JUPYFLEET_OTHER_PORT"),
}

hosts = [
    (name, {"jupyter_scope": "user", "jupyter_home": os.environ[home], "jupyter_port": int(os.environ[port])})
    for name, (home, port) in _own.items()
]
