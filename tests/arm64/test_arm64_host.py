"""A host for arm64 over SSH, from bare to bare. Its processes are emulated on another machine: see `emulation`.

What is real: the aarch64 packages of Debian, the index's wheels for aarch64, sshd, supervisord, JupyterLab and kernels.
What emulation cannot show: real hardware's speed, page sizes other than 4 KiB, systemd. The tests stand in the order of
a host's life, and each needs those before it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.site import JUPYTER_PORT, SITE, Site
from tests.local_site import PROGRAM, ROOT, call_mcp
from tests.machines import emulation, sshd_hosts, trees
from tests.machines.sshd_hosts import HOME, Network, SshdHost

#: Emulated, a server takes many times as long to start.
SETTINGS = {"jupyter_uv": None, "jupyter_start_timeout": 600}
#: Nobody listens there.
NOWHERE = "http://127.0.0.1:9/simple"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    if reason := sshd_hosts.why_not() or emulation.why_not():
        pytest.skip(f"no arm64 host can be made here: {reason}")
    with Network(tmp_path_factory.mktemp("net")) as network:
        yield network


@pytest.fixture(scope="module")
def host(network: Network) -> SshdHost:
    return network.host("arm", arm64=trees.arm64())


@pytest.fixture(scope="module")
def site(host: SshdHost, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("controller"), [host], dict(SETTINGS))


def _release(host: SshdHost) -> str:
    return host.shell(f"readlink {SITE}/.pixi/envs/default").strip()


def _mcp(host: SshdHost, tool: str, **arguments: object) -> object:
    token = host.shell(f"cat {SITE}/.config/jupyfleet/token").strip()
    return call_mcp(f"http://{host.address}:{JUPYTER_PORT}/mcp", token, tool, **arguments)


@pytest.mark.timeout(1800)
def test_up_makes_a_verified_server(site: Site, host: SshdHost) -> None:
    assert host.shell("uname -m").strip() == "aarch64"
    done = site.run("up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 checks ok, 1 skipped" in done.stdout
    # The very files are for arm64: the interpreter's libraries of the environment say so themselves.
    suffixes = host.shell(f"find -L {SITE}/.pixi/envs/default/lib -name '*.cpython-*.so' | grep -c aarch64")
    assert int(suffixes) > 5
    assert not host.succeeds(f"find -L {SITE}/.pixi/envs/default/lib -name '*.cpython-*.so' | grep -q x86_64")


def test_an_agent_runs_a_cell_there(host: SshdHost) -> None:
    _mcp(host, "notebook_create", path="arm.ipynb")
    _mcp(host, "cell_insert", path="arm.ipynb", index=0, source="import platform; platform.machine()")
    assert "aarch64" in json.dumps(_mcp(host, "cell_execute", path="arm.ipynb", index=0, timeout=300))
    assert "aarch64" in host.shell(f"cat {SITE}/workspace/arm.ipynb")


@pytest.mark.timeout(1800)
def test_a_second_run_changes_nothing(site: Site) -> None:
    done = site.run("up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing changed" in done.stdout


@pytest.mark.timeout(1800)
def test_an_upgrade_and_the_way_back(site: Site, host: SshdHost) -> None:
    before = _release(host)
    site.settings["jupyter_extra_packages"] = ["msgpack"]
    done = site.run("up")
    assert done.returncode == 0, done.stdout + done.stderr
    after = _release(host)
    assert after != before
    assert host.succeeds(f"{SITE}/.pixi/envs/default/bin/python -c 'import msgpack._cmsgpack'")
    done = site.run("rollback")
    assert done.returncode == 0, done.stdout + done.stderr
    assert _release(host) == before
    assert "aarch64" in json.dumps(_mcp(host, "cell_execute", path="arm.ipynb", index=0, timeout=300))


def test_down_leaves_the_notebooks(site: Site, host: SshdHost) -> None:
    done = site.run("down")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"arm.ipynb", "welcome.ipynb"} <= set(host.shell(f"ls {SITE}/workspace").split())
    assert host.shell(f"find {SITE} -type f -not -path '{SITE}/workspace/*'") == ""
    assert not host.succeeds("ps -eo comm | grep -E 'jupyter|supervisord'")


@pytest.mark.timeout(1800)
def test_a_bundle_made_on_this_machine_is_all_that_a_host_needs(network: Network, tmp_path: Path) -> None:
    """Made on whatever this machine is, for aarch64; the host's way to an index leads nowhere."""
    closed = dict.fromkeys(("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"), NOWHERE)
    host = network.host("island", arm64=trees.arm64(), environment=closed)
    python = host.shell("python3 -c 'import sys; print(*sys.version_info[:2], sep=\".\")'").strip()
    bundle = tmp_path / "core-aarch64.tar"
    argv = [str(PROGRAM), "bundle", "--arch", "aarch64", "--python", python, "--output", str(bundle)]
    made = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    site = Site(tmp_path / "controller", [host], dict(SETTINGS))
    assert site.run("up").returncode == 1, "from the index it cannot be done"
    shutil.copy(bundle, host.path(f"{HOME}/stick.tar"))
    site.settings |= {"jupyter_source": "bundle", "jupyter_bundle": f"file:{HOME}/stick.tar"}
    done = site.run("up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 checks ok, 1 skipped" in done.stdout
    assert host.succeeds(f"find -L {SITE}/.pixi/envs/default/lib -name '*.so' | grep -q aarch64-linux-gnu")
    assert "nothing changed" in site.run("up").stdout
