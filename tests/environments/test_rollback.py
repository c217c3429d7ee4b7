"""The way back: by hand, and by itself when a new release does not serve. Everything is real.

What is wrong with a release comes from an extra package of the test's own: one that switches MCP off, and one that
ends the server as it starts. Neither shows before the release serves, so only the live checks can find it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyfleet_host.package_index import read_pip_options
from tests.local_site import INVENTORY, PROGRAM, PYINFRA, ROOT, LocalSite
from tests.wheels import make_wheel

#: Python runs this line at every start; it tells the server from a trial of the environment.
_LIVE = "import os, sys; os.environ.get('JUPYTER_TOKEN_FILE')"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSite]:
    wheels = tmp_path_factory.mktemp("wheels")
    make_wheel(wheels, "jupyfleet_test_harmless", "1.0")
    make_wheel(
        wheels,
        "jupyfleet_test_mute",
        "1.0",
        files={"jupyfleet_test_mute.pth": f"{_LIVE} and sys.modules.update(jupyter_mcp=None)\n"},
    )
    make_wheel(
        wheels, "jupyfleet_test_deadly", "1.0", files={"jupyfleet_test_deadly.pth": f"{_LIVE} and os._exit(9)\n"}
    )
    links = read_pip_options(os.environ, Path.home(), Path("/etc")).get("find-links", "")
    site = LocalSite(
        tmp_path_factory.mktemp("jf") / "my site", variables={"PIP_FIND_LINKS": f"{links} {wheels}".strip()}
    )
    yield site
    site.run("down")
    for pid in site.processes():
        os.kill(pid, signal.SIGKILL)


def active(site: LocalSite) -> str:
    return site.environment.resolve().name


@pytest.fixture(scope="module")
def first(site: LocalSite) -> str:
    """The release of the first deploy."""
    done = site.run("rollback")
    assert done.returncode == 1
    assert "no release is active on this host" in done.stdout
    done = site.run("up")
    assert done.returncode == 0, done.stdout
    return active(site)


@pytest.fixture(scope="module")
def second(site: LocalSite, first: str) -> str:
    """A release with one package more, which was deployed after it."""
    done = site.run("rollback")
    assert done.returncode == 1
    assert f"nothing was active before release {first}" in done.stdout
    done = site.run("up", jupyter_extra_packages=["jupyfleet_test_harmless"])
    assert done.returncode == 0, done.stdout
    assert "passes every check" in done.stdout
    assert active(site) != first
    return active(site)


def test_it_goes_back_at_once_and_says_what_was_and_what_is(site: LocalSite, first: str, second: str) -> None:
    pid = site.server_pid()
    done = site.run("rollback", jupyter_extra_packages=["jupyfleet_test_harmless"])
    assert done.returncode == 0, done.stdout
    assert f"{second} was active, {first} is now; the next up goes to the wanted {second} again" in done.stdout
    assert active(site) == first
    assert site.server_pid() != pid
    assert site.get("api") == 200


def test_there_is_nothing_before_the_first_release(site: LocalSite, first: str, second: str) -> None:
    done = site.run("rollback")
    assert done.returncode == 1
    assert f"nothing was active before release {first}" in done.stdout
    assert f"There are {second}: name one with --to" in done.stdout
    assert active(site) == first


def test_a_release_may_be_named_by_its_first_digits(site: LocalSite, first: str, second: str) -> None:
    done = site.run("rollback", "--to", "none such")
    assert done.returncode == 1
    assert "no release begins with none such" in done.stdout
    done = site.run("rollback", "--to", second[:6])
    assert done.returncode == 0, done.stdout
    assert f"{first} was active, {second} is now" in done.stdout
    assert "nothing changed" in site.run("rollback", "--to", second).stdout


def test_stock_pyinfra_goes_back_as_well(site: LocalSite, first: str, second: str) -> None:
    assert active(site) == second
    done = site.call(PYINFRA, "--yes", INVENTORY, "deploy/rollback.py")
    assert done.returncode == 0, done.stderr
    assert active(site) == first
    assert site.get("api") == 200


def test_the_next_up_goes_to_the_wanted_release_again(site: LocalSite, second: str) -> None:
    done = site.run("up", jupyter_extra_packages=["jupyfleet_test_harmless"])
    assert done.returncode == 0, done.stdout
    assert active(site) == second
    assert "nothing changed" in site.run("up", jupyter_extra_packages=["jupyfleet_test_harmless"]).stdout


def test_a_release_that_fails_its_live_checks_is_taken_back(site: LocalSite, second: str) -> None:
    done = site.run("up", "--json", jupyter_extra_packages=["jupyfleet_test_mute"])
    assert done.returncode == 1
    [host] = json.loads(done.stdout)["hosts"]
    assert host["state"] == "failed"
    assert "was made active, and failed:\nmcp-jupyter-ping:" in host["reason"]
    assert f"{second}, was put back. It serves again and passes every check." in host["reason"]
    assert active(site) == second
    assert site.run("verify").returncode == 0


def test_a_release_from_which_the_server_does_not_start_is_taken_back_by_stock_pyinfra(
    site: LocalSite, second: str
) -> None:
    data = '--data=jupyter_extra_packages=["jupyfleet_test_deadly"]'
    done = site.call(PYINFRA, "--yes", data, INVENTORY, "deploy/up.py")
    assert done.returncode == 1
    assert "was made active, and failed:" in done.stderr
    assert "jupyter does not run" in done.stderr
    assert active(site) == second
    assert site.run("verify").returncode == 0
    assert "nothing changed" in site.run("up", jupyter_extra_packages=["jupyfleet_test_harmless"]).stdout


def test_what_was_killed_before_its_proof_is_taken_back_by_the_next_run(site: LocalSite, second: str) -> None:
    settings = '--data=jupyter_extra_packages=["jupyfleet_test_mute"]'
    running = subprocess.Popen(
        [PROGRAM, "up", INVENTORY, settings],
        cwd=ROOT,
        env=site.environ,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    give_up = time.monotonic() + 120
    while active(site) == second and time.monotonic() < give_up:
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert active(site) != second
    done = site.run("up", jupyter_extra_packages=["jupyfleet_test_mute"])
    assert done.returncode == 1
    assert f"{second}, was put back" in done.stdout
    assert active(site) == second
    assert site.run("verify").returncode == 0


def test_of_old_releases_the_active_one_and_the_one_before_it_stay(site: LocalSite, first: str, second: str) -> None:
    done = site.run("up", jupyter_keep_releases=1)
    assert done.returncode == 0, done.stdout
    kept = {path.name for path in (site.home / "releases").iterdir()}
    assert kept == {first, second}
    assert site.run("rollback").returncode == 0
    assert active(site) == second
