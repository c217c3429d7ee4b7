"""Builds of releases that are killed, and what comes after them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

from deploy.paths import FILES
from jupyfleet_host.common import HostError
from jupyfleet_host.environment import build

Spec = dict[str, Any]

_SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from jupyfleet_host import common, environment
sys.exit(common.run_script(environment.build, json.load(sys.stdin)))
"""


def start_build(spec: Spec) -> subprocess.Popen[str]:
    """A build in a process group of its own, which may be killed as a whole."""
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", _SCRIPT, str(FILES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin
    process.stdin.write(json.dumps(spec))
    process.stdin.close()
    return process


def build_once_free(spec: Spec) -> None:
    """Build as soon as what was killed is gone; until then it must be refused."""
    give_up = time.monotonic() + 60
    while True:
        try:
            build(spec)
        except HostError as error:
            if "another deploy is at work" not in str(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.02)
        else:
            return
