"""arm64 boxes on premises, without internet; see docs/arm64.md, and set names, addresses and files to your own.

Boxes that reach an internal mirror are in one group, boxes that reach nothing in another; what each takes its packages
from is in ``group_data/GROUP.py``. All are deployed to from a machine of any architecture.
"""

from pathlib import Path

_here = Path(__file__).resolve().parent

_ssh = {
    "ssh_user": "admin",
    # Written down from the boxes' own consoles, before they were carried to their places.
    "ssh_known_hosts_file": str(_here / "known_hosts") if (_here / "known_hosts").exists() else None,
}

#: Boxes with a way to the site's own mirror.
mirrored = [
    ("box1.example.org", _ssh),
    ("box2.example.org", _ssh),
]

#: Boxes whose packages come in one file from the machine that deploys.
offline = [
    ("box3.example.org", _ssh),
]
