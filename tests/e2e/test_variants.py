"""A site with other settings than the usual ones: no authentication, a base URL, its own uv, a workspace elsewhere."""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_site import LocalSite


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = tmp_path_factory.mktemp("elsewhere")
    (workspace / "mine.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    return workspace


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, workspace: Path) -> Iterator[LocalSite]:
    site = LocalSite(
        tmp_path_factory.mktemp("jf") / "site",
        settings={
            "jupyter_auth": "none",
            "jupyter_base_url": "/lab1/",
            "jupyter_uv": None,
            "jupyter_workspace": str(workspace),
        },
    )
    yield site
    assert site.run("down").returncode == 0


def post_mcp(site: LocalSite, **headers: str) -> tuple[int, str]:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "notebook_list"}})
    request = urllib.request.Request(f"{site.url}lab1/mcp", data=body.encode(), method="POST")
    accepted = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    for name, value in (accepted | headers).items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_it_is_deployed_and_verified_with_a_uv_that_the_host_installs_itself(site: LocalSite) -> None:
    done = site.run("up")
    assert done.returncode == 0, done.stdout
    assert f"{site.url}lab1/lab" in done.stdout
    assert not site.token_file.exists()
    [uv] = site.home.glob("tools/uv-*/bin/uv")
    assert uv.exists()
    assert "nothing changed" in site.run("up").stdout


def test_without_authentication_agents_work_and_foreign_pages_are_refused_all_the_same(site: LocalSite) -> None:
    status, text = post_mcp(site)
    assert status == 200
    assert "mine.ipynb" in text
    assert post_mcp(site, Origin="https://evil.example")[0] == 403
    assert post_mcp(site, Host="evil.example")[0] in (403, 421)


def test_a_workspace_that_has_notebooks_is_left_as_it_is(site: LocalSite, workspace: Path) -> None:
    assert not (workspace / "welcome.ipynb").exists()
    assert not (site.home / "workspace").exists()


def test_authentication_is_turned_on_by_the_next_run(site: LocalSite) -> None:
    site.settings["jupyter_auth"] = "token"
    done = site.run("up")
    assert done.returncode == 0, done.stdout
    assert post_mcp(site)[0] in (401, 403)
    assert post_mcp(site, Authorization=f"Bearer {site.token}")[0] == 200


def test_https_is_turned_on_by_the_next_run_and_plain_http_off(site: LocalSite) -> None:
    site.settings["jupyter_tls"] = "self-signed"
    done = site.run("up")
    assert done.returncode == 0, done.stdout
    assert f"https://127.0.0.1:{site.port}/lab1/lab" in done.stdout
    assert "nothing changed" in site.run("up").stdout
    certificate = site.home / ".config/jupyfleet/tls/certificate.pem"
    trusting = ssl.create_default_context(cafile=str(certificate))
    url = f"https://localhost:{site.port}/lab1/api"
    with urllib.request.urlopen(url, timeout=30, context=trusting) as answer:
        assert answer.status == 200
    with pytest.raises(urllib.error.URLError, match="certificate verify failed"):
        urllib.request.urlopen(url, timeout=30, context=ssl.create_default_context())
    with pytest.raises(OSError):  # noqa: PT011 - the connection is reset, or nothing that is HTTP comes back.
        post_mcp(site)


def test_a_new_certificate_is_taken_up(site: LocalSite) -> None:
    before = site.processes()
    (site.home / ".config/jupyfleet/tls/key.pem").unlink()
    done = site.run("plan")
    assert "which is new" in done.stdout
    assert site.run("up").returncode == 0
    assert "nothing changed" in site.run("up").stdout
    assert site.processes() != before


def test_a_certificate_is_sent_from_here_renewed_and_never_shown(site: LocalSite, tmp_path: Path) -> None:
    first, second = made_certificate(tmp_path / "first"), made_certificate(tmp_path / "second")
    site.settings |= {
        "jupyter_tls": "files",
        "jupyter_tls_certificate": str(first[0]),
        "jupyter_tls_key": str(first[1]),
    }
    assert site.run("up").returncode == 0
    assert served_certificate(site) == first[0].read_text()
    assert (site.home / ".config/jupyfleet/tls/key.pem").stat().st_mode & 0o777 == 0o600
    assert "nothing changed" in site.run("up").stdout

    # The new certificate alone has another key: refused as a whole, and the server goes on with what it has.
    site.settings["jupyter_tls_certificate"] = str(second[0])
    done = site.run("up")
    assert done.returncode == 1
    assert "is not that of the certificate" in done.stdout
    assert served_certificate(site) == first[0].read_text()

    site.settings["jupyter_tls_key"] = str(second[1])
    told = [site.run(command, "--json") for command in ("plan", "up")]
    assert "lay down" in told[0].stdout
    assert [done.returncode for done in told] == [0, 0]
    assert served_certificate(site) == second[0].read_text()
    secret = "".join(second[1].read_text().splitlines()[1:-1])[:40]
    assert secret not in "".join(done.stdout + done.stderr for done in told).replace("\\n", "")


def made_certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate for this machine, signed by itself, and its key."""
    directory.mkdir()
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    argv += ["-subj", "/CN=lab", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*argv, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


def served_certificate(site: LocalSite) -> str:
    return ssl.get_server_certificate(("127.0.0.1", site.port))


def test_down_leaves_the_workspace_elsewhere_and_no_home(site: LocalSite, workspace: Path) -> None:
    assert site.run("down").returncode == 0
    assert (workspace / "mine.ipynb").exists()
    assert not site.home.exists()
