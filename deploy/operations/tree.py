"""The files of a host, compared in one command and put in place in one more."""

from __future__ import annotations

from pyinfra import host

from deploy.facts.hostscript import ask, tell
from deploy.operations import Commands, host_operation
from deploy.settings import Settings
from deploy.tree import Tree


@host_operation
def in_place(tree: Tree, settings: Settings) -> Commands:
    """Bring every directory, file and secret of a tree into its wanted state; only what differs is sent."""
    owner = {"owner": settings.user}
    changes = ask("tree", "compare", {"entries": tree.described()} | owner, as_user=settings.as_root)["changes"]
    if changes:
        entries = tree.described({change["path"] for change in changes}, content=True)
        plan = [line for change in changes for line in tree.plan(change)]
        yield tell("tree", "apply", {"entries": entries} | owner, plan=plan, as_user=settings.as_root)
    else:
        host.noop(f"{len(tree)} entries are as wanted")
