"""Which Host and Origin headers a server accepts."""

from __future__ import annotations

import pytest

from jupyter_mcp.access import HostPolicy, is_loopback, split_host

POLICY = HostPolicy.of(["lab.example.org", "*.school.example"], ["https://trusted.example"], {"box", "box.lan"})


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost", True),
        ("localhost:8888", True),
        ("LOCALHOST:8888", True),
        ("127.0.0.1:8888", True),
        ("127.8.8.8", True),
        ("[::1]:8888", True),
        ("lab.example.org", True),
        ("LAB.example.org.:443", True),
        ("a.school.example:1", True),
        ("box:8888", True),
        ("192.0.2.7:8888", True),
        ("school.example", False),
        ("192.0.2.8:8888", False),
        ("evil.example", False),
        ("lab.example.org.evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost@evil.example", False),
        ("localhost, evil.example", False),
        ("evil.example/localhost", False),
        ("localhost:port", False),
        ("*", False),
        ("", False),
        ("[::1", False),
    ],
)
def test_hosts(host: str, allowed: bool) -> None:
    assert POLICY.host_allowed(host, "192.0.2.7") is allowed


def test_an_address_counts_only_where_the_connection_arrived() -> None:
    assert POLICY.host_allowed("192.0.2.7", "::ffff:192.0.2.7")
    assert POLICY.host_allowed("[fe80::1]:80", "fe80::1%eth0")
    assert not POLICY.host_allowed("192.0.2.7", None)


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://localhost:8888", "localhost:8888", True),
        ("https://lab.example.org", "lab.example.org", True),
        ("https://lab.example.org:443", "lab.example.org", True),
        ("http://lab.example.org", "lab.example.org:80", True),
        ("HTTPS://Trusted.example", "localhost:8888", True),
        ("http://localhost:3000", "localhost:8888", False),
        ("http://localhost", "localhost:8888", False),
        ("http://127.0.0.1:8888", "localhost:8888", False),
        ("https://evil.example", "localhost:8888", False),
        ("http://localhost:8888.evil.example", "localhost:8888", False),
        ("http://user@localhost:8888", "localhost:8888", False),
        ("null", "localhost:8888", False),
        ("", "localhost:8888", False),
        ("file://", "localhost:8888", False),
        ("http://localhost:8888/path", "localhost:8888", False),
        ("http://localhost:8888, http://evil.example", "localhost:8888", False),
        ("http://localhost:99999", "localhost:8888", False),
        ("chrome-extension://localhost:8888", "localhost:8888", False),
    ],
)
def test_origins(origin: str, host: str, allowed: bool) -> None:
    assert POLICY.origin_allowed(origin, host) is allowed


def test_split_host() -> None:
    assert split_host("Example.org:80") == ("example.org", 80)
    assert split_host("[::1]") == ("::1", None)
    assert split_host("a b") is None


@pytest.mark.parametrize(("name", "loopback"), [("localhost", True), ("::1", True), ("0.0.0.0", False), ("box", False)])
def test_loopback(name: str, loopback: bool) -> None:
    assert is_loopback(name) is loopback
