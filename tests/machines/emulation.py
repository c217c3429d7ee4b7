"""Run a command where programs for arm64 run, too: `python emulation.py COMMAND …`.

They run in QEMU's emulation of processes, which the kernel calls for files of that kind (binfmt_misc). Since Linux 6.7
a user namespace can have such a rule of its own, so nothing changes on this machine. In the namespace every user has
the id that it has outside. The command ends with this process, however that ends.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path

EMULATOR = "/usr/bin/qemu-aarch64-static"
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_PR_SET_PDEATHSIG = 1
_EM_AARCH64 = 183
#: Every user id that there is, from 0 on, is the same inside and outside.
_ALL_IDS = "0 0 4294967295"


def why_not() -> str | None:
    """Why this machine cannot run programs for arm64 this way, if it cannot."""
    if os.geteuid() != 0:
        return "only root may map all users into a namespace"
    if shutil.which(EMULATOR) is None:
        return f"there is no {EMULATOR} (make installs it before such tests where it can)"
    argv = [sys.executable, __file__, EMULATOR, "-version"]
    probe = subprocess.run(argv, capture_output=True, text=True, check=False)
    return f"a namespace with a rule of its own is not to be had: {probe.stderr.strip()}" if probe.returncode else None


def _rule() -> str:
    """What binfmt_misc is told: the first 20 bytes of a program for arm64, and which of their bits count.

    Flags: O and C, the program is opened and its rights are taken by the kernel, so that sudo works; F, the emulator is
    opened now, so that it is found from any root directory.
    """
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    magic = ident + struct.pack("<HH", 2, _EM_AARCH64)
    # The type is 2 or 3, and what follows the version says nothing of the machine.
    mask = b"\xff" * 7 + b"\x00" + b"\xff" * 8 + struct.pack("<HH", 0xFFFE, 0xFFFF)

    def escaped(data: bytes) -> str:
        return "".join(f"\\x{byte:02x}" for byte in data)

    return f":arm64:M::{escaped(magic)}:{escaped(mask)}:{EMULATOR}:OCF"


def _in_namespace(argv: list[str]) -> None:
    subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(_BINFMT)], check=True)
    (_BINFMT / "register").write_text(_rule())
    os.execvp(argv[0], argv)  # noqa: S606


def run(argv: list[str]) -> int:
    """Run a command in a namespace of its own; its exit code.

    Raises:
        OSError: the kernel refused the namespace.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    made, mapped = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        try:
            if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS):
                sys.exit(f"unshare: {os.strerror(ctypes.get_errno())}")
            os.write(made[1], b".")
            os.read(mapped[0], 1)
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            _in_namespace(argv)
        except Exception as error:
            print(f"{argv[0]}: {error}", file=sys.stderr)
        finally:
            os._exit(127)
    os.close(made[1])
    if os.read(made[0], 1):
        for which in ("uid_map", "gid_map"):
            Path(f"/proc/{child}/{which}").write_text(_ALL_IDS)
    os.write(mapped[1], b".")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    # With its parent goes this one too, and with it the command.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    sys.exit(run(sys.argv[1:]))
