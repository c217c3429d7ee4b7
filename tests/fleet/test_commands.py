"""What an administrator does with hosts that run: look, read, rotate, report, and take away."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.fleet.conftest import Deployed
from tests.fleet.site import JUPYTER_PORT, SITE, Site
from tests.local_site import PATIENCE, ROOT, wait_until
from tests.machines.sshd_hosts import SshdHost
from tests.terminal import typed

TOKEN = f"{SITE}/.config/jupyfleet/token"


@pytest.fixture
def host(deployed: Deployed) -> SshdHost:
    assert deployed.first_up.returncode == 0, deployed.first_up.stdout
    return deployed.host


def contents(host: SshdHost, token: str) -> int:
    """The status of a request for the workspace."""
    url = f"http://{host.address}:{JUPYTER_PORT}/api/contents"
    return httpx.get(url, headers={"Authorization": f"token {token}"}, timeout=30).status_code


def test_status_tells_how_a_host_is_doing(deployed: Deployed, host: SshdHost) -> None:
    [answer] = [found["answer"] for found in deployed.site.results("status").values()]
    assert answer["service"] == "RUNNING"
    assert answer["release"] == Path(host.shell(f"readlink {SITE}/.pixi/envs/default").strip()).name
    assert answer["versions"]["jupyterlab"].startswith("4.")
    assert (answer["kernels"], answer["users"], answer["notebooks"]) == (0, 0, 0)
    assert 0 < answer["disk"]["free"] < answer["disk"]["total"]
    assert "RUNNING" in deployed.site.run("status").stdout


def test_status_of_a_host_without_a_site_says_so(copies: Callable[[int], Site]) -> None:
    [answer] = [found["answer"] for found in copies(1).results("status").values()]
    assert answer["service"] is None
    assert answer["release"] is None
    assert "run jupyfleet up" in answer["problem"]


def test_doctor_finds_what_would_keep_a_deploy_from_working(deployed: Deployed, bare: Callable[[], SshdHost]) -> None:
    new = bare()
    new.shell(
        "echo sleep 0.5 >> ~/.bashrc; printf '#!/bin/sh\\nsleep 0.5\\nexec /bin/sh \"$@\"\\n' > /home/lab/slow.sh"
    )
    new.shell(
        "chmod +x /home/lab/slow.sh; sed -i 's|/home/lab:/bin/bash|/home/lab:/home/lab/slow.sh|' /etc/passwd",
        user="root",
    )
    site = Site(deployed.site.directory / "doctor", [deployed.host, new], own={new.name: {"jupyter_port": 80}})
    results = site.results("doctor")
    findings = {name: {f["id"]: f for f in host["answer"]["findings"]} for name, host in results.items()}
    assert {finding["status"] for finding in findings["first"].values()} <= {"ok", "warning"}
    assert set(findings["first"]) >= {"ssh", "clock", "deployable", "disk", "shell", "selinux", "firewalld"}
    assert findings[new.name]["deployable"]["status"] == "failed"
    assert "port 80 needs root" in results[new.name]["reason"]
    assert findings[new.name]["shell"]["status"] == "warning"
    assert not new.path(SITE).exists()


def test_logs_are_read_from_several_hosts_and_without_the_token(deployed: Deployed, host: SshdHost) -> None:
    token = host.shell(f"cat {TOKEN}")
    host.shell(f"echo 'a line with {token} in it' >> {SITE}/log/jupyter.log")
    done = deployed.site.run("logs", "--lines", "3")
    assert done.returncode == 0, done.stderr
    assert "a line with *** in it" in done.stdout
    assert token not in done.stdout


@contextlib.contextmanager
def following(site: Site) -> Iterator[subprocess.Popen[str]]:
    command = site.command("logs", "--follow", "--lines", "0", "--json")
    process = subprocess.Popen(command, cwd=ROOT, env=site.environ, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_logs_are_followed_line_by_line_and_nothing_stays_behind(deployed: Deployed, host: SshdHost) -> None:
    def is_followed() -> bool:
        return "jupyfleet:logs.follow" in host.shell("ps -eo args")

    with following(deployed.site) as process:
        wait_until(is_followed, "the log is followed")
        assert process.stdout is not None

        # What is written before the end of the log was sought is not followed, so it is written again and again.
        def is_told() -> bool:
            host.shell(f"echo marked >> {SITE}/log/jupyter.log")
            return bool(select.select([process.stdout], [], [], 0.2)[0])

        wait_until(is_told, "a line is followed")
        line = process.stdout.readline()
    assert json.loads(line)["host"] == "first"
    assert json.loads(line)["line"]
    wait_until(lambda: not is_followed(), "nobody follows it any more")


def test_a_new_token_is_taken_and_the_old_one_refused(deployed: Deployed, host: SshdHost) -> None:
    old, supervisor = host.shell(f"cat {TOKEN}"), host.shell("pgrep -x supervisord")
    assert contents(host, old) == 200
    done = deployed.site.run("token rotate", "--json")
    assert done.returncode == 0, done.stdout
    new = host.shell(f"cat {TOKEN}")
    assert (contents(host, old), contents(host, new)) == (403, 200)
    assert host.shell("pgrep -x supervisord") == supervisor, "only JupyterLab has the token"
    assert old not in done.stdout
    assert new not in done.stdout
    assert deployed.site.run("token show").stdout == f"{new}\n"
    assert "nothing changed" in deployed.site.run("up").stdout


@pytest.mark.parametrize("client", ["claude-code", "cursor", "vscode", "open-webui", "ov-mcp-servers"])
def test_clients_are_told_where_the_server_is_and_no_token(deployed: Deployed, host: SshdHost, client: str) -> None:
    done = deployed.site.run("mcp-config", "--client", client)
    assert done.returncode == 0, done.stderr
    document = json.dumps(json.loads(done.stdout))
    assert f"http://{host.address}:{JUPYTER_PORT}/mcp" in document
    assert host.shell(f"cat {TOKEN}") not in done.stdout + done.stderr


def test_the_report_is_one_page_with_the_last_run(deployed: Deployed, host: SshdHost, tmp_path: Path) -> None:
    assert deployed.site.run("up").returncode == 0
    page = tmp_path / "lab.html"
    done = deployed.site.run("report", "--output", str(page))
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert "1 of 1 hosts are well" in text
    assert "mcp-jupyter-auth-required" in text
    assert "The last run: up" in text
    assert 'title="Files: unchanged' in text
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "").replace("http://www", "").split("<h2>Checks")[0]


def test_no_secret_is_in_anything_that_is_said_or_kept(deployed: Deployed, host: SshdHost, tmp_path: Path) -> None:
    site = deployed.site
    page = tmp_path / "secret.html"
    outputs = [
        site.run("up", "--verbose", "--json"),
        site.run("plan", "--verbose", jupyter_base_url="/x/"),
        site.run("verify", "--verbose"),
        site.run("status", "--verbose", "--json"),
        site.run("doctor", "--verbose", "--json"),
        site.run("token rotate", "--verbose", "--json"),
        site.run("report", "--output", str(page)),
        site.pyinfra("--debug", "-vvv", "deploy/up.py"),
    ]
    token = host.shell(f"cat {TOKEN}").encode()
    assert len(token) == 64
    assert all(token not in (done.stdout + done.stderr).encode() for done in outputs)
    kept = [file for file in site.directory.rglob("*") if file.is_file()]
    assert any(file.suffix == ".json" for file in kept), "runs are kept"
    assert all(token not in file.read_bytes() for file in [*kept, page])
    assert token not in host.network.log_of(host).read_bytes()
    for process in host.processes():
        with contextlib.suppress(OSError):
            assert token not in Path(f"/proc/{process}/cmdline").read_bytes()
    holders = host.shell(f'grep -rlF "$(cat {TOKEN})" /home /etc /tmp /run 2>/dev/null || true', user="root").split()
    assert holders == [TOKEN]


def test_purge_removes_a_workspace_only_by_its_name(copies: Callable[[int], Site]) -> None:
    site = copies(1)
    [host] = site.hosts
    assert site.run("up").returncode == 0
    workspace = f"{SITE}/workspace"
    refused = [
        site.run("down", "--purge"),
        site.run("down", "--workspace", workspace),
        site.run("down", "--purge", "--yes", "--workspace", "/home/lab"),
    ]
    assert [done.returncode for done in refused] == [2, 2, 2]
    assert host.path(TOKEN).exists(), "nothing was touched"
    assert site.run("down", "--purge", "--yes").returncode == 0
    assert host.path(workspace).is_dir()
    assert site.run("down", "--purge", "--yes", "--workspace", workspace).returncode == 0
    assert not host.path(SITE).exists()


def test_at_a_terminal_a_workspace_goes_only_once_its_path_was_typed(copies: Callable[[int], Site]) -> None:
    site = copies(1)
    [host] = site.hosts
    assert site.run("up").returncode == 0
    workspace = f"{SITE}/workspace"
    question, sure = "Type its path to remove it", "Remove the deploy on 1 host"

    def purge(*answers: tuple[str, str]) -> tuple[int, str]:
        command = site.command("down", "--purge")
        return typed(command, answers, cwd=ROOT, environ=site.environ, seconds=PATIENCE)

    code, _ = purge((question, workspace), (sure, "n"))
    assert code == 1
    assert host.path(TOKEN).exists(), "nothing was touched"
    code, shown = purge((question, "workspace"), (sure, "y"))
    assert code == 0, shown
    assert host.path(workspace).is_dir(), "what was typed is not its path"
    code, shown = purge((question, workspace), (sure, "y"))
    assert code == 0, shown
    assert not host.path(workspace).exists()
