"""Giving up being root: what is looked at and made as somebody else, and what comes back."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from jupyfleet_host import identity
from jupyfleet_host.common import HostError, Result, Spec

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
NOBODY = pwd.getpwnam("nobody")


def who(spec: Spec) -> Result:
    """Everything by which a process can do more than its user may."""
    real, effective, saved = os.getresuid()
    return {
        "uids": [real, effective, saved],
        "gids": list(os.getresgid()),
        "groups": os.getgroups(),
        "home": os.environ["HOME"],
        "user": os.environ["USER"],
        "directory": str(Path.cwd()),
        "sudo": sorted(name for name in os.environ if name.startswith("SUDO_")),
    }


@as_root
def test_a_call_as_somebody_else_leaves_nothing_of_root_and_the_caller_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ann")
    uid, gid = NOBODY.pw_uid, NOBODY.pw_gid
    assert identity.call_as("nobody", who, {}, only_looks=False) == {
        "uids": [uid] * 3,
        "gids": [gid] * 3,
        "groups": [gid],
        "home": NOBODY.pw_dir,
        "user": "nobody",
        "directory": "/",
        "sudo": [],
    }
    assert os.geteuid() == 0
    assert os.environ["SUDO_USER"] == "ann"


@as_root
def test_a_user_who_is_not_there_yet_sees_nothing_and_makes_nothing() -> None:
    assert identity.call_as("no-such-user", who, {}, only_looks=True)["uids"] == [NOBODY.pw_uid] * 3
    with pytest.raises(HostError, match="there is no user no-such-user on this host"):
        identity.call_as("no-such-user", who, {}, only_looks=False)


def refuse(spec: Spec) -> Result:
    raise HostError("the reason,\non two lines")


def vanish(spec: Spec) -> Result:
    os._exit(3)


def stumble(spec: Spec) -> Result:
    return {"text": Path("/no/such/file").read_text()}


@as_root
@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (refuse, "the reason,\non two lines"),
        (vanish, "the work as nobody ended with 3, and no result"),
        (stumble, "No such file or directory: /no/such/file"),
    ],
)
def test_what_goes_wrong_over_there_is_told_here(function: identity.Callable[[Spec], Result], reason: str) -> None:
    with pytest.raises(HostError) as caught:
        identity.call_as("nobody", function, {}, only_looks=False)
    assert str(caught.value) == reason


def climb(spec: Spec) -> Result:
    identity.become(spec["name"], only_looks=False)
    return {}


@as_root
@pytest.mark.parametrize(("name", "reason"), [("root", "this needs root"), ("daemon", "only root may work as daemon")])
def test_whoever_is_not_root_cannot_become_somebody(name: str, reason: str) -> None:
    with pytest.raises(HostError, match=reason):
        identity.call_as("nobody", climb, {"name": name}, only_looks=False)
