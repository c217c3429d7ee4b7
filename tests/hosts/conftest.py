"""Machines, skipped with the reason where this one cannot make any."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.machines import trees
from tests.machines.container import Container
from tests.machines.programs import missing


@pytest.fixture(scope="module", params=["debian", "fedora-standin"])
def container(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A bare server, which the tests of a module lead from nothing to nothing."""
    if reason := trees.why_not() or missing("systemd-nspawn"):
        pytest.skip(f"no machine can be made here: {reason}")
    tree = {"debian": trees.debian, "fedora-standin": trees.fedora_standin}[request.param]()
    argv = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--pipe", f"--directory={tree}", "true"]
    if (trial := subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)).returncode:
        pytest.skip(f"this machine allows no containers: {trial.stderr.strip()}")
    machine = Container(tmp_path_factory.mktemp("machine"))
    machine.make(tree)
    try:
        machine.boot()
        yield machine
    finally:
        machine.remove()
        shutil.rmtree(machine.root, ignore_errors=True)
