"""Hosts for the tests of a fleet: one that was deployed from nothing, and as many copies of it as a test wants."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fleet.site import SITE, Site
from tests.machines import sshd_hosts
from tests.machines.sshd_hosts import Network, SshdHost


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    if reason := sshd_hosts.why_not():
        pytest.skip(f"no hosts can be made here: {reason}")
    with Network(tmp_path_factory.mktemp("net")) as made:
        yield made


@dataclass
class Deployed:
    """A site of one host, and what `up` said when there was nothing on it."""

    site: Site
    host: SshdHost
    first_up: subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def deployed(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """A bare host, deployed once for all tests; those that break it use a copy instead."""
    host = network.host("first")
    site = Site(tmp_path_factory.mktemp("controller"), [host])
    return Deployed(site, host, site.run("up"))


@pytest.fixture(scope="session")
def image(deployed: Deployed) -> Iterator[Path]:
    """What the environment's installation leaves on a host, before anything is configured or runs."""
    assert deployed.first_up.returncode == 0, deployed.first_up.stdout
    configured = [
        f"{SITE}/{name}" for name in (".pixi", ".config", "share", "run", "log", "workspace", ".jupyfleet.deploy")
    ]
    with sshd_hosts.image_of(deployed.host, without=configured) as image:
        yield image


@pytest.fixture
def copies(network: Network, image: Path, tmp_path: Path) -> Iterator[Callable[[int], Site]]:
    """Make a site of N copies, gone with the test; they have the environment and nothing more."""
    made: list[SshdHost] = []

    def make(count: int) -> Site:
        hosts = network.start([f"lab{network.count + number:03}" for number in range(1, count + 1)], image=image)
        made.extend(hosts)
        return Site(tmp_path, hosts)

    yield make
    for host in made:
        host.stop()


@pytest.fixture
def bare(network: Network) -> Iterator[Callable[[], SshdHost]]:
    """Make a host on which nothing was ever deployed."""
    made: list[SshdHost] = []

    def make() -> SshdHost:
        made.append(network.host())
        return made[-1]

    yield make
    for host in made:
        host.stop()
