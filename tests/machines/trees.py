"""The file trees that test machines are started from: made once, from Debian's packages, and kept.

A tree is named by a digest of its recipe, and moved into place when it is complete, so an interrupted making leaves
nothing that looks like one. It reaches the network as this machine does: with its package sources and certificates.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.local_site import ROOT
from tests.machines import emulation
from tests.machines import fedora_standin as standin
from tests.machines.programs import missing

CACHE = ROOT / ".cache/machines"
SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
#: What a server needs at the least: an init system, SSH, Python. What jupyfleet installs is not among it.
PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "kmod",
    "openssh-server",
    "procps",
    "python3",
    "sudo",
    "systemd-sysv",
    "udev",
)
#: What a machine of its own must have beside.
PACKAGES_TO_BOOT = ("initramfs-tools", "netbase")
#: What protects one.
PACKAGES_THAT_PROTECT = ("firewalld", "selinux-basics", "selinux-policy-default")
#: A module for Debian's policy.
POLICY = Path(__file__).with_name("debian_policy.cil")
#: The least that is asked of a host for user scope.
PACKAGES_FOR_A_USER = ("ca-certificates", "openssh-server", "procps", "python3", "python3-venv")
#: Units that wait for what a container has not, or work in the background beside a test.
_OFF = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "getty@tty1.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
)
_SECONDS = 1800
#: Of the digest in a tree's name.
_DIGITS = 12


def why_not() -> str | None:
    """Why no tree can be made here, if none can."""
    return "making one takes root" if os.geteuid() else missing("mmdebstrap", "ssh-keygen")


def debian() -> Path:
    """The directory of a minimal Debian 12 with systemd and sshd."""
    return _made("debian", lambda target: _make_debian(target, PACKAGES))


def bootable_debian() -> Path:
    """The directory of a Debian 12 with a kernel, firewalld and a policy of SELinux, enforced; for an image."""
    packages = (*PACKAGES, *PACKAGES_TO_BOOT, "linux-image-cloud-amd64", *PACKAGES_THAT_PROTECT)

    def make(target: Path) -> None:
        _make_debian(target, packages)
        _enforce(target)

    return _made("bootable", make, POLICY)


def bootable_arm64() -> Path:
    """The directory of a Debian 12 for arm64 with a kernel, and nothing that protects it; for an image."""
    packages = (*PACKAGES, *PACKAGES_TO_BOOT, "linux-image-cloud-arm64")
    return _made("bootable-arm64", lambda target: _make_debian(target, packages, arm64=True))


def fedora_standin() -> Path:
    """The directory of the stand-in for Fedora, see `fedora_standin`."""

    def make(target: Path) -> None:
        _make_debian(target, PACKAGES + standin.PACKAGES)
        standin.make_of(target)

    return _made("fedora-standin", make, Path(standin.__file__))


def arm64() -> Path:
    """The directory of a Debian 12 for arm64 with sshd and Python; its packages are configured emulated."""
    return _made("arm64", lambda target: _make_debian(target, PACKAGES_FOR_A_USER, arm64=True))


def copy(tree: Path, target: Path) -> None:
    """A tree of a machine's own, with owners, modes and links."""
    subprocess.run(["cp", "--archive", "--reflink=auto", str(tree), str(target)], check=True, timeout=_SECONDS)


def _made(name: str, make: Callable[[Path], None], *recipes: Path) -> Path:
    recipe = b"".join(path.read_bytes() for path in (Path(__file__), *recipes))
    tree = CACHE / f"{name}-{hashlib.sha256(recipe).hexdigest()[:_DIGITS]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with _alone(CACHE / f"{name}.lock"):
        if not tree.is_dir():
            # In the place where it stays: a tree is not moved between file systems.
            scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=CACHE))
            try:
                make(scratch / "tree")
                for outdated in CACHE.glob(f"{name}-{'?' * _DIGITS}"):
                    shutil.rmtree(outdated)
                (scratch / "tree").rename(tree)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return tree


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_debian(tree: Path, packages: Sequence[str], *, arm64: bool = False) -> None:
    argv = ["mmdebstrap", "--variant=minbase", "--mode=root", "--format=directory"]
    if arm64:
        # It looks for an emulator that the whole machine knows; ours is known in a namespace only.
        argv = [sys.executable, emulation.__file__, *argv, "--architectures=arm64", "--skip=check/qemu"]
    argv += ['--aptopt=Acquire::Languages "none"', '--aptopt=APT::Install-Recommends "false"']
    argv += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "locale")]
    argv += [f"--include={','.join(packages)}", "bookworm", str(tree), "-"]
    with SOURCES.open() as sources:
        done = subprocess.run(argv, stdin=sources, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"mmdebstrap ended with {done.returncode}: {done.stderr[-2000:]}")
    (tree / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
    shutil.copy(CERTIFICATES, tree / "etc/ssl/certs/ca-certificates.crt")
    shutil.copy("/etc/resolv.conf", tree / "etc/resolv.conf")
    (tree / "etc/pip.conf").write_text(_pip_configuration())
    for unit in _OFF:
        mask = tree / "etc/systemd/system" / unit
        mask.unlink(missing_ok=True)
        mask.symlink_to("/dev/null")
    # Every machine makes keys of its own; a tree that all share must not carry any.
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()


def _enforce(tree: Path) -> None:
    """Have Debian's policy enforced, with `POLICY` in it."""
    shutil.copy(POLICY, tree / "root/site.cil")
    (tree / "etc/selinux/config").write_text("SELINUX=enforcing\nSELINUXTYPE=default\n")
    argv = ["chroot", str(tree), "semodule", "--noreload", "--install", "/root/site.cil"]
    subprocess.run(argv, check=True, capture_output=True, timeout=_SECONDS)


def _pip_configuration() -> str:
    """The index that this machine's pip works with, for a machine that has none of its files."""
    lines = ["[global]", f"cert = {CERTIFICATES}"]
    done = subprocess.run(["pip", "config", "list"], capture_output=True, text=True, env=dict(os.environ), check=False)
    for line in done.stdout.splitlines():
        name, _, value = line.partition("=")
        option, value = name.rpartition(".")[2], value.strip("'\"")
        if option in ("index-url", "trusted-host", "proxy") and "file:" not in value:
            lines.append(f"{option} = {value}")
    return "\n".join(lines) + "\n"
