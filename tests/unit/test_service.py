"""The server as a program of supervisord: a real supervisord, with a program of the test in the place of the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.paths import REQUIREMENTS
from jupyfleet_host import processes, service
from jupyfleet_host.common import HostError
from jupyfleet_host.package_index import environment_for_uv
from jupyfleet_host.supervisor_rpc import Supervisor
from tests.local_site import wait_until

TOKEN = "0123456789abcdef" * 4


@pytest.fixture(scope="session")
def supervisord(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """supervisor from its lock."""
    environment = tmp_path_factory.mktemp("supervisor") / "environment"
    uv = Path(sys.executable).parent / "uv"
    environ = dict(os.environ) | environment_for_uv(os.environ, Path.home())
    install = ["--quiet", "pip", "install", "--python", environment / "bin/python", "--require-hashes", "-r"]
    subprocess.run([uv, "--quiet", "venv", "--python", sys.executable, environment], env=environ, check=True)
    subprocess.run([uv, *install, REQUIREMENTS / "supervisor.txt"], env=environ, check=True)
    return environment / "bin/supervisord"


class Site:
    """A home with a supervisord and one program, which `configure` describes."""

    def __init__(self, home: Path, supervisord: Path) -> None:
        self.home = home
        self.supervisord = supervisord
        self.identifier = "one"
        home.mkdir()
        (home / "token").write_text(TOKEN)
        self.configure("sleep 1000")

    def configure(self, command: str, **environment: str) -> None:
        variables = ",".join(f'{name}="{value}"' for name, value in environment.items())
        (self.home / "supervisord.conf").write_text(
            f"[supervisord]\nidentifier={self.identifier}\nlogfile={self.home}/supervisord.log\n"
            f"pidfile={self.home}/pid\n[unix_http_server]\nfile={self.home}/sock\nchmod=0700\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[program:jupyter]\ncommand={command}\nstartsecs=1\nstartretries=1\nautorestart=unexpected\n"
            f"exitcodes=78\nredirect_stderr=true\nstdout_logfile={self.home}/jupyter.log\nenvironment={variables}\n"
        )

    def spec(self, **marks: str) -> dict[str, Any]:
        return {
            "home": str(self.home),
            "socket": str(self.home / "sock"),
            "program": "jupyter",
            "identifier": self.identifier,
            "unit": None,
            "start": [str(self.supervisord), "--configuration", str(self.home / "supervisord.conf")],
            "log": str(self.home / "supervisord.log"),
            "program_log": str(self.home / "jupyter.log"),
            "token_file": str(self.home / "token"),
            "certificate": str(self.home / "certificate.pem"),
            "marks": marks,
            "link": str(self.home / ".pixi/envs/default"),
            "owner": None,
            "wait": 30,
        }

    def ensure(self) -> int:
        return int(service.ensure(self.spec())["pid"])

    def actions(self, **marks: str) -> list[str]:
        return list(service.state(self.spec(**marks))["actions"])


@pytest.fixture
def site(tmp_path: Path, supervisord: Path) -> Iterator[Site]:
    site = Site(tmp_path / "home", supervisord)
    yield site
    service.stop(site.spec())
    assert processes.of_site(str(site.home)) == []


def test_what_is_not_there_is_started_once(site: Site) -> None:
    assert site.actions() == ["start supervisord", "start jupyter"]
    pid = site.ensure()
    assert site.actions() == []
    assert site.ensure() == pid


def test_a_changed_program_is_restarted_and_supervisord_is_not(site: Site) -> None:
    pid, supervisor = site.ensure(), int((site.home / "pid").read_text())
    site.configure("sleep 1001")
    assert site.actions() == ["restart jupyter, whose configuration changed"]
    assert site.ensure() != pid
    assert int((site.home / "pid").read_text()) == supervisor
    assert site.actions() == []


def test_a_changed_supervisord_is_restarted(site: Site) -> None:
    site.ensure()
    supervisor = int((site.home / "pid").read_text())
    site.identifier = "two"
    site.configure("sleep 1000")
    assert site.actions() == ["restart supervisord, whose configuration changed"]
    site.ensure()
    assert int((site.home / "pid").read_text()) != supervisor


def test_a_plan_knows_a_restart_before_the_file_that_causes_it_is_there(site: Site) -> None:
    site.configure("sleep 1000", JUPYFLEET_RELEASE="one")
    site.ensure()
    assert site.actions(JUPYFLEET_RELEASE="one") == []
    assert site.actions(JUPYFLEET_RELEASE="two") == ["restart jupyter, whose release or configuration changed"]


def test_a_stopped_program_is_started(site: Site) -> None:
    os.kill(site.ensure(), signal.SIGTERM)
    wait_until(lambda: site.actions() == [], "supervisord restarts it by itself")
    Supervisor(str(site.home / "sock")).stopProcess("jupyter")
    assert site.actions() == ["start jupyter"]
    site.ensure()
    assert site.actions() == []


def test_a_newer_token_restarts_the_program(site: Site) -> None:
    pid = site.ensure()
    later = (site.home / "token").stat().st_mtime + 60
    os.utime(site.home / "token", (later, later))
    assert site.actions() == ["restart jupyter, whose token changed"]
    assert site.ensure() != pid


def test_a_program_that_does_not_stay_is_said_with_the_end_of_its_log_and_without_the_token(site: Site) -> None:
    site.configure(f"sh -c 'echo the token is {TOKEN}; exit 78'")
    with pytest.raises(HostError, match="does not run") as refused:
        site.ensure()
    assert "the token is <token>" in str(refused.value)
    assert TOKEN not in str(refused.value)


def test_a_configuration_that_supervisord_refuses_is_said(site: Site) -> None:
    site.ensure()
    site.configure("sleep 1000\nnumprocs=never")
    with pytest.raises(HostError, match="supervisord refuses its configuration"):
        site.ensure()


def test_what_a_killed_supervisord_left_behind_is_ended_first(site: Site) -> None:
    orphan = site.ensure()
    os.kill(int((site.home / "pid").read_text()), signal.SIGKILL)
    assert site.ensure() != orphan
    # Not a look into /proc: whoever inherited it may take a moment to notice its end.
    assert processes.wait_for_end([orphan], patience=0) == set()


def test_stop_leaves_no_process_and_spares_who_asks(site: Site) -> None:
    pid = site.ensure()
    assert pid in service.processes_of_site(site.spec())["pids"]
    assert service.stop(site.spec()) == {"stopped": True}
    assert service.processes_of_site(site.spec())["pids"] == []
    assert service.stop(site.spec()) == {"stopped": False}


def test_the_service_inherits_what_names_the_person_and_the_network_and_no_secret() -> None:
    kept = {
        "HOME": "/h",
        "LC_ALL": "C",
        "SSL_CERT_FILE": "/c",
        "PIP_INDEX_URL": "i",
        "https_proxy": "p",
        "PATH": "/bin",
    }
    dropped = {
        "JUPYTER_TOKEN": TOKEN,
        "JUPYTER_CONFIG_DIR": "/x",
        "VIRTUAL_ENV": "/v",
        "PYTHONPATH": "/p",
        "AWS_KEY": "k",
    }
    assert service.service_environment(kept | dropped) == kept | {"LANG": "C.UTF-8"}
