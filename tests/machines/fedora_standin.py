"""A stand-in for Fedora: dnf, rpm and Fedora's layout of supervisord, on a Debian userland.

Fedora itself cannot be had where these tests run. What is real here: dnf and rpm with a repository, packages whose
files lie where Fedora's lie, os-release, systemd's unit and supervisord's configuration under Fedora's names; apt and
dpkg are gone. What is not: Fedora's own packages, dnf5, its SELinux policy, its kernel.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from tests.local_site import ROOT

#: Of Debian, beside a machine's usual packages: Fedora's tools, what git needs, and what supervisord imports.
PACKAGES = (
    "createrepo-c",
    "dnf",
    "libcurl3-gnutls",
    "libexpat1",
    "libpcre2-8-0",
    "openssl",
    "perl-base",
    "python3-dnf",
    "python3-pkg-resources",
    "python3-venv",
    "rpm",
)
_RELEASE = "fc42"
_SECONDS = 600
_SOURCES = Path("srv/rpm-sources")
_REPOSITORY = Path("srv/repository")

_OS_RELEASE = """\
NAME="Fedora Linux"
VERSION="42 (stand-in on a Debian userland)"
ID=fedora
VERSION_ID=42
PLATFORM_ID="platform:f42"
PRETTY_NAME="Fedora Linux 42 (stand-in on a Debian userland)"
"""

#: As Fedora's package has it, shortened to what matters to whoever lays down a program.
_SUPERVISORD_CONF = """\
[unix_http_server]
file=/run/supervisor/supervisor.sock

[supervisord]
logfile=/var/log/supervisor/supervisord.log
pidfile=/run/supervisord.pid

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix:///run/supervisor/supervisor.sock

[include]
files=supervisord.d/*.ini
"""

#: Whether Fedora's unit starts supervisord again could not be looked up; this one does.
_SUPERVISORD_SERVICE = """\
[Unit]
Description=Process Monitoring and Control Daemon
After=nss-user-lookup.target

[Service]
Type=forking
ExecStart=/usr/bin/supervisord -c /etc/supervisord.conf
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""


def make_of(tree: Path) -> None:
    """Turn a Debian tree with `PACKAGES` into the stand-in."""
    (tree / _SOURCES).mkdir(parents=True)
    (tree / "etc/rpm").mkdir(exist_ok=True)
    # Debian's rpm keeps its database in the caller's home.
    (tree / "etc/rpm/macros").write_text("%_dbpath /usr/lib/sysimage/rpm\n")
    (tree / "usr/lib/sysimage/rpm").mkdir(parents=True, exist_ok=True)
    git, supervisor = _git(tree), _supervisor(tree)
    provided = "system-release = 42, /bin/sh, /usr/bin/sh, /usr/bin/python3, bash, python3, glibc, systemd"
    _build(tree, "fedora-release", "42", f"Provides: {provided}", None)
    _build(tree, "git-core", git, "Requires: glibc", "git")
    _build(tree, "git", git, f"Requires: git-core = {git}", None)
    # Fedora's systemd does this for every package that brings such a file.
    after = "systemd-tmpfiles --create supervisor.conf || :"
    _build(tree, "supervisor", supervisor, "Requires: python3, systemd", "supervisor", after)
    _inside(tree, f"createrepo_c --quiet /{_REPOSITORY}")
    _look_like_fedora(tree)


def _git(tree: Path) -> str:
    """Lay Debian's git out as a package's payload; its version."""
    _inside(tree, f"cd /{_SOURCES} && apt-get -qq update && apt-get -qq download git && dpkg-deb -x git_*.deb git")
    for name in ("usr/share/doc", "usr/share/lintian", "usr/share/bash-completion", "var", "etc"):
        shutil.rmtree(tree / _SOURCES / "git" / name, ignore_errors=True)
    version = _inside(tree, f"dpkg-deb --field /{_SOURCES}/git_*.deb Version")
    return version.rpartition(":")[2].partition("-")[0]


def _supervisor(tree: Path) -> str:
    """Lay the locked supervisor out as Fedora's package has it; its version."""
    payload = tree / _SOURCES / "supervisor"
    lock = ROOT / "requirements/supervisor.txt"
    argv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--require-hashes", "--target"]
    packages = payload / "usr/lib/python3/dist-packages"
    subprocess.run([*argv, str(packages), "-r", str(lock)], check=True, timeout=_SECONDS)
    shutil.rmtree(packages / "bin", ignore_errors=True)
    files = {
        "etc/supervisord.conf": _SUPERVISORD_CONF,
        "usr/lib/systemd/system/supervisord.service": _SUPERVISORD_SERVICE,
        "usr/lib/tmpfiles.d/supervisor.conf": "D /run/supervisor 0770 root root -\n",
    }
    for program, module in {"supervisord": "supervisord", "supervisorctl": "supervisorctl"}.items():
        text = f"#!/usr/bin/python3\nimport sys\nfrom supervisor.{module} import main\nsys.exit(main())\n"
        files[f"usr/bin/{program}"] = text
    for name, text in files.items():
        path = payload / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if path.parent.name == "bin" else 0o644)
    for name in ("etc/supervisord.d", "var/log/supervisor"):
        (payload / name).mkdir(parents=True)
    [info] = packages.glob("supervisor-*.dist-info")
    return info.name.removeprefix("supervisor-").removesuffix(".dist-info")


def _build(tree: Path, name: str, version: str, relations: str, payload: str | None, after: str = "") -> None:
    """Build one package into the repository; `after` is run when it was installed."""
    files = []
    if payload is not None:
        folder = tree / _SOURCES / payload
        for path in sorted(folder.rglob("*")):
            is_directory = path.is_dir() and not path.is_symlink()
            files.append(f'{"%dir " if is_directory else ""}"/{path.relative_to(folder)}"')
    spec = dedent(f"""\
        Name: {name}
        Version: {version}
        Release: 1.{_RELEASE}
        Summary: {name}, for tests
        License: various
        AutoReqProv: no
        {relations}
        %description
        For tests.
        %install
        mkdir -p %{{buildroot}}
        """)
    if payload is not None:
        spec += f"cp -a /{_SOURCES}/{payload}/. %{{buildroot}}/\n"
    if after:
        spec += f"%post\n{after}\n"
    spec += "%files\n" + "".join(f"{line}\n" for line in files)
    (tree / _SOURCES / f"{name}.spec").write_text(spec)
    options = {"_rpmdir": f"/{_REPOSITORY}", "_build_id_links": "none"}
    options |= dict.fromkeys(("debug_package", "__os_install_post"), "%{nil}")
    defines = " ".join(f"--define '{key} {value}'" for key, value in options.items())
    _inside(tree, f"HOME=/root rpmbuild --quiet -bb {defines} /{_SOURCES}/{name}.spec")


def _look_like_fedora(tree: Path) -> None:
    for name in ("etc/os-release", "usr/lib/os-release"):
        (tree / name).unlink(missing_ok=True)
    (tree / "usr/lib/os-release").write_text(_OS_RELEASE)
    (tree / "etc/os-release").symlink_to("../usr/lib/os-release")
    (tree / "etc/fedora-release").write_text("Fedora release 42 (stand-in)\n")
    (tree / "etc/yum.repos.d").mkdir(exist_ok=True)
    repository = f"[fedora]\nname=Stand-in for Fedora\nbaseurl=file:///{_REPOSITORY}\nenabled=1\ngpgcheck=0\n"
    (tree / "etc/yum.repos.d/fedora.repo").write_text(repository)
    _inside(tree, "dnf --quiet --assumeyes install fedora-release")
    shutil.rmtree(tree / _SOURCES)
    # Whatever falls back on Debian's tools has to fail.
    for pattern in ("apt", "apt-*", "dpkg", "dpkg-*"):
        for program in (tree / "usr/bin").glob(pattern):
            program.unlink()


def _inside(tree: Path, command: str) -> str:
    """Run a shell command in the tree; what it prints."""
    argv = ["systemd-nspawn", "--quiet", "--pipe", "--register=no", "--keep-unit", "--resolv-conf=off"]
    argv += ["--timezone=off"]
    done = subprocess.run(
        [*argv, f"--directory={tree}", "sh", "-c", command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command!r} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout.strip()
