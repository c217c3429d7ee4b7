"""Guests, skipped with the reason where this machine cannot make any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from testinfra.host import Host

from tests.machines import emulation, trees
from tests.machines.virtual_machine import ARM64, X86_64, Hardware, VirtualMachine


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualMachine]:
    """A bare Debian guest that has not been booted; it gets the directory ``share`` as a share."""
    yield from _guest(tmp_path_factory.mktemp("guest"), X86_64, trees.bootable_debian)


@pytest.fixture(scope="module")
def arm64_guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualMachine]:
    """The same for arm64, without what protects it."""
    if reason := emulation.why_not():
        pytest.skip(f"the file tree of an arm64 guest cannot be made here: {reason}")
    yield from _guest(tmp_path_factory.mktemp("guest"), ARM64, trees.bootable_arm64)


@pytest.fixture
def seen(guest: VirtualMachine) -> Host:
    return guest.seen_from_outside()


@pytest.fixture
def share(guest: VirtualMachine) -> Path:
    """What the guest gets, as its hypervisor has it."""
    return guest.directory / "share"


def _guest(directory: Path, hardware: Hardware, tree: Callable[[], Path]) -> Iterator[VirtualMachine]:
    if reason := trees.why_not() or hardware.why_not():
        pytest.skip(f"no guest can be made here: {reason}")
    share = directory / "share"
    share.mkdir()
    machine = VirtualMachine(directory, hardware=hardware, share=share)
    machine.make(tree())
    try:
        yield machine
    finally:
        machine.remove()
        (directory / "disk.qcow2").unlink(missing_ok=True)
