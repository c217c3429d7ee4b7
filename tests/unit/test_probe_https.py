"""The probe against HTTPS: whom it trusts, and what it says when it does not."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from pathlib import Path

import pytest
from probe_servers import IDS, Host, Jupyter, failed

from jupyfleet_host import (
    probe_web,
)


def certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate and its key in one file."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    try:
        alternative = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    built = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    pem = serialization.Encoding.PEM
    path = folder / f"{name}.pem"
    path.write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()) + built.public_bytes(pem))
    return path


def encrypt(server: Jupyter, pem: Path) -> None:
    """Make a server speak HTTPS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)


def test_https_with_the_sites_authority(host: Host) -> None:
    pem = certificate(host.root, "lab.example.org")
    encrypt(host.jupyter, pem)
    assert failed(host.verify(scheme="https", ca_file=str(pem))) == []


def test_https_without_the_authority_says_what_to_set(host: Host) -> None:
    encrypt(host.jupyter, certificate(host.root, "lab.example.org"))
    checks = host.fails("jupyter-api", "is not trusted", "ca_file", scheme="https", timeout=30)
    assert all(checks[name]["detail"].startswith("not reached: ") for name in IDS[6:])


def test_https_with_a_file_that_is_no_authority(host: Host) -> None:
    host.fails("jupyter-api", "holds no certificate", scheme="https", ca_file="/nowhere.pem")
    host.fails("jupyter-api", "holds no certificate", scheme="https", ca_file=str(host.lab))


def test_hostnames_are_left_unproven_on_loopback_only() -> None:
    assert [probe_web.is_loopback(name) for name in ("127.0.0.1", "127.8.8.8", "::1", "localhost")] == [True] * 4
    assert [probe_web.is_loopback(name) for name in ("10.0.0.1", "192.168.1.7", "lab.example.org")] == [False] * 3


def test_https_names_another_host_off_loopback(host: Host) -> None:
    address = own_address()
    pem = certificate(host.root, "lab.example.org")
    with Jupyter((address, 0)) as server:
        encrypt(server, pem)
        spec = {"scheme": "https", "ca_file": str(pem), "host": address, "port": server.port}
        host.fails("jupyter-api", "is not trusted", **spec)


def own_address() -> str:
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has only loopback")
        return str(one.getsockname()[0])


def test_https_to_a_server_without_it(host: Host) -> None:
    host.fails("jupyter-api", "https /api got no answer", scheme="https")
