"""What pixi solves for: one lock for all architectures, or the solver's own explanation.

pixi is a stand-in (`pixi_standin`) and the channel is the tests' own (`channel`), served over HTTP; Python, its
packages, the solver and the installer are real.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from deploy.environment import sitelock
from deploy.environment.pixi import manifest_of
from deploy.settings import read_settings
from jupyfleet_host import environment_pixi
from jupyfleet_host.common import HostError
from tests.environments.building import Spec, manifest


def test_one_lock_holds_both_architectures_with_a_digest_for_everything(locks: dict[str, tuple[str, str]]) -> None:
    lock = locks["1.0"][1]
    assert "linux-64/python-" in lock
    assert "linux-aarch64/python-" in lock
    packages = sitelock.packages((lock,))
    assert packages["tool"] == "1.0"
    assert packages["addition"] == "1.0"
    assert "python" in packages
    described = lock.partition("\npackages:\n")[2]
    assert described.count("sha256: ") >= described.count("- conda: ") + described.count("- pypi: ")


def test_what_a_lock_changes_is_said_package_by_package(locks: dict[str, tuple[str, str]]) -> None:
    assert sitelock.changes(locks["1.0"][1:], locks["2.0"][1:]) == ["tool 1.0 -> 2.0"]


def test_the_manifest_of_a_profile_is_one_that_can_be_read() -> None:
    settings = read_settings("h", {"jupyter_home": "/srv/x", "jupyter_provider": "pixi", "jupyter_profile": "full"})
    document = tomllib.loads(manifest_of(settings))
    assert document["workspace"]["platforms"] == ["linux-64", "linux-aarch64"]
    assert document["dependencies"]["spacy-model-en_core_web_sm"] == "*"
    assert document["dependencies"]["jupyterlab"].startswith(">=4.")
    assert document["pypi-dependencies"]["jupyter-collaboration"] == ">=5"
    assert "fastmcp" not in document["pypi-dependencies"]
    assert "fastmcp>=3.2.0" in document["tool"]["jupyfleet"]["added-after-the-solve"]


@pytest.mark.parametrize("wrong", ["no-package-of-this-name", 'tool = ">=9"'])
def test_what_cannot_be_solved_is_explained(
    spec: Spec, channel: tuple[Path, str], simple_index: tuple[str, str], wrong: str
) -> None:
    line = wrong if "=" in wrong else f'{wrong} = "*"'
    text = manifest(channel[1], simple_index[0], "*").replace('tool = "*"', line)
    with pytest.raises(HostError) as caught:
        environment_pixi.lock({"pixi": spec["pixi"], "manifest": text, "lock": None})
    reason = str(caught.value)
    assert reason.startswith("could not find versions that go together for every platform:")
    assert wrong.split(" ")[0] in reason


def test_a_channel_that_cannot_be_reached_is_named(spec: Spec, simple_index: tuple[str, str]) -> None:
    text = manifest("http://127.0.0.1:9/channel", simple_index[0], "*")
    with pytest.raises(HostError, match=r"127\.0\.0\.1:9"):
        environment_pixi.lock({"pixi": spec["pixi"], "manifest": text, "lock": None})
