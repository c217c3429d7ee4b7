"""What is said of a connection that failed: who, why, and what to do, whatever pyinfra's words are."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.advice import advice

DATA: dict[str, Any] = {"ssh_hostname": "10.0.0.1", "ssh_known_hosts_file": "/etc/hosts.known"}
UNKNOWN = "SSH error (StrictPolicy: No host key for {} found in known_hosts)"


@pytest.mark.parametrize(
    ("reason", "data", "said"),
    [
        (UNKNOWN.format("10.0.0.1"), {}, "10.0.0.1 is not in /etc/hosts.known"),
        (UNKNOWN.format("[10.0.0.1]:2222"), {"ssh_port": 2222}, "[10.0.0.1]:2222 is not in /etc/hosts.known"),
        (UNKNOWN.format("bastion"), {}, "the key of the jump host is unknown: bastion"),
        (
            "SSH host key error (Host key for 10.0.0.1 does not match.)",
            {},
            "ssh-keygen -R '10.0.0.1' -f /etc/hosts.known",
        ),
        ("Authentication error (username=ada)", {"ssh_user": "ada"}, "10.0.0.1 refuses ada"),
        ("Authentication error ()", {}, "refuses the user of your SSH configuration"),
        (
            "Authentication error (Authentication failed: transport shut down or saw EOF)",
            {},
            "no connection to 10.0.0.1",
        ),
        ("SSH error (Unparsable line Foo)", {}, "Look at your SSH configuration."),
        ("SSH error (Error reading SSH protocol banner)", {}, "or the ProxyCommand of your SSH configuration failed"),
        ("Could not connect ([Errno 113] No route to host)", {}, "Is it up, and does sshd listen there?"),
    ],
)
def test_every_reason_has_its_advice(reason: str, data: dict[str, Any], said: str) -> None:
    assert said in advice(reason, "lab1", DATA | data)


def test_without_an_address_the_name_is_one() -> None:
    assert advice("Could not resolve hostname", "lab1", {}).startswith("no connection to lab1: ")
