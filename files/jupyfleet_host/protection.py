"""What protects a machine, made to let the server through: firewalld and SELinux, in one question and one command."""

from __future__ import annotations

from jupyfleet_host import firewalld, selinux
from jupyfleet_host.common import Result, Spec


def look(spec: Spec) -> Result:
    """Say what `adjust` would do: ``{"actions": [sentence, …]}``.

    The spec has `port`, `zone` (or none, for the one that users come from), `home`, and `is_local`: a server on a
    loopback address needs no open port.
    """
    return {"actions": _opening(spec) + selinux.missing(spec["port"], spec["home"])}


def adjust(spec: Spec) -> Result:
    """Open the port where a firewall runs, and label programs and port where SELinux is on: ``{"summary": text}``."""
    opening, labelling = _opening(spec), selinux.missing(spec["port"], spec["home"])
    if opening:
        firewalld.open_port(spec["port"], spec["zone"])
    if labelling:
        selinux.label(spec["port"], spec["home"])
    return {"summary": "; ".join(opening + labelling)}


def look_back(spec: Spec) -> Result:
    """Say what `restore` would do: ``{"actions": [sentence, …]}``."""
    closing = firewalld.opened(spec["port"], spec["zone"])
    return {"actions": closing + selinux.labelled(spec["port"], spec["home"])}


def restore(spec: Spec) -> Result:
    """Take back what `adjust` did: ``{"summary": text}``."""
    closing, labels = firewalld.opened(spec["port"], spec["zone"]), selinux.labelled(spec["port"], spec["home"])
    if closing:
        firewalld.close_port(spec["port"], spec["zone"])
    if labels:
        selinux.unlabel(spec["port"], spec["home"])
    return {"summary": "; ".join(closing + labels)}


def _opening(spec: Spec) -> list[str]:
    return [] if spec["is_local"] else firewalld.missing(spec["port"], spec["zone"])
