"""Every spelling of a notebook's path has one canonical form; everything else is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_mcp.errors import NotebookNotFound, PathRefused
from jupyter_mcp.paths import canonical_path, check_regular_file

GOOD = [
    ("a.ipynb", "a.ipynb"),
    ("/a.ipynb", "a.ipynb"),
    ("./a.ipynb", "a.ipynb"),
    ("a.ipynb/", "a.ipynb"),
    ("x//y/./a.ipynb", "x/y/a.ipynb"),
    ("x/../a.ipynb", "a.ipynb"),
    ("x/y/../../a.ipynb", "a.ipynb"),
    ("häß 😀.ipynb", "häß 😀.ipynb"),
    ("a%2e%2e.ipynb", "a%2e%2e.ipynb"),
    ("..a.ipynb/../b.ipynb", "b.ipynb"),
    (" .ipynb", " .ipynb"),
    ("C:a.ipynb", "C:a.ipynb"),
]
BAD = [
    "",
    "/",
    ".",
    "..",
    "../a.ipynb",
    "/../a.ipynb",
    "x/../../a.ipynb",
    "a.ipynb\x00",
    "\x00",
    "x\\a.ipynb",
    "..\\a.ipynb",
    ".a.ipynb",
    ".ipynb",
    ".ipynb_checkpoints/a-checkpoint.ipynb",
    "x/.y/a.ipynb",
    "a.txt",
    "a.ipynb.txt",
    "a.IPYNB",
    "a",
    "x/",
    "\ud800.ipynb",
    "a" * 300 + ".ipynb",
    "a/" * 3000 + "a.ipynb",
]


@pytest.mark.parametrize(("given_path", "wanted"), GOOD)
def test_spellings(tmp_path: Path, given_path: str, wanted: str) -> None:
    assert canonical_path(given_path, tmp_path) == wanted
    assert canonical_path(given_path, None) == wanted


@pytest.mark.parametrize("path", BAD)
def test_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(PathRefused):
        canonical_path(path, tmp_path)
    with pytest.raises(PathRefused):
        canonical_path(path, None)


def test_absolute_path_inside_the_workspace(tmp_path: Path) -> None:
    assert canonical_path(f"{tmp_path}/x/a.ipynb", tmp_path) == "x/a.ipynb"


def test_symbolic_links(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "real").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.ipynb").write_text("{}")
    (root / "real" / "a.ipynb").write_text("{}")
    (root / "alias.ipynb").symlink_to("real/a.ipynb")
    (root / "folder").symlink_to("real")
    (root / "out").symlink_to(outside)
    (root / "out.ipynb").symlink_to(outside / "secret.ipynb")
    (root / "text.ipynb").symlink_to("real/a.txt")
    (root / "hidden.ipynb").symlink_to(".h.ipynb")

    assert canonical_path("alias.ipynb", root) == "real/a.ipynb"
    assert canonical_path("folder/a.ipynb", root) == "real/a.ipynb"
    assert canonical_path("folder/new.ipynb", root) == "real/new.ipynb"
    for path in ("out/secret.ipynb", "out.ipynb", "out/new.ipynb", "text.ipynb", "hidden.ipynb"):
        with pytest.raises(PathRefused):
            canonical_path(path, root)


def test_a_workspace_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert canonical_path("a.ipynb", tmp_path / "link") == "a.ipynb"


def test_a_neighbour_with_the_same_prefix_is_outside(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "rooter").mkdir()
    (tmp_path / "root" / "x").symlink_to("../rooter")
    with pytest.raises(PathRefused):
        canonical_path("x/a.ipynb", tmp_path / "root")


def test_only_regular_files(tmp_path: Path) -> None:
    (tmp_path / "folder.ipynb").mkdir()
    os.mkfifo(tmp_path / "fifo.ipynb")
    (tmp_path / "file.ipynb").write_text("{}")
    check_regular_file("file.ipynb", tmp_path)
    for path in ("folder.ipynb", "fifo.ipynb"):
        with pytest.raises(PathRefused):
            check_regular_file(path, tmp_path)
    for path in ("none.ipynb", "file.ipynb/x.ipynb"):
        with pytest.raises(NotebookNotFound):
            check_regular_file(path, tmp_path)


@given(st.text(alphabet="ab./\\\x00é.ipynb", max_size=40))
def test_whatever_is_accepted_is_canonical(path: str) -> None:
    try:
        found = canonical_path(path, None)
    except PathRefused:
        return
    names = found.split("/")
    assert found.endswith(".ipynb")
    assert all(name and not name.startswith(".") for name in names)
    assert canonical_path(found, None) == found
