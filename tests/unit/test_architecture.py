"""What depends on a host's processor is known of each in the same way."""

from __future__ import annotations

import platform

import pytest

from deploy.commands.bundle import Arch
from deploy.environment.pixi import PINNED
from jupyfleet_host import architecture


@pytest.mark.parametrize("machine", ["riscv64", "armv7l", "ppc64le"])
def test_a_machine_for_which_there_are_no_packages_is_named(machine: str) -> None:
    assert architecture.problem(machine) == (
        f"this host is {machine}, and its packages are only to be had for x86_64 and aarch64."
    )


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_both_architectures_are_served(machine: str) -> None:
    assert architecture.problem(machine) is None


def test_this_machine_is_asked_by_the_kernel_s_name() -> None:
    assert architecture.here() == platform.machine()


def test_each_has_a_pinned_pixi_and_can_have_a_bundle() -> None:
    assert set(Arch) == set(architecture.KNOWN)
    for version, digests in PINNED.items():
        assert set(digests) == set(architecture.KNOWN), version
