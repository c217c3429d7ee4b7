"""Machines, skipped with the reason where this one cannot make any."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import testinfra
from testinfra.host import Host

from tests.hosts import trees
from tests.hosts.machine import Machine

_PROGRAMS = ("mmdebstrap", "systemd-nspawn", "ssh-keygen")


def _why_not() -> str | None:
    if os.geteuid() != 0:
        return "making machines takes root"
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    return f"there is no {' and no '.join(missing)}: tests/hosts/install-programs installs them" if missing else None


@pytest.fixture(scope="session")
def debian_tree() -> Path:
    if reason := _why_not():
        pytest.skip(reason)
    return trees.debian()


@pytest.fixture(scope="module")
def machine(debian_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A bare Debian server, which the tests of a module lead from nothing to nothing."""
    machine = Machine(tmp_path_factory.mktemp("machine"), debian_tree)
    machine.make()
    try:
        machine.boot()
        yield machine
    finally:
        machine.remove()
        shutil.rmtree(machine.root, ignore_errors=True)


@pytest.fixture
def seen(machine: Machine) -> Host:
    """The machine as testinfra sees it: from outside, and with nothing of the code under test."""
    options = f"-o UserKnownHostsFile={machine.known_hosts} -o LogLevel=ERROR"
    return testinfra.get_host(
        f"ssh://root@127.0.0.1:{machine.ssh_port}", ssh_identity_file=str(machine.key), ssh_extra_args=options
    )
