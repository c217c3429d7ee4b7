"""What protects a machine, made to let the server through: firewalld and SELinux, in one question and one command."""

from __future__ import annotations

from jupyfleet_host import firewalld, selinux
from jupyfleet_host.common import Result, Spec


def look(spec: Spec) -> Result:
    """Say what `adjust` would do: ``{"actions": [sentence, …]}``.

    The spec has `port`, `zone` (or none, for the one that users come from), `home`, and `is_local`: a server on a
    loopback address needs no open port.
    """
    opening = [] if spec["is_local"] else firewalld.missing(spec["port"], spec["zone"])
    return {"actions": opening + selinux.missing(spec["port"], spec["home"])}


def adjust(spec: Spec) -> Result:
    """Open the port where a firewall runs, and label programs and port where SELinux is on: ``{"summary": text}``."""
    actions = look(spec)["actions"]
    if not spec["is_local"] and firewalld.missing(spec["port"], spec["zone"]):
        firewalld.open_port(spec["port"], spec["zone"])
    if selinux.missing(spec["port"], spec["home"]):
        selinux.label(spec["port"], spec["home"])
    return {"summary": "; ".join(actions)}


def look_back(spec: Spec) -> Result:
    """Say what `restore` would do: ``{"actions": [sentence, …]}``."""
    closing = firewalld.opened(spec["port"], spec["zone"])
    return {"actions": closing + selinux.labelled(spec["port"], spec["home"])}


def restore(spec: Spec) -> Result:
    """Take back what `adjust` did: ``{"summary": text}``."""
    actions = look_back(spec)["actions"]
    if firewalld.opened(spec["port"], spec["zone"]):
        firewalld.close_port(spec["port"], spec["zone"])
    if selinux.labelled(spec["port"], spec["home"]):
        selinux.unlabel(spec["port"], spec["home"])
    return {"summary": "; ".join(actions)}
