"""The life of a site on this machine, from nothing to nothing, in the order in which the tests stand.

Everything is real: the program, pyinfra, the package index, supervisord, JupyterLab, kernels and an MCP client.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import nbformat
import pytest

from tests.local_site import INVENTORY, PYINFRA, LocalSite, wait_until

NOTEBOOK = "lab/first steps.ipynb"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSite]:
    # A blank in the path: people have such homes, and each file format has its own idea of quoting.
    site = LocalSite(tmp_path_factory.mktemp("jf") / "my site")
    yield site
    site.run("down")
    for pid in site.processes():
        os.kill(pid, signal.SIGKILL)


def test_a_plan_says_what_would_happen_and_touches_nothing(site: LocalSite) -> None:
    done = site.run("plan")
    assert done.returncode == 0, done.stdout
    assert f"{site.token_file} is new" in done.stdout
    assert "start jupyter" in done.stdout
    assert not site.home.exists()


def test_one_command_makes_a_verified_site(site: LocalSite) -> None:
    done = site.run("up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout
    assert f"http://127.0.0.1:{site.port}/lab" in done.stdout
    assert str(site.token_file) in done.stdout
    assert '"Authorization": "Bearer ${JUPYFLEET_TOKEN}"' in done.stdout


def test_every_check_is_there_and_passes(site: LocalSite) -> None:
    done = site.run("verify", "--format", "json")
    assert done.returncode == 0, done.stdout
    [host] = json.loads(done.stdout)["hosts"]
    states = {check["id"]: check["status"] for check in host["checks"]}
    assert states == {
        "jupyter-lab-binary": "ok",
        "spacy-import": "skipped",
        "workspace-dir": "ok",
        "jupyter-service": "ok",
        "jupyter-port": "ok",
        "jupyter-api": "ok",
        "mcp-jupyter-ping": "ok",
        "mcp-jupyter-list-tools": "ok",
        "mcp-jupyter-call-list-notebooks": "ok",
        "mcp-jupyter-auth-required": "ok",
    }


def test_the_starter_notebook_is_there(site: LocalSite) -> None:
    assert {"path": "welcome.ipynb", "name": "welcome.ipynb"} in site.mcp("notebook_list")


def test_an_agent_writes_and_runs_a_notebook_that_is_on_disk(site: LocalSite) -> None:
    assert site.mcp("notebook_create", path=NOTEBOOK) == {"path": NOTEBOOK, "name": "first steps.ipynb"}
    assert site.mcp("cell_insert", path=NOTEBOOK, index=0, source="6 * 7") == "Cell inserted at index 0"
    outputs = site.mcp("cell_execute", path=NOTEBOOK, index=0)
    assert "42" in json.dumps(outputs)
    notebook = nbformat.read(site.workspace / NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert [(cell.source, cell.outputs[0].data["text/plain"]) for cell in notebook.cells] == [("6 * 7", "42")]


def test_the_kernel_runs_in_the_active_environment(site: LocalSite) -> None:
    site.mcp("cell_insert", path=NOTEBOOK, index=1, source="import sys; print(sys.prefix)")
    outputs = json.dumps(site.mcp("cell_execute", path=NOTEBOOK, index=1))
    assert str(site.environment) in outputs or str(site.environment.resolve()) in outputs


def test_a_second_run_changes_nothing_and_says_so(site: LocalSite) -> None:
    before, pid = _inodes(site.home), site.server_pid()
    done = site.run("up")
    assert done.returncode == 0, done.stdout
    assert "nothing changed" in done.stdout
    assert "changed  " not in done.stdout.replace("unchanged", "")
    assert _inodes(site.home) == before
    assert site.server_pid() == pid


def test_a_plan_of_a_finished_site_is_empty_and_of_a_changed_one_shows_the_difference(site: LocalSite) -> None:
    assert "nothing changed" in site.run("plan").stdout
    done = site.run("plan", jupyter_base_url="/lab1/")
    assert "-c.ServerApp.base_url = '/'" in done.stdout
    assert "+c.ServerApp.base_url = '/lab1/'" in done.stdout
    assert "restart jupyter, whose release or configuration changed" in done.stdout
    assert "nothing changed" in site.run("plan").stdout


def test_stock_pyinfra_deploys_and_verifies_the_same_site(site: LocalSite) -> None:
    pid = site.server_pid()
    for entry in ("deploy/up.py", "deploy/verify.py"):
        done = site.call(PYINFRA, "--yes", INVENTORY, entry)
        assert done.returncode == 0, done.stderr
        assert "No changes" in done.stderr
        assert "] Success" not in done.stderr
    assert "mcp-jupyter-auth-required" in done.stderr
    assert site.server_pid() == pid


def test_strangers_are_refused(site: LocalSite) -> None:
    assert site.get("api/contents") == 403
    assert site.get("api/contents", token="0" * 64) == 403
    assert site.get("api/contents", token=site.token) == 200
    assert site.get("api") == 200


def test_nobody_sets_a_password_that_would_outlive_the_token(site: LocalSite) -> None:
    with httpx.Client(base_url=site.url, timeout=30) as browser:
        browser.get("login")
        form = {"password": site.token, "new_password": "let me in", "_xsrf": browser.cookies["_xsrf"]}
        browser.post("login", data=form)
    assert 'hashed_password": ""' in (site.home / ".config/jupyfleet/jupyter/jupyter_server_config.json").read_text()
    with httpx.Client(base_url=site.url, timeout=30) as stranger:
        stranger.get("login")
        stranger.post("login", data={"password": "let me in", "_xsrf": stranger.cookies["_xsrf"]})
        assert stranger.get("api/contents").status_code == 403


def test_the_token_is_nowhere_but_in_its_file(site: LocalSite) -> None:
    token = site.token
    outputs = [site.run("up", "--verbose"), site.run("up", "--json", "--verbose"), site.run("verify", "--verbose")]
    outputs.append(site.call(PYINFRA, "--yes", "--debug", "-vvv", INVENTORY, "deploy/up.py"))
    assert all(token not in done.stdout + done.stderr for done in outputs)

    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                assert token.encode() not in (process / name).read_bytes(), f"{name} of process {process.name}"
            except OSError:
                continue  # It has ended, or is the kernel's.

    holders = {file for file in _files(site.home) if token.encode() in file.read_bytes()}
    assert holders == {site.token_file}
    assert site.token_file.stat().st_mode & 0o777 == 0o600
    [listed] = (site.home / "run/jupyter").glob("jpserver-*")
    assert json.loads(listed.read_text())["port"] == site.port, "`jupyter server list` still finds the server"
    assert (site.home / "run").stat().st_mode & 0o777 == 0o700


def test_a_package_that_does_not_exist_leaves_the_running_release_alone(site: LocalSite) -> None:
    before, pid = site.environment.resolve(), site.server_pid()
    done = site.run("up", jupyter_extra_packages=["jupyfleet-no-such-package"])
    assert done.returncode == 1
    assert "jupyfleet-no-such-package" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert site.environment.resolve() == before
    assert site.server_pid() == pid
    assert site.get("api") == 200


def test_an_extra_package_makes_a_new_release_and_restarts_the_server(site: LocalSite) -> None:
    before, pid = site.environment.resolve(), site.server_pid()
    site.settings["jupyter_extra_packages"] = ["cowsay"]
    done = site.run("up")
    assert done.returncode == 0, done.stdout
    assert site.environment.resolve() != before
    assert site.server_pid() != pid
    site.mcp("cell_insert", path=NOTEBOOK, index=0, source="import cowsay; print(cowsay.__name__)")
    assert "cowsay" in json.dumps(site.mcp("cell_execute", path=NOTEBOOK, index=0))
    assert "nothing changed" in site.run("up").stdout


def test_a_half_finished_release_is_repaired(site: LocalSite) -> None:
    release = site.environment.resolve()
    (release / "jupyfleet-release.json").unlink()
    (release / "bin/jupyter-lab").unlink()
    done = site.run("up")
    assert done.returncode == 0, done.stdout
    assert (release / "bin/jupyter-lab").exists()


def test_a_killed_server_comes_back_by_itself(site: LocalSite) -> None:
    pid = site.server_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: site.server_pid() not in (0, pid) and site.get("api") == 200, "the server is back")


def test_a_killed_supervisor_is_repaired_by_the_next_run(site: LocalSite) -> None:
    os.kill(int(site.supervisorctl("pid")), signal.SIGKILL)
    done = site.run("up")
    assert done.returncode == 0, done.stdout
    assert site.get("api") == 200


@pytest.mark.parametrize("damage", ["missing", "empty", "newline"])
def test_without_a_good_token_nothing_is_served(site: LocalSite, damage: str) -> None:
    kept = site.token
    if damage == "missing":
        site.token_file.unlink()
    else:
        site.token_file.write_text("" if damage == "empty" else f"{kept}\n")
    site.supervisorctl("restart", "jupyter")
    wait_until(lambda: set(site.supervisorctl("status").split()) & {"FATAL", "EXITED"}, "supervisord gives up")
    assert site.get("api") == 0
    assert site.run("verify").returncode == 1
    done = site.run("up")
    assert done.returncode == 0, done.stdout
    assert site.get("api/contents", token=site.token) == 200
    assert (site.token == kept) is (damage == "newline")


def test_a_changed_token_is_taken_up_by_the_next_run(site: LocalSite) -> None:
    old = site.token
    wait_until(lambda: site.get("api/contents", token=old) == 200, "the server knows its token")
    site.token_file.unlink()
    done = site.run("up")
    assert done.returncode == 0, done.stdout
    assert site.get("api/contents", token=old) == 403
    assert site.get("api/contents", token=site.token) == 200


def test_stopping_the_server_ends_its_kernels(site: LocalSite) -> None:
    site.mcp("cell_insert", path=NOTEBOOK, index=0, source="import os; print(os.getpid())")
    [output] = site.mcp("cell_execute", path=NOTEBOOK, index=0)
    kernel = int("".join(filter(str.isdigit, json.dumps(output["content"]["text"]))))
    assert Path(f"/proc/{kernel}").exists()
    site.supervisorctl("stop", "jupyter")
    wait_until(lambda: not Path(f"/proc/{kernel}").exists(), "the kernel has ended", 20)
    assert site.run("up").returncode == 0


def test_down_leaves_no_process_no_port_and_the_workspace(site: LocalSite) -> None:
    site.mcp("cell_execute", path=NOTEBOOK, index=0)
    assert site.processes()
    done = site.run("down")
    assert done.returncode == 0, done.stdout
    assert site.processes() == []
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", site.port))
    assert [path.name for path in site.home.iterdir()] == ["workspace"]
    assert (site.workspace / NOTEBOOK).exists()
    assert "nothing changed" in site.run("down").stdout


def _files(home: Path) -> list[Path]:
    return [file for file in home.rglob("*") if file.is_file() and not file.is_symlink()]


def _inodes(home: Path) -> dict[Path, tuple[int, int]]:
    """Every file that a deploy lays down, by identity and time of change; what the server itself writes is left out."""
    ours = [file for part in (".config", ".pixi", "releases", "tools") for file in (home / part).rglob("*")]
    return {
        file: (file.lstat().st_ino, file.lstat().st_mtime_ns)
        for file in ours
        if file.suffix != ".pyc"
        and file.name != "__pycache__"
        and "__pycache__" not in file.parts
        and not file.is_dir()
    }
