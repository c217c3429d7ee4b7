"""Labels of SELinux, where it is on: the server's programs are programs, and its port is a web server's.

Nothing here switches SELinux off or makes it permissive. A host that is only permissive gets the same labels, so that
it can become enforcing.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from jupyfleet_host.common import HostError, progress, run

_ENFORCE = Path("/sys/fs/selinux/enforce")
#: Types of the reference policy, which Fedora's and Debian's are made from.
PROGRAM_TYPE = "bin_t"
PORT_TYPE = "http_port_t"
_SECONDS = 600


def is_on() -> bool:
    """Whether the kernel asks a policy; false where it is disabled."""
    return _ENFORCE.exists()


def missing(port: int, home: str) -> list[str]:
    """What `label` would do, a sentence each; nothing where SELinux is disabled."""
    if not is_on():
        return []
    if shutil.which("semanage") is None:
        raise HostError("SELinux is on and there is no program semanage. Install policycoreutils-python-utils.")
    actions = []
    if port not in ports(_listing(), PORT_TYPE):
        actions.append(f"label port {port}/tcp as {PORT_TYPE}")
    if not _rule_is_there(home):
        actions.append(f"label programs in {home} as {PROGRAM_TYPE}")
    elif mislabelled(_dry_run(home)):
        actions.append(f"restore labels in {home}")
    return actions


def label(port: int, home: str) -> None:
    """Add the rules that are missing, and restore the labels that they ask for."""
    listing = _listing()
    if port not in ports(listing, PORT_TYPE):
        progress(f"labelling port {port}")
        # The policy may have given the port to something else, as Fedora's has some.
        option = "--modify" if is_known(port, listing) else "--add"
        argv = ["semanage", "port", option, "--type", PORT_TYPE, "--proto", "tcp", str(port)]
        run(argv, timeout=_SECONDS, why=f"label port {port}")
    if not _rule_is_there(home):
        progress("labelling programs")
        argv = ["semanage", "fcontext", "--add", "--type", PROGRAM_TYPE, pattern(home)]
        run(argv, timeout=_SECONDS, why="label programs")
    run(["restorecon", "-R", *_labelled(home)], timeout=_SECONDS, why="restore labels")


def labelled(port: int, home: str) -> list[str]:
    """What `unlabel` would do, a sentence each."""
    if not is_on() or shutil.which("semanage") is None:
        return []
    actions = [f"take the label of programs in {home} back"] if _rule_is_there(home) else []
    return actions + ([f"take the label of port {port}/tcp back"] if port in _own_ports() else [])


def unlabel(port: int, home: str) -> None:
    """Take back what `label` added."""
    if _rule_is_there(home):
        run(["semanage", "fcontext", "--delete", pattern(home)], timeout=_SECONDS, why="take a label back")
    if port in _own_ports():
        run(["semanage", "port", "--delete", "--proto", "tcp", str(port)], timeout=_SECONDS, why="take a label back")


def pattern(home: str) -> str:
    """The rule's regular expression: everything in a ``bin`` of a release or a tool."""
    return f"{re.escape(home)}/(releases|tools|\\.pixi)/(.*/)?bin(/.*)?"


def ports(listing: str, label: str) -> set[int]:
    """The TCP ports that `semanage port --list --noheading` shows for a type, ranges included."""
    found: set[int] = set()
    for line in listing.splitlines():
        fields = line.split(maxsplit=2)
        if len(fields) == 3 and fields[0] == label and fields[1] == "tcp":
            for part in fields[2].split(","):
                first, _, last = part.strip().partition("-")
                found |= set(range(int(first), int(last or first) + 1))
    return found


def is_known(port: int, listing: str) -> bool:
    """Whether the policy has a label for this very port: ranges such as unreserved_port_t's are defaults."""
    types = {line.split()[0] for line in listing.splitlines() if line.split()}
    return any(port in ports(listing, name) for name in types if not name.endswith("reserved_port_t"))


def mislabelled(said: str) -> bool:
    """Whether `restorecon -n -v` would change something."""
    return any(line.startswith("Would relabel") for line in said.splitlines())


def _own_ports() -> set[int]:
    argv = ["semanage", "port", "--list", "--noheading", "--locallist"]
    return ports(run(argv, timeout=_SECONDS, why="ask for the labels of ports"), PORT_TYPE)


def _listing() -> str:
    return run(["semanage", "port", "--list", "--noheading"], timeout=_SECONDS, why="ask for the labels of ports")


def _rule_is_there(home: str) -> bool:
    argv = ["semanage", "fcontext", "--list", "--noheading", "--locallist"]
    rules = run(argv, timeout=_SECONDS, why="ask for the rules of labels")
    return any(line.split()[:1] == [pattern(home)] for line in rules.splitlines())


def _labelled(home: str) -> list[str]:
    """The directories that the rule is about, as far as they are there."""
    return [str(path) for path in (Path(home, name) for name in ("releases", "tools", ".pixi")) if path.is_dir()]


def _dry_run(home: str) -> str:
    paths = _labelled(home)
    return run(["restorecon", "-R", "-n", "-v", *paths], timeout=_SECONDS, why="look at labels") if paths else ""
