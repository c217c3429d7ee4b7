"""Machines, skipped with the reason where this one cannot make any."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
import testinfra
from testinfra.host import Host

from tests.hosts import trees, virtual_machine
from tests.hosts.container import Container
from tests.hosts.machine import Machine
from tests.hosts.virtual_machine import VirtualMachine

_PROGRAMS = ("mmdebstrap", "ssh-keygen")


def _needs(*programs: str) -> None:
    """Skip what needs root or a program, where there is none."""
    if os.geteuid() != 0:
        pytest.skip("making machines takes root")
    missing = [program for program in (*_PROGRAMS, *programs) if shutil.which(program) is None]
    if missing:
        pytest.skip(f"there is no {' and no '.join(missing)}: tests/hosts/install-programs installs them")


@pytest.fixture(scope="module", params=["debian", "fedora-standin"])
def container(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A bare server, which the tests of a module lead from nothing to nothing."""
    _needs("systemd-nspawn")
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


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualMachine]:
    """A bare Debian guest that has not been booted; it gets the directory ``share`` as a share."""
    _needs(*virtual_machine.PROGRAMS)
    directory = tmp_path_factory.mktemp("guest")
    share = directory / "share"
    share.mkdir()
    machine = VirtualMachine(directory, share=share)
    machine.make(trees.bootable_debian())
    try:
        yield machine
    finally:
        machine.remove()
        (directory / "disk.qcow2").unlink(missing_ok=True)


def seen_from_outside(machine: Machine) -> Host:
    """A machine as testinfra sees it, with nothing of the code under test."""
    options = f"-o UserKnownHostsFile={machine.known_hosts} -o LogLevel=ERROR"
    return testinfra.get_host(
        f"ssh://root@127.0.0.1:{machine.ssh_port}", ssh_identity_file=str(machine.key), ssh_extra_args=options
    )
