"""What to do about a connection that failed: a sentence, from what pyinfra says of it. It connects to nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def advice(reason: str, host: str, data: Mapping[str, Any]) -> str:
    """What pyinfra says of a connection that failed, as a sentence with what to do; `data` are the host's."""
    name, port = data.get("ssh_hostname") or host, int(data.get("ssh_port") or 22)
    entry = name if port == 22 else f"[{name}]:{port}"
    known = Path(data.get("ssh_known_hosts_file") or "~/.ssh/known_hosts").expanduser()
    if unknown := re.search(r"StrictPolicy: No host key for (\S+) found", reason):
        if unknown[1] != entry:
            return (
                f"the key of the jump host is unknown: {unknown[1]} is in none of the files that your SSH "
                "configuration names for it (UserKnownHostsFile). Connect to it once with ssh, and compare its "
                "fingerprint with its own."
            )
        return (
            f"the key of this host is unknown: {entry} is not in {known}. Connect once with ssh and compare the "
            "fingerprint with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub, on its console)."
        )
    if "Host key for" in reason:
        return (
            f"this host shows another key than the one in {known}. It was installed anew, or somebody is in between: "
            f"find out which. If the new key is right, forget the old one: ssh-keygen -R '{entry}' -f {known}"
        )
    if "Authentication error" in reason and "saw EOF" not in reason:
        user = data.get("ssh_user") or "the user of your SSH configuration"
        return f"{entry} refuses {user}: {reason}. Set ssh_user and ssh_key in the inventory, or load your SSH agent."
    if "protocol banner" in reason:
        # A ProxyCommand that fails is noticed by what it does not answer, or by its end, whichever comes first.
        return (
            f"no connection to {entry}: {reason}. What answers there is no sshd, or it is busy; or the ProxyCommand of "
            "your SSH configuration failed."
        )
    if "SSH configuration" in reason or "Unparsable line" in reason:
        return f"no connection to {entry}: {reason}. Look at your SSH configuration."
    return f"no connection to {entry}: {reason}. Is it up, and does sshd listen there?"
