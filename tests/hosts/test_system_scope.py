"""A server in system scope, from a bare machine to a bare machine; the tests build on each other.

The machine has systemd and is reached over SSH; packages and supervisord are its distribution's. It is a
Debian, and the stand-in for Fedora.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from fastmcp.exceptions import ToolError
from testinfra.host import Host

from tests.local_site import wait_until
from tests.machines.container import Container
from tests.machines.machine import Machine, where_the_time_went

HOME = "/home/jupyter"


@pytest.fixture
def machine(container: Container) -> Machine:
    return container


@dataclass(frozen=True)
class Family:
    """Where a family of distributions has supervisord: its unit, its interface, and its programs."""

    unit: str
    socket: str
    program: str


FAMILIES = {
    "debian": Family("supervisor", "/run/supervisor.sock", "/etc/supervisor/conf.d/jupyter.conf"),
    "fedora": Family("supervisord", "/run/supervisor/supervisor.sock", "/etc/supervisord.d/jupyter.ini"),
}


@pytest.fixture
def family(machine: Machine) -> Family:
    return FAMILIES[machine.ssh(". /etc/os-release && echo $ID")]


@pytest.fixture
def seen(machine: Machine) -> Host:
    return machine.seen_from_outside()


def server(machine: Machine) -> int:
    return int(machine.ssh("supervisorctl pid jupyter"))


def test_a_plan_says_what_a_bare_machine_would_get_and_touches_nothing(machine: Machine, seen: Host) -> None:
    done = machine.jupyfleet("plan")
    assert done.returncode == 0, done.stdout + done.stderr
    for line in ("install package supervisor", f"add user jupyter with home {HOME}", "start supervisord"):
        assert line in done.stdout
    assert not seen.user("jupyter").exists
    assert not seen.package("supervisor").is_installed
    assert not seen.file(HOME).exists


def test_whoever_may_not_become_root_is_told_so_and_touches_nothing(machine: Machine, seen: Host) -> None:
    done = machine.jupyfleet("up", user="guest")
    assert done.returncode == 1
    assert "let the login user run sudo without a password" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not seen.user("jupyter").exists


def test_one_command_makes_it_a_server(machine: Machine) -> None:
    """By a login user with sudo, which is how most servers are reached."""
    done = machine.jupyfleet("up", "--json", user="deployer")
    assert done.returncode == 0, done.stdout + done.stderr
    [host] = json.loads(done.stdout)["hosts"]
    # Shown with -rP.
    print(where_the_time_went(host))
    assert {step["state"] for step in host["steps"]} == {"unchanged", "changed"}
    assert set(machine.checks(user="deployer").values()) == {"ok", "skipped"}


def test_what_it_has_then_is_seen_from_outside(machine: Machine, seen: Host, family: Family) -> None:
    assert seen.package("git").is_installed
    assert seen.package("supervisor").is_installed
    user = seen.user("jupyter")
    assert (user.home, user.shell, user.uid >= 1000) == (HOME, "/bin/bash", True)
    assert user.password in ("!", "*"), "nobody logs in with a password"
    assert seen.service(family.unit).is_enabled
    assert seen.service(family.unit).is_running
    assert seen.file(family.socket).mode == 0o700
    token = seen.file(f"{HOME}/.config/jupyfleet/token")
    assert (token.user, token.mode, token.size) == ("jupyter", 0o600, 64)
    assert seen.file(f"{HOME}/.pixi/envs/default").is_symlink
    assert seen.file(family.program).user == "root"
    assert seen.file("/var/log/jupyfleet").user == "root"
    assert seen.socket(f"tcp://127.0.0.1:{machine.port}").is_listening
    assert not seen.socket(f"tcp://0.0.0.0:{machine.port}").is_listening
    assert seen.process.get(pid=server(machine)).user == "jupyter"
    assert "Permission denied" in machine.ssh(f"cat {token.path}", user="guest", check=False)
    assert "Permission denied" in machine.ssh(f"ls {HOME}", user="guest", check=False)
    login = machine.ssh("su - jupyter -c 'command -v jupyter-lab; echo $PIXI_CACHE_DIR'").splitlines()
    assert login == [f"{HOME}/.pixi/envs/default/bin/jupyter-lab", f"{HOME}/.cache/pixi"]


def test_everything_below_the_home_is_the_service_user_s(machine: Machine) -> None:
    assert machine.ssh(f"find {HOME} -not -user jupyter") == ""


def test_a_second_run_changes_nothing(machine: Machine, family: Family) -> None:
    look = (
        f"find {HOME}/.config {HOME}/.pixi {family.program} /etc/profile.d -printf '%p %i %T@ %m %u\\n' | sort; "
        "stat -c '%i %Y' /etc/passwd"
    )
    pid, before = server(machine), machine.ssh(look)
    assert set(machine.steps("up").values()) == {"unchanged"}
    assert (server(machine), machine.ssh(look)) == (pid, before)


def test_its_status_logs_and_token_are_at_hand(machine: Machine) -> None:
    """For a login user with sudo, though all three are closed to that user."""
    done = machine.jupyfleet("status", "--json", user="deployer")
    assert done.returncode == 0, done.stdout + done.stderr
    [host] = json.loads(done.stdout)["hosts"]
    assert host["answer"]["service"] == "RUNNING"
    assert host["answer"]["problem"] is None
    logs = machine.jupyfleet("logs", user="deployer")
    assert "Jupyter Server" in logs.stdout, logs.stdout + logs.stderr
    token = machine.ssh(f"cat {HOME}/.config/jupyfleet/token")
    assert token not in logs.stdout + done.stdout
    assert token in machine.jupyfleet("token show", user="deployer").stdout


def test_a_changed_setting_restarts_the_server_alone(machine: Machine) -> None:
    supervisord, pid = machine.ssh("cat /run/supervisord.pid"), server(machine)
    changed = machine.steps("up", jupyter_mcp_room_idle_timeout=601)
    assert [name for name, state in changed.items() if state == "changed"] == ["Files", "Service"]
    assert server(machine) != pid
    assert machine.ssh("cat /run/supervisord.pid") == supervisord
    assert "Service" in machine.steps("up")


@pytest.mark.parametrize(
    "pid", ["$(supervisorctl pid jupyter)", "$(cat /run/supervisord.pid)"], ids=["server", "supervisord"]
)
def test_what_is_killed_comes_back_by_itself(machine: Machine, pid: str) -> None:
    machine.ssh(f"kill -9 {pid}")
    machine.wait_until_it_serves()


def test_root_reads_no_file_of_somebody_else_for_the_service_user(machine: Machine) -> None:
    """The service user leads the token's path to a file of root's: it must not be sent to the user's server."""
    token = f"{HOME}/.config/jupyfleet/token"
    machine.ssh("echo -n of-root-alone > /root/secret; chmod 600 /root/secret")
    machine.ssh(f"su jupyter -c 'mv {token} {token}.kept; ln -s /root/secret {token}'")
    done = machine.jupyfleet("verify", "--json")
    machine.ssh(f"su jupyter -c 'mv {token}.kept {token}'")
    assert done.returncode == 1
    assert f"{token} belongs to uid 0" in done.stdout
    assert "of-root-alone" not in done.stdout
    assert set(machine.checks().values()) == {"ok", "skipped"}


def test_it_serves_again_after_a_reboot(machine: Machine) -> None:
    machine.ssh(f"su jupyter -c 'echo kept > {HOME}/workspace/note.txt'")
    machine.reboot()
    machine.wait_until_it_serves()
    assert machine.ssh(f"cat {HOME}/workspace/note.txt") == "kept"


def test_it_serves_again_after_the_power_was_cut(machine: Machine) -> None:
    machine.cut_power()
    machine.boot()
    machine.wait_until_it_serves()
    assert set(machine.steps("up").values()) == {"unchanged"}


def test_an_upgrade_is_served_and_so_is_the_way_back(machine: Machine, seen: Host) -> None:
    link, extra = f"{HOME}/.pixi/envs/default", {"jupyter_extra_packages": ["msgpack"]}

    def has_it(notebook: str) -> bool:
        """Asked of a kernel, which is of the release that is served."""
        machine.mcp("notebook_create", path=notebook)
        source = "import importlib.util; importlib.util.find_spec('msgpack') is not None"
        machine.mcp("cell_insert", path=notebook, index=0, source=source)
        return "True" in json.dumps(machine.mcp("cell_execute", path=notebook, index=0))

    before = seen.file(link).linked_to
    steps = machine.steps("up", **extra)
    assert [name for name, state in steps.items() if state == "unchanged"] == ["Preflight", "Packages", "Firewall"]
    after = seen.file(link).linked_to
    assert after != before
    assert has_it("upgraded.ipynb")
    assert set(machine.checks(**extra).values()) == {"ok", "skipped"}
    machine.steps("rollback", **extra)
    assert seen.file(link).linked_to == before
    assert not has_it("rolled-back.ipynb")
    assert set(machine.steps("up").values()) == {"unchanged"}, "it is what the settings without that package want"


@contextmanager
def on_a_small_disk(machine: Machine) -> Iterator[None]:
    """The home on a file system of its own, with room for little more than what is there."""
    size = f"$(( $(du -sm {HOME} | cut -f1) + 20 ))m"
    machine.ssh(
        f"set -e; supervisorctl stop jupyter; cp -a {HOME} /var/tmp/home; mount -t tmpfs -o size={size} small {HOME}; "
        f"cp -a /var/tmp/home/. {HOME}; rm -r /var/tmp/home; supervisorctl start jupyter"
    )
    machine.wait_until_it_serves()
    try:
        yield
    finally:
        machine.ssh(f"set -e; supervisorctl stop jupyter; umount {HOME}; supervisorctl start jupyter")


def fill(machine: Machine) -> None:
    # Never more than that: what it is mounted on is the disk of whoever runs the tests.
    assert machine.ssh(f"stat --file-system --format=%T {HOME}") == "tmpfs"
    machine.ssh(f"su jupyter -c 'head -c 100M /dev/zero > {HOME}/ballast'", check=False)


def test_a_full_disk_is_said_and_no_notebook_is_lost(machine: Machine) -> None:
    notebook = f"{HOME}/workspace/full.ipynb"
    with on_a_small_disk(machine):
        machine.mcp("notebook_create", path="full.ipynb")
        machine.mcp("cell_insert", path="full.ipynb", index=0, source="'before'")
        before = machine.ssh(f"cat {notebook}")
        release = machine.ssh(f"readlink {HOME}/.pixi/envs/default")
        fill(machine)
        with pytest.raises(ToolError, match="NOT saved: the disk is full"):
            machine.mcp("cell_insert", path="full.ipynb", index=-1, source=f"'while full {'x' * 100_000}'")
        assert machine.ssh(f"cat {notebook}") == before, "whole, as it was"
        assert "is on a filesystem that is full" in machine.checks()["workspace-dir"]
        done = machine.jupyfleet("up", jupyter_extra_packages=["toolz"])
        assert done.returncode == 1
        assert "MB are free. Make room" in done.stdout
        assert machine.ssh(f"readlink {HOME}/.pixi/envs/default") == release
        machine.ssh(f"rm {HOME}/ballast")
        saved = lambda: "while full" in machine.ssh(f"cat {notebook}")  # noqa: E731
        wait_until(saved, "what could not be saved is saved", 60)
        assert set(machine.steps("up").values()) == {"unchanged"}
        assert set(machine.checks().values()) == {"ok", "skipped"}


def test_a_server_that_was_killed_on_a_full_disk_is_there_again_when_there_is_room(machine: Machine) -> None:
    with on_a_small_disk(machine):
        machine.mcp("notebook_create", path="kept.ipynb")
        machine.mcp("cell_insert", path="kept.ipynb", index=0, source="'kept'")
        fill(machine)
        machine.ssh("kill -9 $(supervisorctl pid jupyter)")
        # Whether it can start without any room is its own affair; that it is tried is supervisord's.
        attempt = lambda: "pid" in machine.ssh("supervisorctl status jupyter || true")  # noqa: E731
        wait_until(attempt, "it is started again", 60)
        machine.ssh(f"rm {HOME}/ballast")
        machine.steps("up")
        assert set(machine.checks().values()) == {"ok", "skipped"}
        assert machine.mcp("cell_get", path="kept.ipynb", index=0)["source"] == "'kept'"


def test_down_leaves_the_user_s_own_and_the_system_as_it_was(machine: Machine, seen: Host, family: Family) -> None:
    supervisord = machine.ssh("cat /run/supervisord.pid")
    assert machine.steps("down") == {
        "Service": "changed",
        "Firewall": "unchanged",
        "Files": "changed",
    }
    assert machine.ssh("cat /run/supervisord.pid") == supervisord, "other programs of it are not ours to end"
    assert "jupyter" not in machine.ssh("supervisorctl status || true")
    assert not seen.socket(f"tcp://127.0.0.1:{machine.port}").is_listening
    for path in (family.program, "/etc/profile.d/jupyfleet.sh", "/var/log/jupyfleet"):
        assert not seen.file(path).exists
    assert not seen.file(f"{HOME}/releases").exists
    assert seen.file(f"{HOME}/workspace/note.txt").content_string == "kept\n"
    assert machine.ssh("ps -u jupyter -o pid= || true") == ""
    assert set(machine.steps("down").values()) == {"unchanged"}
