"""Builds that are killed at any moment: never half a release, and finished by the next run.

pixi is a stand-in (`pixi_standin`) and the channel is the tests' own (`channel`), served over HTTP; Python, its
packages, the solver and the installer are real.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from jupyfleet_host.environment import build
from jupyfleet_host.releases import STAMP, is_complete
from tests.builds import build_once_free, start_build
from tests.environments.building import Spec, says

_KILLS = 30


def test_killed_thirty_times_it_is_never_half_active_and_finished_by_the_next_run(spec: Spec) -> None:
    """The whole process group goes each time, as in a power cut; every run begins where the one before was killed."""
    chance, path = random.Random(4), Path(spec["path"])
    began = time.monotonic()
    build(spec)
    window = time.monotonic() - began
    hits = 0
    for attempt in range(6 * _KILLS):
        if is_complete(path):
            (path / STAMP).unlink()
            (path / ".pixi/envs/default/conda-meta/tool-1.0-0.json").unlink(missing_ok=True)
        with start_build(spec) as process:
            assert process.stderr
            process.stderr.readline()  # From here on it is at work.
            time.sleep(chance.uniform(0, window))
            os.killpg(process.pid, signal.SIGKILL)
        if (path / STAMP).exists():
            assert is_complete(path), f"kill {attempt}: what is stamped is not whole"
            window *= 0.7  # How long a build takes depends on what else the machine does.
        else:
            hits += 1
            window *= 1.05
        if hits == _KILLS:
            break
    assert hits == _KILLS, "the kills did not fall into the work"
    build_once_free(spec)
    assert is_complete(path)
    assert says(path) == "tool 1.0"
    assert [says(path, name) for name in ("additiond", "lated")] == ["addition 1.0", "late 1.0"]
