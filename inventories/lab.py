"""A lab of Fedora servers, reached over SSH; see docs/lab.md, and set names, addresses and files to your own.

Host keys must be known: `known_hosts` beside this file, or your own ~/.ssh/known_hosts. Settings that hold for a group
are in ``group_data/GROUP.py``; what is said of one host here wins over them.
"""

from pathlib import Path

_here = Path(__file__).resolve().parent

#: How all of them are reached. A jump host, and whatever else your SSH needs, belongs into the SSH configuration:
#: `ProxyJump` there is honoured for every host that it names.
_ssh = {
    "ssh_user": "admin",
    "ssh_known_hosts_file": str(_here / "known_hosts") if (_here / "known_hosts").exists() else None,
}

#: Servers that people work on.
lab = [
    ("lab1.example.org", _ssh),
    ("lab2.example.org", _ssh),
]

#: The one with much memory has more packages.
big = [
    ("big1.example.org", {**_ssh, "jupyter_profile": "full"}),
]
