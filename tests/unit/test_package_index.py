"""What uv is told of the index, certificates and wheels that pip is configured with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.paths import FILES
from jupyfleet_host.package_index import environment_for_uv, read_pip_options

MIRROR = "https://mirror.example.invalid/simple"
OTHER = "https://other.example.invalid/simple"


class Machine:
    """A user's home and a machine's configuration, both empty at first."""

    def __init__(self, top: Path) -> None:
        self.home = top / "user"
        self.system = top / "etc"
        self.environ: dict[str, str] = {}
        self.places = {
            "machine": self.system / "pip.conf",
            "desktop": self.system / "xdg/pip/pip.conf",
            "old user": self.home / ".pip/pip.conf",
            "user": self.home / ".config/pip/pip.conf",
            "named": top / "named.conf",
        }

    def write(self, place: str, text: str) -> None:
        self.places[place].parent.mkdir(parents=True, exist_ok=True)
        self.places[place].write_text(text)

    def for_uv(self) -> dict[str, str]:
        return environment_for_uv(self.environ, self.home, self.system)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_where_pip_is_not_configured_uv_is_told_nothing(machine: Machine) -> None:
    assert machine.for_uv() == {}


@pytest.mark.parametrize("place", ["machine", "desktop", "old user", "user"])
@pytest.mark.parametrize("spelling", ["index-url", "index_url", "Index-URL"])
def test_the_index_of_a_file_is_uv_s_index(machine: Machine, place: str, spelling: str) -> None:
    machine.write(place, f"[global]\n{spelling} = {MIRROR}\n")
    assert machine.for_uv() == {"UV_DEFAULT_INDEX": MIRROR}


def test_the_stronger_file_counts(machine: Machine) -> None:
    order = ["desktop", "machine", "old user", "user"]
    for place in order:
        machine.write(place, f"[global]\nindex-url = https://{place.replace(' ', '-')}.example.invalid/simple\n")
        assert machine.for_uv()["UV_DEFAULT_INDEX"].startswith(f"https://{place.replace(' ', '-')}.")


def test_the_section_of_install_counts_more_than_a_stronger_file(machine: Machine) -> None:
    machine.write("machine", f"[install]\nindex-url = {MIRROR}\n")
    machine.write("user", f"[global]\nindex-url = {OTHER}\n")
    assert machine.for_uv() == {"UV_DEFAULT_INDEX": MIRROR}


def test_the_environment_counts_more_than_all_files(machine: Machine) -> None:
    machine.write("user", f"[install]\nindex-url = {OTHER}\n")
    machine.environ["PIP_INDEX_URL"] = MIRROR
    assert machine.for_uv() == {"UV_DEFAULT_INDEX": MIRROR}


def test_a_named_file_takes_the_place_of_the_user_s_but_not_of_the_machine_s(machine: Machine) -> None:
    machine.write("machine", "[global]\ntrusted-host = mirror.example.invalid\n")
    machine.write("user", f"[global]\nindex-url = {OTHER}\nextra-index-url = {OTHER}\n")
    machine.write("named", f"[global]\nindex-url = {MIRROR}\n")
    machine.environ["PIP_CONFIG_FILE"] = str(machine.places["named"])
    assert machine.for_uv() == {"UV_DEFAULT_INDEX": MIRROR, "UV_INSECURE_HOST": "mirror.example.invalid"}


def test_a_named_file_that_is_not_there_changes_nothing(machine: Machine) -> None:
    machine.write("user", f"[global]\nindex-url = {MIRROR}\n")
    machine.environ["PIP_CONFIG_FILE"] = str(machine.places["named"])
    assert machine.for_uv() == {"UV_DEFAULT_INDEX": MIRROR}


def test_the_null_device_as_the_file_turns_all_files_off_but_not_the_environment(machine: Machine) -> None:
    machine.write("machine", f"[global]\nindex-url = {OTHER}\n")
    machine.write("user", "[global]\nno-index = yes\n")
    machine.environ |= {"PIP_CONFIG_FILE": os.devnull, "PIP_EXTRA_INDEX_URL": MIRROR}
    assert machine.for_uv() == {"UV_INDEX": MIRROR, "UV_INDEX_STRATEGY": "unsafe-best-match"}


def test_the_configuration_home_may_be_elsewhere(machine: Machine, tmp_path: Path) -> None:
    machine.write("user", f"[global]\nindex-url = {OTHER}\n")
    (tmp_path / "xdg/pip").mkdir(parents=True)
    (tmp_path / "xdg/pip/pip.conf").write_text(f"[global]\nindex-url = {MIRROR}\n")
    machine.environ["XDG_CONFIG_HOME"] = str(tmp_path / "xdg")
    assert machine.for_uv() == {"UV_DEFAULT_INDEX": MIRROR}


def test_several_indexes_are_searched_as_pip_does(machine: Machine) -> None:
    machine.write("user", f"[global]\nextra-index-url =\n    {MIRROR}\n    {OTHER}\n")
    assert machine.for_uv() == {"UV_INDEX": f"{MIRROR} {OTHER}", "UV_INDEX_STRATEGY": "unsafe-best-match"}


def test_directories_that_are_not_there_are_left_out(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "more wheels").mkdir()
    spaced = f"file://{tmp_path}/more%20wheels"
    machine.environ |= {
        "PIP_FIND_LINKS": f"/no/such/wheels {tmp_path}/wheels file:///no/such/wheels {spaced} {MIRROR}/links",
        "PIP_EXTRA_INDEX_URL": f"file:///no/such/index file://{tmp_path}/wheels",
    }
    assert machine.for_uv() == {
        "UV_FIND_LINKS": f"{tmp_path}/wheels,{spaced},{MIRROR}/links",
        "UV_INDEX": f"file://{tmp_path}/wheels",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_when_no_directory_is_there_nothing_is_said_of_them(machine: Machine) -> None:
    machine.environ |= {"PIP_FIND_LINKS": "/no/such/wheels", "PIP_EXTRA_INDEX_URL": "file:///no/such/index"}
    assert machine.for_uv() == {}


def test_a_tilde_is_the_user_s_home(machine: Machine) -> None:
    (machine.home / "wheels").mkdir(parents=True)
    machine.write("user", "[global]\nfind-links = ~/wheels ~/none\ncert = ~/ca.pem\n")
    assert machine.for_uv() == {
        "UV_FIND_LINKS": f"{machine.home}/wheels",
        "SSL_CERT_FILE": f"{machine.home}/ca.pem",
    }


@pytest.mark.parametrize(
    ("value", "is_on"),
    [("1", True), ("true", True), ("Yes", True), ("on", True), ("0", False), ("false", False), ("", False)],
)
def test_no_index_is_a_switch(machine: Machine, value: str, is_on: bool) -> None:
    machine.write("machine", f"[global]\nno-index = {value}\n")
    assert machine.for_uv() == ({"UV_NO_INDEX": "1"} if is_on else {})


def test_a_percent_sign_in_an_address_is_kept(machine: Machine) -> None:
    url = "https://user:p%40ss@mirror.example.invalid/simple"
    machine.write("user", f"[global]\nindex-url = {url}\n")
    assert machine.for_uv() == {"UV_DEFAULT_INDEX": url}


@pytest.mark.parametrize("text", ["index-url = x\n", "[global\n", "[global]\nindex-url\n", "\udcff"])
def test_a_file_that_cannot_be_read_is_passed_over(machine: Machine, text: str) -> None:
    machine.write("machine", f"[global]\nindex-url = {MIRROR}\n")
    machine.write("user", "")
    machine.places["user"].write_bytes(text.encode(errors="surrogateescape"))
    assert machine.for_uv() == {"UV_DEFAULT_INDEX": MIRROR}


def test_an_empty_value_hides_no_weaker_one(machine: Machine) -> None:
    machine.write("machine", f"[global]\nindex-url = {MIRROR}\n")
    machine.write("user", "[global]\nindex-url =\n")
    machine.environ["PIP_INDEX_URL"] = ""
    assert machine.for_uv() == {"UV_DEFAULT_INDEX": MIRROR}


@pytest.mark.parametrize(
    "name", ["UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_NO_INDEX", "UV_OFFLINE", "UV_FIND_LINKS"]
)
def test_where_uv_is_configured_itself_pip_s_places_do_not_count(machine: Machine, name: str) -> None:
    machine.write(
        "user", f"[global]\nindex-url = {MIRROR}\nextra-index-url = {OTHER}\ntrusted-host = x\nno-index = 1\n"
    )
    machine.environ[name] = "anything"
    assert machine.for_uv() == {}


@pytest.mark.parametrize("place", ["user", "machine"])
def test_uv_s_own_file_counts_as_configured(machine: Machine, place: str) -> None:
    machine.write("user", f"[global]\nindex-url = {MIRROR}\n")
    file = {"user": machine.home / ".config/uv/uv.toml", "machine": machine.system / "uv/uv.toml"}[place]
    file.parent.mkdir(parents=True)
    file.touch()
    assert machine.for_uv() == {}


def test_a_certificate_is_handed_on_even_where_uv_is_configured(machine: Machine) -> None:
    machine.write("machine", "[global]\ncert = /etc/site.pem\n")
    machine.environ["UV_INDEX"] = OTHER
    assert machine.for_uv() == {"SSL_CERT_FILE": "/etc/site.pem"}
    machine.environ["SSL_CERT_FILE"] = "/mine.pem"
    assert machine.for_uv() == {}


def test_options_of_pip_that_are_not_about_sources_are_left_out(machine: Machine) -> None:
    machine.write("user", f"[global]\ntimeout = 5\nindex-url = {MIRROR}\n[list]\nformat = json\n")
    assert read_pip_options({}, machine.home, machine.system) == {"index-url": MIRROR}


def test_pip_itself_ranks_its_places_the_same_way(machine: Machine, tmp_path: Path) -> None:
    """Against the pip of this environment, which knows best."""
    probe = (
        "from pip._internal.commands.install import InstallCommand as C;"
        "print(C('install', '').parser.get_default_values().index_url)"
    )
    environ = {"HOME": str(machine.home), "PATH": os.environ["PATH"]}
    machine.write("old user", f"[install]\nindex-url = {MIRROR}\n")
    machine.write("user", f"[global]\nindex-url = {OTHER}\n")
    machine.write("named", "[global]\nindex-url = https://named.example.invalid/simple\n")
    for changes in ({}, {"PIP_CONFIG_FILE": str(machine.places["named"])}, {"PIP_INDEX_URL": OTHER}):
        said = subprocess.run(
            [sys.executable, "-c", probe], env=environ | changes, capture_output=True, text=True, check=False
        )
        if said.returncode:
            pytest.skip(f"this environment has no pip that answers: {said.stderr.strip().splitlines()[-1:]}")
        ours = environment_for_uv(environ | changes, machine.home, machine.system)
        assert ours["UV_DEFAULT_INDEX"] == said.stdout.strip()


def test_it_becomes_uv_with_what_pip_is_configured_with(machine: Machine) -> None:
    machine.write("user", f"[global]\nindex-url = {MIRROR}\n")
    environ = {"HOME": str(machine.home), "PATH": os.environ["PATH"], "PYTHONPATH": str(FILES), "KEPT": "1"}
    show = "import os; print(os.environ['UV_DEFAULT_INDEX'], os.environ['KEPT'])"
    command = [sys.executable, "-m", "jupyfleet_host.package_index", sys.executable, "-c", show]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == f"{MIRROR} 1\n"
