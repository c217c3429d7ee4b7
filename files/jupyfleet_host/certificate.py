"""The certificate that the server shows: made here and signed by itself, sent here, or only looked at.

A key never leaves the host, and is readable by its owner alone from the moment it is there.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import socket
import subprocess
import tempfile
from pathlib import Path

from jupyfleet_host.common import HostError, Result, Spec, run
from jupyfleet_host.tree import replace

#: A certificate with less left is made anew; it then lasts for as long as browsers accept (398 days).
_RENEW_SECONDS = 30 * 24 * 3600
_DAYS = 398
_SECONDS = 60


def look(spec: Spec) -> Result:
    """Say what `make` would do: ``{"actions": [sentence, …]}``.

    The spec has the paths `certificate` and `key`, `is_ours` (made here, or somebody else's) and `names`, beside the
    host's own, that it has to hold for. Of files that are sent it has the `sha256` of both.

    Raises:
        HostError: somebody else's certificate or key cannot be used.
    """
    certificate, key = Path(spec["certificate"]), Path(spec["key"])
    if sent := spec.get("sha256"):
        differing = [path for path, name in ((certificate, "certificate"), (key, "key")) if _digest(path) != sent[name]]
        if differing:
            return {"actions": [f"lay down {path}" for path in differing]}
    if not spec["is_ours"]:
        _refuse_what_cannot_be_used(certificate, key)
        return {"actions": []}
    why = _why_anew(certificate, key, _names(spec["names"]))
    return {"actions": [f"make a certificate at {certificate}, which {why}"] if why else []}


def make(spec: Spec) -> Result:
    """Make a key, and a certificate that is signed by it: ``{"summary": text}``."""
    names = _names(spec["names"])
    Path(spec["certificate"]).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        key, certificate = Path(scratch, "key.pem"), Path(scratch, "certificate.pem")
        argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        argv += ["-days", str(_DAYS), "-subj", f"/CN={socket.gethostname()[:64]}", "-keyout", str(key)]
        argv += ["-addext", f"subjectAltName={','.join(map(_alternative, names))}", "-out", str(certificate)]
        run(argv, timeout=_SECONDS, why="make a certificate")
        replace(Path(spec["key"]), key.read_bytes(), 0o600)
        replace(Path(spec["certificate"]), certificate.read_bytes(), 0o644)
    return {"summary": f"for {', '.join(names)}"}


def lay_down(spec: Spec) -> Result:
    """Take `contents`, the text of `certificate` and `key`, if they can be used: ``{"summary": text}``.

    Raises:
        HostError: they cannot; nothing has changed.
    """
    certificate, key = Path(spec["certificate"]), Path(spec["key"])
    certificate.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    texts = spec["contents"]
    with tempfile.TemporaryDirectory() as scratch:
        tried = Path(scratch, certificate.name), Path(scratch, key.name)
        for path, name in zip(tried, ("certificate", "key"), strict=True):
            replace(path, texts[name].encode(), 0o600)
        _refuse_what_cannot_be_used(*tried)
    # The key first: a server that starts in between has one that fits none, and says so, rather than an old one.
    replace(key, texts["key"].encode(), 0o600)
    replace(certificate, texts["certificate"].encode(), 0o644)
    return {"summary": f"{certificate} and its key"}


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _names(further: list[str]) -> list[str]:
    """All names and addresses by which the host is addressed, as far as it knows them."""
    own = [socket.gethostname(), socket.getfqdn(), "localhost", "127.0.0.1", "::1"]
    return sorted({name.lower() for name in (*own, *further) if re.fullmatch(r"[A-Za-z0-9.:*-]+", name)})


def _alternative(name: str) -> str:
    return f"IP:{ipaddress.ip_address(name)}" if _is_address(name) else f"DNS:{name}"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _why_anew(certificate: Path, key: Path, names: list[str]) -> str | None:
    if not certificate.is_file() or not key.is_file():
        return "is new"
    if _openssl("x509", "-in", certificate, "-noout", "-checkend", str(_RENEW_SECONDS)) is None:
        return "ends within 30 days"
    said = _openssl("x509", "-in", certificate, "-noout", "-ext", "subjectAltName") or ""
    held = named_in(said)
    if missing := [name for name in names if name not in held]:
        return f"does not hold for {', '.join(missing)}"
    return None if _belong_together(certificate, key) else "does not fit its key"


def named_in(said: str) -> set[str]:
    """The names and addresses in openssl's text of a subjectAltName."""
    found = {name.lower() for name in re.findall(r"DNS:([^,\s]+)", said)}
    return found | {str(ipaddress.ip_address(address)) for address in re.findall(r"IP Address:([0-9A-Fa-f.:]+)", said)}


def _belong_together(certificate: Path, key: Path) -> bool:
    public = _openssl("x509", "-in", certificate, "-noout", "-pubkey")
    return public is not None and public == _openssl("pkey", "-in", key, "-pubout")


def _refuse_what_cannot_be_used(certificate: Path, key: Path) -> None:
    for path, setting in ((certificate, "jupyter_tls_certificate"), (key, "jupyter_tls_key")):
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise HostError(
                f"{path} cannot be read by the server's user: {error.strerror}. "
                f"Put it there, let that user read it, or set {setting}."
            ) from error
    if key.stat().st_mode & 0o007:
        raise HostError(f"everybody on this host may use the key {key}: take it from others (chmod o= {key}).")
    if _openssl("x509", "-in", certificate, "-noout", "-checkend", "0") is None:
        raise HostError(f"the certificate {certificate.name} has ended, or is none. Renew it, and run up again.")
    if not _belong_together(certificate, key):
        raise HostError(f"the key {key.name} is not that of the certificate {certificate.name}.")


def _openssl(*argv: str | Path) -> str | None:
    """What it prints, or None where it says no."""
    try:
        done = subprocess.run(
            ["openssl", *(os.fspath(part) for part in argv)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise HostError("there is no program openssl on this host. Install openssl.") from error
    return done.stdout if done.returncode == 0 else None
