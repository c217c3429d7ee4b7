"""What people get wrong: one clear sentence, the right exit code, and nothing touched."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from tests.local_site import INVENTORY, PROGRAM, LocalSite


@pytest.fixture
def site(tmp_path: Path) -> LocalSite:
    return LocalSite(tmp_path / "site")


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("jupyter_wrokspace", "/srv/x", "did you mean jupyter_workspace?"),
        ("jupyter_keep_releases", "three", "valid integer"),
        ("jupyter_port", 70000, "less than or equal to 65535"),
        ("jupyter_workspace", "notebooks", "must be an absolute path"),
        ("jupyter_profile", "huge", "use 'core' or 'full'"),
        ("jupyter_bind", "localhost", "must be an IP address"),
    ],
)
def test_a_bad_setting_is_refused_before_anything_is_touched(
    site: LocalSite, setting: str, value: object, said: str
) -> None:
    done = site.run("up", **{setting: value})
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert setting in line
    assert said in line
    assert not site.home.exists()


def test_a_bad_port_in_the_environment_is_refused(site: LocalSite) -> None:
    site.port = "many"  # type: ignore[assignment]
    done = site.run("up")
    assert done.returncode == 2
    assert "jupyter_port: 'many'" in done.stderr


def test_no_authentication_beyond_loopback_is_refused(site: LocalSite) -> None:
    done = site.run("up", jupyter_auth="none", jupyter_bind="0.0.0.0")
    assert done.returncode == 2
    assert "loopback" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"), [("nonsense = (", "is not Python"), ("1 / 0", "ZeroDivisionError"), ("", "has no hosts")]
)
def test_a_broken_inventory_is_refused(tmp_path: Path, site: LocalSite, text: str, said: str) -> None:
    inventory = tmp_path / "broken.py"
    inventory.write_text(text)
    done = site.call(PROGRAM, "up", inventory)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_command_and_a_missing_inventory_are_wrong_usage(site: LocalSite) -> None:
    assert site.call(PROGRAM, "upp", INVENTORY).returncode == 2
    assert site.call(PROGRAM, "up", "no-such-file.py").returncode == 2
    assert site.call(PROGRAM, "up").returncode == 2


def test_a_taken_port_is_said_with_its_owner_and_nothing_is_made(site: LocalSite) -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", site.port))
        owner.listen()
        done = site.run("up")
    assert done.returncode == 1
    assert f"port {site.port}" in done.stdout
    assert "JUPYFLEET_PORT" in done.stdout
    assert Path(sys.executable).name[:6] in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not site.home.exists()


def test_a_workspace_that_is_a_file_is_said_and_nothing_is_made(site: LocalSite, tmp_path: Path) -> None:
    (tmp_path / "notebooks").write_text("not a directory")
    done = site.run("up", jupyter_workspace=str(tmp_path / "notebooks"))
    assert done.returncode == 1
    assert "is a file, not a directory" in done.stdout
    assert not site.home.exists()


def test_verify_of_a_site_that_was_never_deployed_says_what_to_do(site: LocalSite) -> None:
    done = site.run("verify")
    assert done.returncode == 1
    assert "run jupyfleet up" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not site.home.exists()
