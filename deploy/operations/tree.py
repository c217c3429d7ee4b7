"""The files of a host, compared in one command and put in place in one more."""

from __future__ import annotations

from pyinfra import host

from deploy.facts.hostscript import ask, tell
from deploy.operations import Commands, host_operation
from deploy.tree import Tree


@host_operation
def in_place(tree: Tree) -> Commands:
    """Bring every directory, file and secret of a tree into its wanted state; only what differs is sent."""
    changes = ask("tree", "compare", {"entries": tree.described()})["changes"]
    if changes:
        entries = tree.described({change["path"] for change in changes}, content=True)
        yield tell(
            "tree", "apply", {"entries": entries}, plan=[line for change in changes for line in tree.plan(change)]
        )
    else:
        host.noop(f"{len(tree)} entries are as wanted")
