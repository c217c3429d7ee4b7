"""The machine itself, in system scope: packages of its distribution, and the service user."""

from __future__ import annotations

from collections.abc import Sequence

from pyinfra import host

from deploy.facts.hostscript import ask, tell
from deploy.operations import Commands, host_operation
from deploy.settings import Settings


@host_operation
def prepared(packages: Sequence[str], settings: Settings) -> Commands:
    """Have packages installed, in one transaction, and the service user there. One query tells what is missing."""
    spec = {"packages": list(packages), "user": settings.user, "home": settings.home}
    state = ask("machine", "look", spec, as_user=settings.as_root)
    plan = [f"install package {package}" for package in state["missing"]]
    if state["user_is_new"]:
        plan.append(f"add user {settings.user} with home {settings.home}")
    if plan:
        yield tell("machine", "prepare", spec, plan=plan, as_user=settings.as_root)
    else:
        host.noop(f"packages and user {settings.user} are there")
