"""Certificates: when one is made, for whom it holds, and which of somebody else's are refused."""

from __future__ import annotations

import hashlib
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jupyfleet_host import certificate
from jupyfleet_host.certificate import named_in
from jupyfleet_host.common import HostError

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")


def spec(directory: Path, *names: str, is_ours: bool = True) -> dict[str, Any]:
    paths = {"certificate": str(directory / "tls/certificate.pem"), "key": str(directory / "tls/key.pem")}
    return paths | {"names": list(names), "is_ours": is_ours}


def why(directory: Path, *names: str) -> str:
    [action] = certificate.look(spec(directory, *names))["actions"]
    return str(action).rpartition(", which ")[2]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    certificate.make(spec(tmp_path, "lab1.example.org", "10.1.2.3"))
    return tmp_path


def test_a_host_without_one_gets_one_and_then_needs_none(tmp_path: Path) -> None:
    assert why(tmp_path) == "is new"
    certificate.make(spec(tmp_path))
    assert certificate.look(spec(tmp_path)) == {"actions": []}
    assert (tmp_path / "tls/key.pem").stat().st_mode & 0o777 == 0o600


def test_it_holds_for_the_host_and_for_what_it_is_called(made: Path) -> None:
    argv = ["openssl", "x509", "-in", str(made / "tls/certificate.pem"), "-noout", "-ext", "subjectAltName"]
    names = named_in(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    assert {socket.gethostname().lower(), "localhost", "127.0.0.1", "lab1.example.org", "10.1.2.3"} <= names


def test_a_new_name_makes_a_new_one(made: Path) -> None:
    assert certificate.look(spec(made, "lab1.example.org")) == {"actions": []}
    assert why(made, "lab2.example.org", "*.example.org") == "does not hold for *.example.org, lab2.example.org"


def test_one_that_is_about_to_end_is_made_anew(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "_RENEW_SECONDS", 399 * 24 * 3600)
    assert why(made) == "ends within 30 days"


def test_a_key_of_another_certificate_is_noticed(made: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    certificate.make(spec(other))
    shutil.copy(other / "tls/key.pem", made / "tls/key.pem")
    assert why(made) == "does not fit its key"
    with pytest.raises(HostError, match="is not that of the certificate"):
        certificate.look(spec(made, is_ours=False))


def test_somebody_else_s_is_taken_as_it_is(made: Path) -> None:
    assert certificate.look(spec(made, "a-name-it-does-not-hold-for", is_ours=False)) == {"actions": []}


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda tls: (tls / "key.pem").unlink(), "key.pem cannot be read by the server's user: No such file"),
        (lambda tls: (tls / "key.pem").chmod(0o644), "everybody on this host may use the key"),
        (lambda tls: (tls / "certificate.pem").write_text("no certificate"), "has ended, or is none"),
    ],
    ids=["missing", "readable", "damaged"],
)
def test_what_the_server_could_not_use_is_refused(made: Path, damage: Any, reason: str) -> None:
    damage(made / "tls")
    with pytest.raises(HostError, match=reason):
        certificate.look(spec(made, is_ours=False))


def sent(directory: Path, other: Path) -> dict[str, Any]:
    """What is asked about files that are sent, and the files."""
    contents = {name: (other / f"tls/{name}.pem").read_text() for name in ("certificate", "key")}
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in contents.items()}
    return spec(directory, is_ours=False) | {"sha256": digests, "contents": contents}


def test_one_that_is_sent_is_laid_down_once(made: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    host = tmp_path_factory.mktemp("host")
    both = [f"lay down {host}/tls/{name}.pem" for name in ("certificate", "key")]
    assert certificate.look(sent(host, made)) == {"actions": both}
    certificate.lay_down(sent(host, made))
    assert certificate.look(sent(host, made)) == {"actions": []}
    assert (host / "tls/key.pem").read_bytes() == (made / "tls/key.pem").read_bytes()
    assert (host / "tls/key.pem").stat().st_mode & 0o777 == 0o600


def test_one_that_is_sent_and_cannot_be_used_changes_nothing(
    made: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    certificate.make(spec(other))
    before = {path: path.read_bytes() for path in (made / "tls").iterdir()}
    wrong = sent(made, other)
    wrong["contents"]["key"] = (made / "tls/key.pem").read_text()
    with pytest.raises(HostError, match="is not that of the certificate"):
        certificate.lay_down(wrong)
    assert {path: path.read_bytes() for path in (made / "tls").iterdir()} == before


def test_names_are_read_as_openssl_writes_them() -> None:
    said = "X509v3 Subject Alternative Name: \n    DNS:Lab1, DNS:*.example.org, IP Address:127.0.0.1, "
    said += "IP Address:0:0:0:0:0:0:0:1\n"
    assert named_in(said) == {"lab1", "*.example.org", "127.0.0.1", "::1"}


def test_openssl_finds_nothing_wrong_with_it(made: Path) -> None:
    file = str(made / "tls/certificate.pem")
    argv = ["openssl", "verify", "-CAfile", file, "-verify_hostname", "lab1.example.org", file]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == f"{file}: OK\n"
