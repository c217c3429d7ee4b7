"""What a plan says, over random settings and random damage: something before every change, nothing after it.

The files are really laid down and compared by the functions that hosts run; only the way there is left out, which
tests/fleet/test_plan.py goes.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from deploy.components import ORDER
from deploy.components.service import Service
from deploy.facts.machine import Machine
from deploy.settings import Settings, read_settings
from deploy.tree import Directory, Entry, File, Tree
from jupyfleet_host import tree as host_tree

#: Settings of a site with values that it may have; with each of them a host has to be another one.
VALUES: dict[str, list[Any]] = {
    "jupyter_port": [8888, 8899, 20_001],
    "jupyter_bind": ["127.0.0.1", "::1", "127.0.0.2"],
    "jupyter_base_url": ["/", "/lab1/", "/a/b~c/"],
    "jupyter_auth": ["token", "none"],
    "jupyter_allowed_hosts": [[], ["lab1.example.org"], ["*.lab.example.org", "lab2.example.org"]],
    "jupyter_tls": ["none", "self-signed"],
    "jupyter_mcp_room_idle_timeout": [1, 600, 86_400],
    "jupyter_mcp_publish": [False, True],
    "jupyter_profile": ["core", "full"],
    "jupyter_extra_packages": [[], ["black==25.1.0"], ["polars"]],
    "jupyter_python": ["python3", "python3.12"],
}
SITES = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in VALUES.items()})


def wanted(home: Path, site: dict[str, Any]) -> tuple[Settings, Tree, dict[str, str]]:
    """The settings and files of a host, and the marks of what runs there."""
    settings, tree, marks = read_settings("lab1", {"jupyter_home": str(home), **site}), Tree(), {}
    for component in [component(settings, Machine()) for component in ORDER]:
        component.configure(tree)
        if isinstance(component, Service):
            marks = component.proof()["service"]["marks"]
    return settings, tree, marks


@contextmanager
def temporary_home() -> Iterator[Path]:
    # The path of a socket in it has to be short.
    with tempfile.TemporaryDirectory(prefix="jf-", dir="/tmp") as directory:
        yield Path(directory) / "lab"


def apply(tree: Tree) -> None:
    host_tree.apply({"entries": tree.described(content=True)})


def plan(tree: Tree) -> list[str]:
    """The lines that a plan shows of a host's files."""
    changes = host_tree.compare({"entries": tree.described()})["changes"]
    return [line for change in changes for line in tree.plan(change)]


@given(site=SITES)
@hypothesis_settings(max_examples=25, deadline=None)
def test_a_bare_host_has_a_plan_and_a_deployed_one_has_none(site: dict[str, Any]) -> None:
    with temporary_home() as home:
        _, tree, _ = wanted(home, site)
        assert len(plan(tree)) >= len(tree)
        apply(tree)
        assert plan(tree) == []


@given(first=SITES, second=SITES)
@hypothesis_settings(max_examples=40, deadline=None)
def test_other_settings_have_a_plan_and_once_applied_none(first: dict[str, Any], second: dict[str, Any]) -> None:
    with temporary_home() as home:
        before, tree, marks = wanted(home, first)
        after, other, other_marks = wanted(home, second)
        assume(before != after)
        apply(tree)
        # Where no file is another one, what runs is: its marks are what a plan of the service looks at.
        assert plan(other) or marks != other_marks, (first, second)
        apply(other)
        assert plan(other) == []


def remove(entry: Entry, path: Path) -> None:
    path.unlink() if not path.is_dir() else shutil.rmtree(path)


def change_mode(entry: Entry, path: Path) -> None:
    path.chmod(0o777 if entry.mode != 0o777 else 0o700)


def append(entry: Entry, path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\n# edited\n")


def empty(entry: Entry, path: Path) -> None:
    path.write_bytes(b"")


def link(entry: Entry, path: Path) -> None:
    moved = path.rename(path.with_name(f"{path.name}.moved"))
    path.symlink_to(moved)


def damages(entry: Entry) -> list[Callable[[Entry, Path], None]]:
    """What can happen to an entry that a deploy has to mend."""
    if isinstance(entry, File) and entry.seed:
        return []  # Laid down once, and from then on the users'.
    if isinstance(entry, Directory):
        return [remove] if entry.keep else [remove, change_mode]
    return [remove, change_mode, append, empty, link]


@given(site=SITES, data=st.data())
@hypothesis_settings(max_examples=50, deadline=None)
def test_damage_has_a_plan_and_once_mended_none(site: dict[str, Any], data: st.DataObject) -> None:
    with temporary_home() as home:
        _, tree, _ = wanted(home, site)
        apply(tree)
        entry = data.draw(st.sampled_from([entry for entry in tree if damages(entry)]), label="entry")
        damage = data.draw(st.sampled_from(damages(entry)), label="damage")
        damage(entry, Path(entry.path))
        said = plan(tree)
        assert any(str(PurePosixPath(entry.path)) in line for line in said), said
        apply(tree)
        assert plan(tree) == []
