"""Which family a host is of, by the os-release files that distributions have."""

from __future__ import annotations

import pytest

from jupyfleet_host.common import HostError
from jupyfleet_host.distribution import of_os_release


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ('NAME="Fedora Linux"\nID=fedora\nVERSION_ID=43\nPLATFORM_ID="platform:f43"\n', "fedora"),
        ('NAME="AlmaLinux"\nID="almalinux"\nID_LIKE="rhel centos fedora"\n', "fedora"),
        ('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n', "debian"),
        ("ID=ubuntu\nID_LIKE=debian\n", "debian"),
        ("# a comment\n\nID='fedora'  # by hand\n", "fedora"),
    ],
)
def test_a_family_is_told_by_its_id_or_what_it_is_like(text: str, family: str) -> None:
    assert of_os_release(text).family == family


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('PRETTY_NAME="Alpine Linux v3.20"\nID=alpine\n', "Alpine Linux v3.20"),
        ("ID=arch\n", "arch"),
        ("", "This host"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "opensuse-leap"),
    ],
)
def test_other_families_are_refused_with_what_to_do(text: str, name: str) -> None:
    with pytest.raises(HostError) as caught:
        of_os_release(text)
    assert str(caught.value) == (
        f"{name} is of no family that jupyter_scope 'system' knows: they are debian and fedora. "
        "Use jupyter_scope 'user', which needs only Python."
    )
