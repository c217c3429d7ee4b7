"""A machine of its own: kernel, network and disk, in QEMU, which emulates the processor; it may have a virtiofs share.

The guest's SSH and JupyterLab are reached through ports of this machine's loopback; nobody else reaches them.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.machines import trees
from tests.machines.machine import BOOT_SECONDS, Machine
from tests.machines.programs import missing

VIRTIOFSD = Path("/usr/lib/qemu/virtiofsd")
_DISK = "8G"
_MEMORY = "1536M"
_LAB = 8888
#: Under emulation a busy machine is not a broken one.
_KERNEL_OPTIONS = "root=/dev/vda rootfstype=ext4 rw quiet net.ifnames=0 mitigations=off nowatchdog"
_WITH_POLICY = "security=selinux"
_LABELS = "etc/selinux/default/contexts/files/file_contexts"
#: QEMU's own network for guests: it passes names and connections on, and lets nobody in but through `hostfwd`.
_NETWORK = "[Match]\nName=eth0\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\nDNS=10.0.2.3\n"


@dataclass(frozen=True)
class Hardware:
    """What QEMU emulates: its program, the kind of machine, the processor, and what the kernel must know of them."""

    program: str
    machine: str
    processor: str
    kernel_options: str

    def why_not(self) -> str | None:
        """Why this machine cannot run such a guest, if it cannot."""
        return missing(self.program, "qemu-img", "mke2fs", str(VIRTIOFSD))


# The clocks of an emulated PC are not to be relied on.
X86_64 = Hardware("qemu-system-x86_64", "q35", "max", "console=ttyS0 no_timer_check tsc=unstable clocksource=hpet")
# Signed pointers with QEMU's own algorithm: the architecture's takes most of the time of an emulated processor.
ARM64 = Hardware("qemu-system-aarch64", "virt", "max,pauth-impdef=on", "console=ttyAMA0")


@dataclass
class VirtualMachine(Machine):
    """A guest with a disk of its own; `share` is the directory that it gets as a share with the tag ``workspace``."""

    hardware: Hardware = X86_64
    share: Path | None = None
    share_is_read_only: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._disk = self.directory / "disk.qcow2"
        self._kernel_options = f"{_KERNEL_OPTIONS} {self.hardware.kernel_options}"
        self._processes: list[subprocess.Popen[bytes]] = []

    def make(self, tree: Path) -> None:
        """A disk from a tree of `trees`."""
        root = self.directory / "root"
        trees.copy(tree, root)
        self.let_in(root, "")
        (root / "etc/fstab").write_text("/dev/vda / ext4 rw,noatime 0 1\n")
        (root / "etc/hostname").write_text("guest\n")
        (root / "etc/hosts").write_text("127.0.0.1 localhost guest\n")
        (root / "etc/systemd/network/10-eth0.network").write_text(_NETWORK)
        (root / "etc/resolv.conf").write_text("nameserver 10.0.2.3\n")
        wants = root / "etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
        wants.unlink(missing_ok=True)
        wants.symlink_to("/lib/systemd/system/systemd-networkd.service")
        for name in ("vmlinuz", "initrd.img"):
            shutil.copy((root / name).resolve() if (root / name).is_symlink() else root / name, self.directory / name)
        if (root / _LABELS).exists():
            self._label(root)
            self._kernel_options += f" {_WITH_POLICY}"
        raw = self.directory / "disk.raw"
        self._run("truncate", "-s", _DISK, raw)
        self._run("mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-d", root, raw)
        self._run("qemu-img", "convert", "-O", "qcow2", raw, self._disk)
        raw.unlink()
        shutil.rmtree(root)

    def _label(self, root: Path) -> None:
        """Give every file its label: a guest that finds none spends many minutes on it, and boots once more."""
        script = f'mount -t proc proc "$1/proc" && chroot "$1" setfiles -F -e /proc /{_LABELS} /'
        self._run("unshare", "--mount", "sh", "-c", script, "sh", root)

    @staticmethod
    def _run(*argv: str | Path) -> None:
        subprocess.run([str(part) for part in argv], check=True, capture_output=True, timeout=BOOT_SECONDS)

    def settings(self) -> dict[str, Any]:
        # An emulated processor takes minutes for what a real one does in seconds.
        return {"jupyter_workspace_mount": "virtiofs", "jupyter_start_timeout": 900}

    def boot(self) -> None:
        hardware = self.hardware
        argv = [hardware.program, "-accel", "tcg,thread=multi,tb-size=512", "-cpu", hardware.processor, "-smp", "2"]
        # The share is memory of both.
        argv += ["-machine", f"{hardware.machine},memory-backend=memory", "-m", _MEMORY]
        argv += ["-object", f"memory-backend-memfd,id=memory,size={_MEMORY},share=on"]
        argv += ["-nodefaults", "-no-user-config", "-display", "none"]
        argv += ["-kernel", str(self.directory / "vmlinuz"), "-initrd", str(self.directory / "initrd.img")]
        argv += ["-append", self._kernel_options, "-serial", f"file:{self.log}", "-device", "virtio-rng-pci"]
        # "unsafe" keeps writes in this machine's memory, which a power cut of the guest does not reach.
        # A full disk here is an error there; QEMU would have the guest stand still until somebody notices.
        argv += ["-drive", f"if=none,id=disk,file={self._disk},format=qcow2,cache=unsafe,werror=report"]
        argv += ["-device", "virtio-blk-pci,drive=disk"]
        forward = f"hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22,hostfwd=tcp:127.0.0.1:{self.port}-:{_LAB}"
        argv += ["-netdev", f"user,id=net,{forward}", "-device", "virtio-net-pci,netdev=net,romfile="]
        if self.share is not None:
            argv += self._share_options(self.share)
        self._start(argv)
        self.wait_for_boot(lambda: all(process.poll() is None for process in self._processes))

    def _share_options(self, share: Path) -> list[str]:
        """Start the daemon that serves one guest one directory, and tell QEMU of it."""
        socket = self.directory / "virtiofs.sock"
        socket.unlink(missing_ok=True)
        serve = [str(VIRTIOFSD), f"--socket-path={socket}", "-o", f"source={share}"]
        if self.share_is_read_only:
            # In a mount namespace of its own, where the directory is mounted read-only.
            script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'
            serve = ["unshare", "--mount", "sh", "-c", script, "sh", str(share), *serve]
        self._start(serve)
        give_up = time.monotonic() + 60
        while not socket.exists():
            if self._processes[-1].poll() is not None or time.monotonic() > give_up:
                raise RuntimeError("virtiofsd does not start")
            time.sleep(0.05)
        return [
            "-chardev",
            f"socket,id=share,path={socket}",
            "-device",
            "vhost-user-fs-pci,chardev=share,tag=workspace,queue-size=1024",
        ]

    def _start(self, argv: list[str]) -> None:
        with (self.directory / "programs.log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            )

    def shut_down(self) -> None:
        if self._processes:
            self.ssh("systemctl poweroff", check=False)
            self._processes[-1].wait(timeout=BOOT_SECONDS)
        self._end()

    def cut_power(self) -> None:
        self._processes[-1].kill()
        self._end()

    def remove(self) -> None:
        self._end()

    def _end(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=60)
        self._processes = []
