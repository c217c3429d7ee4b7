"""The files of a host: what is wanted, what differs, and how it gets into place, also when that is interrupted."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.paths import FILES
from deploy.tree import Directory, File, Secret, Tree
from jupyfleet_host import tree as host_tree
from jupyfleet_host.common import HostError


def compare(tree: Tree) -> list[dict[str, str]]:
    changes: list[dict[str, str]] = host_tree.compare({"entries": tree.described()})["changes"]
    return changes


def whys(tree: Tree) -> dict[str, str]:
    return {Path(change["path"]).name: change["why"] for change in compare(tree)}


def apply(tree: Tree) -> list[str]:
    """As `deploy.operations.tree` does it: only what differs is sent."""
    only = {change["path"] for change in compare(tree)}
    changed: list[str] = host_tree.apply({"entries": tree.described(only, content=True)})["changed"]
    return changed


def tree_of(*entries: Directory | File | Secret) -> Tree:
    tree = Tree()
    tree.add(*entries)
    return tree


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def at(path: Path) -> PurePosixPath:
    return PurePosixPath(path)


def snapshot(top: Path) -> dict[str, tuple[int, int, int]]:
    return {
        str(path): (path.lstat().st_ino, path.lstat().st_mtime_ns, path.lstat().st_ctime_ns) for path in top.rglob("*")
    }


# --- the wanted tree ------------------------------------------------------------------------------------------------


def test_two_components_cannot_want_the_same_path() -> None:
    tree = tree_of(File(PurePosixPath("/a/b"), b"mine"))
    with pytest.raises(ValueError, match="two components lay down /a/b"):
        tree.add(Secret(PurePosixPath("/a/b")))


def test_a_directory_comes_before_what_is_in_it_in_whatever_order_they_were_added() -> None:
    paths = [PurePosixPath(path) for path in ("/a", "/a/b", "/a/b/c", "/a-b", "/a.b/c")]
    shuffled = random.Random(7).sample(paths, len(paths))
    tree = tree_of(*(Directory(path) for path in shuffled))
    order = [entry.path for entry in tree]
    for path in paths:
        assert all(order.index(parent) < order.index(path) for parent in path.parents if parent in order)
    assert len(tree) == 5


def test_a_tree_describes_itself_without_content_unless_asked() -> None:
    tree = tree_of(Directory(PurePosixPath("/a"), 0o700), File(PurePosixPath("/a/f"), b"text", 0o600))
    assert all("content" not in entry for entry in tree.described())
    [directory, file] = tree.described(content=True)
    assert directory == {"path": "/a", "mode": "0700", "system": False, "kind": "directory", "keep": False}
    assert base64.b64decode(file["content"]) == b"text"
    assert [entry["path"] for entry in tree.described({"/a/f"})] == ["/a/f"]


def test_a_description_survives_json() -> None:
    tree = tree_of(File(PurePosixPath("/ü/f"), bytes(range(256))), Secret(PurePosixPath("/s")))
    described = tree.described(content=True)
    assert json.loads(json.dumps(described)) == described


def test_the_digest_of_a_directory_changes_with_its_files_and_with_nothing_else() -> None:
    below = PurePosixPath("/etc/x")
    base = [File(below / "a", b"1"), File(below / "d/b", b"2")]
    digest = tree_of(*base).digest(below)
    elsewhere = File(PurePosixPath("/etc/xy"), b"3")
    assert tree_of(*reversed(base), elsewhere, Directory(below), Secret(below / "s")).digest(below) == digest
    others = [
        [File(below / "a", b"one"), base[1]],
        [File(below / "A", b"1"), base[1]],
        [File(below / "a", b"1", 0o600), base[1]],
        base[:1],
        [*base, File(below / "c", b"")],
    ]
    assert len({digest, *(tree_of(*other).digest(below) for other in others)}) == 6


# --- putting it in place --------------------------------------------------------------------------------------------


def test_what_was_put_in_place_differs_no_more(tmp_path: Path) -> None:
    tree = tree_of(
        Directory(at(tmp_path / "new/deep"), 0o700),
        File(at(tmp_path / "new/deep/file"), b"\0text\n", 0o640),
        File(at(tmp_path / "new/empty"), b""),
        Secret(at(tmp_path / "new/deep/token")),
    )
    assert whys(tree) == {"deep": "is new", "file": "is new", "empty": "is new", "token": "is new"}
    assert len(apply(tree)) == 4
    assert compare(tree) == []
    assert (tmp_path / "new/deep/file").read_bytes() == b"\0text\n"
    assert mode_of(tmp_path / "new/deep") == 0o700
    assert mode_of(tmp_path / "new/deep/file") == 0o640
    assert mode_of(tmp_path / "new/empty") == 0o644


def test_comparing_changes_nothing(tmp_path: Path) -> None:
    tree = tree_of(Directory(at(tmp_path / "d")), File(at(tmp_path / "d/f"), b"x"), Secret(at(tmp_path / "s")))
    compare(tree)
    assert list(tmp_path.iterdir()) == []
    apply(tree)
    before = snapshot(tmp_path)
    compare(tree)
    assert snapshot(tmp_path) == before


def test_only_what_differs_is_touched(tmp_path: Path) -> None:
    files = [File(at(tmp_path / f"d/{name}"), name.encode()) for name in "abc"]
    tree = tree_of(Directory(at(tmp_path / "d")), *files, Secret(at(tmp_path / "d/token")))
    apply(tree)
    before = snapshot(tmp_path)
    (tmp_path / "d/b").write_text("changed by hand")
    assert whys(tree) == {"b": "has other content"}
    assert apply(tree) == [str(tmp_path / "d/b")]
    after = snapshot(tmp_path)
    touched = {path for path in after if after[path] != before[path]}
    assert touched == {str(tmp_path / "d"), str(tmp_path / "d/b")}
    assert (tmp_path / "d/b").read_text() == "b"


def test_applying_all_again_touches_nothing(tmp_path: Path) -> None:
    tree = tree_of(Directory(at(tmp_path / "d"), 0o750), File(at(tmp_path / "d/f"), b"x"), Secret(at(tmp_path / "d/s")))
    apply(tree)
    before = snapshot(tmp_path)
    again = host_tree.apply({"entries": tree.described(content=True)})
    assert again["changed"] == []
    assert again["summary"] == "0 files and directories"
    assert snapshot(tmp_path) == before


def test_the_summary_counts(tmp_path: Path) -> None:
    tree = tree_of(File(at(tmp_path / "f"), b""))
    assert host_tree.apply({"entries": tree.described(content=True)})["summary"] == "1 file or directory"


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o644, 0o755, 0o777, 0o000])
def test_a_file_gets_its_mode_whatever_the_umask_is(tmp_path: Path, mode: int) -> None:
    tree = tree_of(Directory(at(tmp_path / "d"), mode | 0o700), File(at(tmp_path / "d/f"), b"x", mode))
    before = os.umask(0o077)
    try:
        apply(tree)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "d/f") == mode
    assert mode_of(tmp_path / "d") == mode | 0o700


def test_a_mode_that_was_changed_is_corrected_and_said(tmp_path: Path) -> None:
    tree = tree_of(Directory(at(tmp_path / "d"), 0o700), File(at(tmp_path / "d/f"), b"x", 0o600))
    apply(tree)
    (tmp_path / "d").chmod(0o2775)
    (tmp_path / "d/f").chmod(0o4644)
    assert whys(tree) == {"d": "has mode 2775, not 0700", "f": "has mode 4644, not 0600"}
    apply(tree)
    assert (mode_of(tmp_path / "d"), mode_of(tmp_path / "d/f")) == (0o700, 0o600)


def test_a_directory_to_keep_keeps_its_mode_and_what_is_in_it(tmp_path: Path) -> None:
    tree = tree_of(Directory(at(tmp_path / "work"), 0o755, keep=True))
    apply(tree)
    assert mode_of(tmp_path / "work") == 0o755
    (tmp_path / "work").chmod(0o2770)
    (tmp_path / "work/mine.ipynb").write_text("{}")
    assert compare(tree) == []
    assert mode_of(tmp_path / "work") == 0o2770


def test_a_workspace_may_be_a_link_to_another_disk(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "work").symlink_to(tmp_path / "disk")
    tree = tree_of(Directory(at(tmp_path / "work"), keep=True), File(at(tmp_path / "work/hello"), b"hi", seed=True))
    apply(tree)
    assert (tmp_path / "work").is_symlink()
    assert (tmp_path / "disk/hello").read_bytes() == b"hi"
    assert compare(tree) == []


@pytest.mark.parametrize("kind", ["symlink", "dangling symlink", "fifo", "socket"])
def test_what_is_no_regular_file_is_replaced_and_never_written_through(tmp_path: Path, kind: str) -> None:
    victim, place = tmp_path / "victim", tmp_path / "f"
    if kind == "symlink":
        victim.write_text("precious")
    if kind.endswith("symlink"):
        place.symlink_to(victim)
    elif kind == "fifo":
        os.mkfifo(place)
    else:
        with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{short}/s")
            Path(f"{short}/s").rename(place)
    tree = tree_of(File(at(place), b"new"))
    assert whys(tree) == {"f": "is no regular file"}
    apply(tree)
    assert not place.is_symlink()
    assert place.read_bytes() == b"new"
    assert not victim.exists() or victim.read_text() == "precious"


# --- what is in the way ---------------------------------------------------------------------------------------------


def refusal(tree: Tree) -> str:
    """The sentence with which comparing and applying refuse a tree, both without writing anything."""
    with pytest.raises(HostError) as compared:
        compare(tree)
    with pytest.raises(HostError) as applied:
        host_tree.apply({"entries": tree.described(content=True)})
    assert str(compared.value) == str(applied.value)
    return str(compared.value)


def test_a_file_where_a_directory_must_be_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "work").write_text("precious")
    sentence = refusal(tree_of(Directory(at(tmp_path / "work"), keep=True)))
    assert sentence.startswith(f"{tmp_path}/work is in the way")
    assert (tmp_path / "work").read_text() == "precious"


def test_a_directory_where_a_file_must_be_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f/mine").touch()
    for entry in (File(at(tmp_path / "f"), b""), Secret(at(tmp_path / "f"))):
        assert refusal(tree_of(entry)).startswith(f"{tmp_path}/f is in the way: a file is needed there")
    assert (tmp_path / "f/mine").exists()


def test_a_file_where_a_parent_must_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "srv").write_text("precious")
    for entry in (
        Directory(at(tmp_path / "srv/a/b")),
        File(at(tmp_path / "srv/a/f"), b""),
        Secret(at(tmp_path / "srv/s")),
    ):
        assert f"{tmp_path}/srv is in the way, which is no directory" in refusal(tree_of(entry))


def test_a_link_to_a_disk_that_is_not_there_is_no_new_directory(tmp_path: Path) -> None:
    (tmp_path / "work").symlink_to("/mnt/not-mounted-here")
    sentence = refusal(tree_of(Directory(at(tmp_path / "work"), keep=True)))
    assert sentence == f"{tmp_path}/work is a link to /mnt/not-mounted-here, which is not there. Mount or make it."


@pytest.mark.parametrize("damage", ["other bytes", "cut off", "no base64", "not ASCII"])
def test_content_that_was_damaged_on_the_way_is_refused_and_nothing_is_written(tmp_path: Path, damage: str) -> None:
    tree = tree_of(
        Directory(at(tmp_path / "d")),
        File(at(tmp_path / "d/a"), b"good"),
        File(at(tmp_path / "d/b"), b"damaged"),
        Secret(at(tmp_path / "d/s")),
    )
    entries = tree.described(content=True)
    [damaged] = [entry for entry in entries if entry["path"].endswith("/b")]
    damaged["content"] = {
        "other bytes": base64.b64encode(b"DAMAGED").decode(),
        "cut off": damaged["content"][:-4],
        "no base64": "!" + damaged["content"],
        "not ASCII": "ü" + damaged["content"],
    }[damage]
    with pytest.raises(HostError, match=r"/d/b was damaged on the way; nothing was written\. Run it again"):
        host_tree.apply({"entries": entries})
    assert list(tmp_path.iterdir()) == []


# --- seeds ----------------------------------------------------------------------------------------------------------


def seeded(top: Path, *names: str) -> Tree:
    return tree_of(
        Directory(at(top / "work"), keep=True),
        *(File(at(top / "work" / name), name.encode(), seed=True) for name in names),
    )


@pytest.mark.parametrize("is_there", [False, True])
def test_seeds_are_laid_down_in_an_absent_or_empty_directory_all_of_them(tmp_path: Path, is_there: bool) -> None:
    if is_there:
        (tmp_path / "work").mkdir()
    tree = seeded(tmp_path, "a.ipynb", "b.ipynb", "c.ipynb")
    apply(tree)
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["a.ipynb", "b.ipynb", "c.ipynb"]
    assert compare(tree) == []


@pytest.mark.parametrize("name", ["mine.ipynb", ".hidden", "a.ipynb"])
def test_a_directory_that_holds_anything_gets_no_seeds(tmp_path: Path, name: str) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / name).write_text("mine")
    tree = seeded(tmp_path, "a.ipynb", "b.ipynb")
    assert compare(tree) == []
    assert [path.read_text() for path in (tmp_path / "work").iterdir()] == ["mine"]


def test_a_seed_that_was_changed_or_removed_is_not_brought_back(tmp_path: Path) -> None:
    tree = seeded(tmp_path, "a.ipynb", "b.ipynb")
    apply(tree)
    (tmp_path / "work/a.ipynb").write_text("my own now")
    (tmp_path / "work/b.ipynb").unlink()
    assert compare(tree) == []
    host_tree.apply({"entries": tree.described({str(tmp_path / "work")}, content=True)})
    assert [path.read_text() for path in (tmp_path / "work").iterdir()] == ["my own now"]


def test_a_file_that_appears_after_comparing_is_not_overwritten_by_a_seed(tmp_path: Path) -> None:
    tree = seeded(tmp_path, "a.ipynb", "b.ipynb")
    only = {change["path"] for change in compare(tree)}
    (tmp_path / "work").mkdir()
    (tmp_path / "work/a.ipynb").write_text("just saved")
    host_tree.apply({"entries": tree.described(only, content=True)})
    assert (tmp_path / "work/a.ipynb").read_text() == "just saved"


def test_a_seed_whose_writing_was_interrupted_is_laid_down_the_next_time(tmp_path: Path) -> None:
    tree = seeded(tmp_path, "a.ipynb")
    (tmp_path / "work").mkdir()
    (tmp_path / "work/.a.ipynb.jupyfleet-new").write_text("half of")
    apply(tree)
    assert [(path.name, path.read_text()) for path in (tmp_path / "work").iterdir()] == [("a.ipynb", "a.ipynb")]


# --- secrets --------------------------------------------------------------------------------------------------------


def secret_at(top: Path) -> tuple[Tree, Path]:
    return tree_of(Secret(at(top / "token"))), top / "token"


def test_a_secret_is_long_random_hexadecimal_and_for_its_owner_alone(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        tree, token = secret_at(tmp_path / name)
        apply(tree)
        text = token.read_text()
        assert len(bytes.fromhex(text)) >= 32
        assert text == text.strip()
        assert mode_of(token) == 0o600
        made.append(text)
    assert made[0] != made[1]


@pytest.mark.parametrize("mode", [0o644, 0o400, 0o666, 0o700])
def test_a_secret_is_kept_when_its_mode_is_corrected(tmp_path: Path, mode: int) -> None:
    tree, token = secret_at(tmp_path)
    token.write_text("chosen-by-a-person")
    token.chmod(mode)
    assert whys(tree) == {"token": f"has mode {mode:04o}, not 0600"}
    apply(tree)
    assert token.read_text() == "chosen-by-a-person"
    assert mode_of(token) == 0o600


@pytest.mark.parametrize("text", ["s3cret\n", "s3cret\r\n", " s3cret", "\ts3cret \n\n"])
def test_a_secret_is_kept_when_white_space_around_it_is_stripped(tmp_path: Path, text: str) -> None:
    tree, token = secret_at(tmp_path)
    token.write_bytes(text.encode())
    token.chmod(0o600)
    assert whys(tree) == {"token": "has white space around it"}
    apply(tree)
    assert token.read_bytes() == b"s3cret"
    assert compare(tree) == []


@pytest.mark.parametrize("text", ["", "\n", " \t\r\n"])
def test_an_empty_secret_is_replaced(tmp_path: Path, text: str) -> None:
    tree, token = secret_at(tmp_path)
    token.write_text(text)
    token.chmod(0o600)
    assert whys(tree) == {"token": "is empty"}
    apply(tree)
    assert len(token.read_text()) == 64


def test_a_link_in_a_secret_s_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    tree, token = secret_at(tmp_path)
    known = tmp_path / "known-to-others"
    known.write_text("known")
    known.chmod(0o600)
    token.symlink_to(known)
    assert whys(tree) == {"token": "is no regular file"}
    apply(tree)
    assert not token.is_symlink()
    assert token.read_text() != "known"
    assert known.read_text() == "known"


def test_a_link_beside_a_secret_does_not_catch_it(tmp_path: Path) -> None:
    tree, token = secret_at(tmp_path)
    caught = tmp_path / "caught"
    (tmp_path / ".token.jupyfleet-new").symlink_to(caught)
    apply(tree)
    assert not caught.exists()
    assert len(token.read_text()) == 64


def test_a_secret_never_shows_in_a_result_or_an_output(tmp_path: Path) -> None:
    entries = tree_of(Secret(at(tmp_path / "token")), Secret(at(tmp_path / "kept"))).described(content=True)
    (tmp_path / "kept").write_text("kept-s3cret\n")
    said = ""
    for function in ("compare", "apply", "compare"):
        done = run_host_script(function, entries)
        assert done.returncode == 0, done.stderr
        said += done.stdout + done.stderr
    assert (tmp_path / "token").read_text() not in said
    assert "kept-s3cret" not in said
    assert (tmp_path / "token").read_text() not in json.dumps(entries)


# --- interrupted ----------------------------------------------------------------------------------------------------

_SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[2])
from jupyfleet_host import common, tree
sys.exit(common.run_script(getattr(tree, sys.argv[1]), json.load(sys.stdin)))
"""


def start_host_script(function: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-S", "-c", _SCRIPT, function, str(FILES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_host_script(function: str, entries: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    with start_host_script(function) as process:
        out, err = process.communicate(json.dumps({"entries": entries}))
    return subprocess.CompletedProcess([], process.returncode, out, err)


def test_a_script_says_a_refusal_in_words_and_fails(tmp_path: Path) -> None:
    (tmp_path / "work").touch()
    done = run_host_script("apply", tree_of(Directory(at(tmp_path / "work"))).described(content=True))
    assert done.returncode == 1
    assert "is in the way" in json.loads(done.stdout)["failure"]
    assert "Traceback" not in done.stderr


def test_killed_at_any_moment_every_file_is_old_or_new_and_the_next_run_finishes(tmp_path: Path) -> None:
    """Kill -9 at moments spread over the whole run, until enough of them fell into the middle of the work."""
    chance = random.Random(20)
    names = [f"d{number % 5}/f{number}" for number in range(60)]

    def generation(letter: str) -> dict[str, bytes]:
        return {name: f"{letter}{name}".encode() * 4000 for name in names}

    def as_tree(contents: dict[str, bytes]) -> Tree:
        return tree_of(
            *(Directory(at(tmp_path / f"d{number}")) for number in range(5)),
            *(File(at(tmp_path / name), content) for name, content in contents.items()),
            Secret(at(tmp_path / "d0/token")),
        )

    old = generation("0")
    apply(as_tree(old))
    token = (tmp_path / "d0/token").read_text()
    began, interrupted = time.monotonic(), 0
    run_host_script("apply", as_tree(old).described(content=True))
    long = time.monotonic() - began
    for round_ in range(1, 200):
        new = generation(chr(ord("0") + round_))
        tree = as_tree(new)
        with start_host_script("apply") as process:
            assert process.stdin
            process.stdin.write(json.dumps({"entries": tree.described(content=True)}))
            process.stdin.close()
            time.sleep(chance.uniform(0, 2 * long))
            process.send_signal(signal.SIGKILL)
        found = {name: (tmp_path / name).read_bytes() for name in names}
        for name, content in found.items():
            assert content in (old[name], new[name]), name
        assert (tmp_path / "d0/token").read_text() == token
        interrupted += found not in (old, new)
        apply(tree)
        assert compare(tree) == []
        assert {path.name for path in tmp_path.rglob("*.jupyfleet-new")} == set()
        old = new
        if round_ >= 20 and interrupted >= 8:
            break
    assert interrupted >= 8, "the kills did not fall into the work"


# --- any tree -------------------------------------------------------------------------------------------------------

_NAMES = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=12
).filter(lambda name: name not in (".", ".."))
_MODES = st.integers(0, 0o777)


@st.composite
def trees(draw: st.DrawFn) -> list[Directory | File | Secret]:
    """A tree below /, in which no file is where a directory must be."""
    directories = [PurePosixPath("/")]
    entries: dict[PurePosixPath, Directory | File | Secret] = {}
    for _ in range(draw(st.integers(1, 10))):
        path = draw(st.sampled_from(directories)) / draw(_NAMES)
        if path in entries:
            continue
        kind = draw(st.sampled_from(["directory", "file", "secret", "seed"]))
        if kind == "directory":
            entries[path] = Directory(path, draw(_MODES) | 0o700, keep=draw(st.booleans()))
            directories.append(path)
        elif kind == "secret":
            entries[path] = Secret(path, draw(st.sampled_from([0o600, 0o400])))
        else:
            entries[path] = File(path, draw(st.binary(max_size=40)), draw(_MODES) | 0o400, seed=kind == "seed")
    return list(entries.values())


def below(top: Path, entry: Directory | File | Secret) -> Directory | File | Secret:
    path = at(top) / entry.path.relative_to("/")
    if isinstance(entry, File):
        return File(path, entry.content, entry.mode, entry.seed)
    if isinstance(entry, Directory):
        return Directory(path, entry.mode, entry.keep)
    return Secret(path, entry.mode)


@settings(max_examples=120, deadline=None)
@given(trees())
def test_any_tree_is_in_place_after_one_run_and_the_second_changes_nothing(
    entries: list[Directory | File | Secret],
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch) / "top"
        tree = tree_of(*(below(top, entry) for entry in entries))
        apply(tree)
        assert compare(tree) == []
        before = snapshot(top)
        assert host_tree.apply({"entries": tree.described(content=True)})["changed"] == []
        assert snapshot(top) == before
        for entry in tree:
            if isinstance(entry, File) and not entry.seed:
                assert Path(entry.path).read_bytes() == entry.content
        assert not list(top.rglob("*.jupyfleet-new"))
