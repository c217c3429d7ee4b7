"""Hosts with a real sshd, made in a second: namespaces of their own over this machine's own files, read-only.

Each host has its own mounts (an overlay over this machine's root, or over an image of another host), processes and
name, and listens on an address of its own in 127.0.0.0/8; the network is this machine's. What it writes is in memory,
and gone with it. `lab` is an ordinary user of every host, without a password and without sudo.

A host over a tree for arm64 runs emulated, see `emulation`.

It never touches this machine: /home, /root, /tmp and the like are empty on a host.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.machines import emulation
from tests.machines.programs import missing

SSHD = Path("/usr/sbin/sshd")
USER = "lab"
HOME = f"/home/{USER}"
_UID = 61_000
PORT = 2222
#: Seconds for a server to answer, on a machine that has other things to do.
_PATIENCE = 60
#: How a host reaches the package index is this machine's business, and told to sessions as it was told to us.
_PASSED_ON = ("PIP_", "SSL_CERT_", "UV_", "REQUESTS_CA_", "CURL_CA_")

_UNSHARE = ("unshare", "--mount", "--pid", "--uts", "--ipc", "--fork")
_START = r"""
set -eu
hostname "$NAME"
mount -t tmpfs -o mode=755,size=3g tmpfs "$BASE"
mkdir "$BASE/upper" "$BASE/work" "$BASE/root"
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$BASE/upper,workdir=$BASE/work$OVERLAY" "$BASE/root"
cd "$BASE/root"
for directory in $EMPTY; do
    [ -d "$directory" ] && mount -t tmpfs -o mode=755 tmpfs "$directory"
done
chmod 1777 tmp
mount -t proc proc proc
mount --rbind /dev dev
mkdir -p run/sshd "home/$USER_NAME/.ssh" etc/ssh
chmod 755 home
echo "$NAME" > etc/hostname
grep -q "^$USER_NAME:" etc/passwd || {
    echo "$USER_NAME:x:$USER_ID:$USER_ID::/home/$USER_NAME:/bin/bash" >> etc/passwd
    echo "$USER_NAME:x:$USER_ID:" >> etc/group
    echo "$USER_NAME:*:1::::::" >> etc/shadow
}
cp "$KEYS/host" etc/ssh/test_host_key
chmod 600 etc/ssh/test_host_key
cp "$KEYS/client.pub" "home/$USER_NAME/.ssh/authorized_keys"
cp "$KEYS/sshd_config" etc/ssh/test_sshd_config
chmod 600 etc/ssh/test_sshd_config
[ -z "$UV" ] || cp "$UV" usr/local/bin/uv
if [ -n "$PIP_CONF" ]; then
    mkdir -p "home/$USER_NAME/.config/pip"
    cp "$PIP_CONF" "home/$USER_NAME/.config/pip/pip.conf"
fi
find "home/$USER_NAME" -maxdepth 3 -user 0 -exec chown -h "$USER_ID:$USER_ID" {} +
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec env -i "PATH=$PATH" chroot . /usr/sbin/sshd -D -e -f /etc/ssh/test_sshd_config
"""

_SSHD_CONFIG = """\
Port {port}
ListenAddress {address}
HostKey /etc/ssh/test_host_key
PidFile none
UsePAM no
PasswordAuthentication no
AllowUsers {user}
AcceptEnv LANG
MaxStartups 100
LogLevel VERBOSE
Subsystem sftp internal-sftp
{environment}
"""


def why_not() -> str | None:
    """Why this machine cannot make hosts, if it cannot."""
    if os.geteuid() != 0:
        return "only root may make namespaces and mounts"
    if reason := missing(str(SSHD), "unshare", "setpriv", "nsenter", "chroot", "ssh-keygen"):
        return reason
    if not IMAGES.is_mount():
        return f"{IMAGES} is no file system of its own"
    probe = subprocess.run([*_UNSHARE, "true"], capture_output=True, text=True, check=False)
    return f"namespaces are not to be had: {probe.stderr.strip()}" if probe.returncode else None


@dataclass
class SshdHost:
    """One host that runs."""

    name: str
    address: str
    network: Network
    _process: subprocess.Popen[bytes] = field(repr=False)
    emulated: bool = False

    @property
    def data(self) -> dict[str, Any]:
        """How pyinfra gets there."""
        return {
            "ssh_hostname": self.address,
            "ssh_port": PORT,
            "ssh_user": USER,
            "ssh_key": str(self.network.keys / "client"),
            "ssh_known_hosts_file": str(self.network.known_hosts),
            "ssh_config_file": str(self.network.keys / "no-ssh-config"),
        }

    @property
    def pid(self) -> int:
        """Its sshd, in our numbers."""
        pid = self._process.pid
        for _ in range(2 if self.emulated else 1):
            pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        return pid

    @property
    def root(self) -> Path:
        """Its files, seen from outside."""
        return Path(f"/proc/{self.pid}/root")

    def path(self, path: str | os.PathLike[str]) -> Path:
        """A file of its, by the path that it has there."""
        return self.root / os.fspath(path).lstrip("/")

    def shell(self, command: str, *, user: str = USER) -> str:
        """Run a command there without SSH, as an independent witness.

        Raises:
            CalledProcessError: it failed.
        """
        return self._enter(user, command).stdout

    def succeeds(self, command: str, *, user: str = USER) -> bool:
        return self._enter(user, command, check=False).returncode == 0

    def _enter(self, user: str, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        uid = _UID if user == USER else 0
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--uts", "--ipc", "--root", "--wd"]
        if self.emulated:
            enter.append("--user")
        if uid:
            enter += ["--setuid", str(uid), "--setgid", str(uid)]
        return subprocess.run(
            [*enter, "/bin/sh", "-c", command],
            env={"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin", "HOME": HOME if uid else "/root"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=check,
        )

    def processes(self) -> list[int]:
        """Everything that runs there, in our numbers."""
        namespace = Path(f"/proc/{self.pid}/ns/pid").readlink()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "ns/pid").readlink() == namespace:
                    found.append(int(process.name))
        return found

    def served(self) -> tuple[int, int]:
        """How many connections and how many commands its sshd has served so far, by its own log."""
        log = self.network.log_of(self).read_text()
        return log.count("Accepted publickey"), log.count("Starting session: command")

    def pause(self) -> None:
        """Have every process stand still, as on a host whose disk or kernel hangs."""
        for pid in self.processes():
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def serves_connections(self) -> list[int]:
        """The processes that serve connections; the one that accepts them is none of them."""
        found = []
        for pid in self.processes():
            with contextlib.suppress(OSError):
                if pid != self.pid and Path(f"/proc/{pid}/comm").read_text().strip().startswith("sshd"):
                    found.append(pid)
        return found

    def drop_connections(self) -> None:
        """End the processes that serve connections, and leave the one that accepts them."""
        for pid in self.serves_connections():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """End it, with every process in it."""
        self._process.kill()  # unshare passes its death on (--kill-child), and with PID 1 the whole namespace goes.
        self._process.wait(timeout=_PATIENCE)


class Network:
    """Hosts that know each other's controller: one pair of keys, one file of known hosts, one range of addresses."""

    def __init__(self, directory: Path) -> None:
        self.keys = directory / "keys"
        self.known_hosts = self.keys / "known_hosts"
        self._directory = directory
        self._hosts: list[SshdHost] = []
        self._kept = contextlib.ExitStack()
        # Addresses of our own, so that suites can run side by side.
        self._prefix = f"127.{100 + os.getpid() // 250 % 100}.{os.getpid() % 250 + 1}"
        self._next = 1
        self.keys.mkdir(parents=True, mode=0o700)
        for name in ("host", "client"):
            make_key(self.keys / name)
        self.known_hosts.touch()

    def log_of(self, host: SshdHost) -> Path:
        """What its sshd says, which no process of the host can change."""
        return self._directory / f"{host.name}.log"

    @property
    def count(self) -> int:
        """How many hosts were made so far."""
        return self._next - 1

    def host(
        self,
        name: str = "",
        *,
        image: Path | None = None,
        arm64: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> SshdHost:
        """Start a host, over this machine's files, an image of another one or a tree for arm64; wait for its answer.

        Raises:
            AssertionError: it did not start.
        """
        [host] = self.start([name], image=image, arm64=arm64, environment=environment)
        return host

    def start(
        self,
        names: list[str],
        *,
        image: Path | None = None,
        arm64: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> list[SshdHost]:
        """Start hosts side by side."""
        hosts = [self._spawn(name, image, arm64, dict(environment or {})) for name in names]
        for host in hosts:
            _wait_for_banner(host, self.log_of(host))
        return hosts

    def _spawn(self, name: str, image: Path | None, arm64: Path | None, environment: dict[str, str]) -> SshdHost:
        number, self._next = self._next, self._next + 1
        name, address = name or f"host{number}", f"{self._prefix}.{number}"
        base = self._directory / name
        base.mkdir()
        told = {key: value for key, value in os.environ.items() if key.startswith(_PASSED_ON)} | environment
        config = _SSHD_CONFIG.format(
            port=PORT,
            address=address,
            user=USER,
            environment="SetEnv " + " ".join(f'"{key}={value}"' for key, value in told.items()) if told else "",
        )
        keys = base.with_suffix(".keys")
        shutil.copytree(self.keys, keys)
        (keys / "sshd_config").write_text(config)
        with self.known_hosts.open("a") as known:
            key = (self.keys / "host.pub").read_text().split()[:2]
            known.write(f"[{address}]:{PORT} {' '.join(key)}\n")
        variables = {
            "PATH": os.environ["PATH"],
            "NAME": name,
            "BASE": str(base),
            "LOWER": str(arm64) if arm64 else f"{image}:/" if image else "/",
            # Inside a user namespace an overlay may mark its files only so.
            "OVERLAY": ",userxattr" if arm64 else "",
            "EMPTY": "tmp run root work srv mnt home" if image is None else "tmp run root work srv mnt",
            "KEYS": str(keys),
            "USER_NAME": USER,
            "USER_ID": str(_UID),
            "PIP_CONF": _pip_configuration(),
            "UV": "" if arm64 else shutil.which("uv", path=str(Path(sys.executable).parent)) or "",
        }
        emulator = [sys.executable, emulation.__file__] if arm64 else []
        with (self._directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                # With the tests go their hosts, however the tests end.
                ["setpriv", "--pdeathsig", "KILL", *emulator, *_UNSHARE, "--kill-child", "sh", "-c", _START],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        host = SshdHost(name, address, self, process, emulated=arm64 is not None)
        self._hosts.append(host)
        return host

    def keep(self, resources: contextlib.ExitStack) -> None:
        """Hold on to what hosts stand on, until they are gone."""
        self._kept.push(resources)

    def stop(self) -> None:
        """End every host; what is left of them are empty directories."""
        while self._hosts:
            self._hosts.pop().stop()
        self._kept.close()

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


#: An overlay takes no layer that lies inside another one, so images are on a file system of their own.
IMAGES = Path("/dev/shm")


@contextlib.contextmanager
def image_of(host: SshdHost, without: Iterable[str] = ()) -> Iterator[Path]:
    """What a host has in its users' homes, less some paths: the ground that other hosts can start from."""
    with tempfile.TemporaryDirectory(prefix="jupyfleet-image-", dir=IMAGES) as directory:
        image = Path(directory)
        image.chmod(0o755)
        subprocess.run(["cp", "-a", str(host.path("/home")), directory], check=True)
        for path in without:
            subprocess.run(["rm", "-r", "--", str(image / path.lstrip("/"))], check=True)
        yield image


def make_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True)


def _pip_configuration() -> str:
    """The file that tells this user's pip about an index, which hosts need, too."""
    for file in (Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf"):
        if file.is_file():
            return str(file)
    return ""


def _wait_for_banner(host: SshdHost, log: Path) -> None:
    give_up = time.monotonic() + _PATIENCE
    while time.monotonic() < give_up and host._process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((host.address, PORT), timeout=5) as probe:
            if probe.recv(4) == b"SSH-":
                return
        time.sleep(0.05)
    raise AssertionError(f"{host.name} has no SSH server:\n{log.read_text()[-2000:]}")
