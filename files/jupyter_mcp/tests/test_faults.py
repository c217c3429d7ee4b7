"""What goes wrong with files: read-only, gone, moved, full, changed by others. Said, and nothing lost."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from conftest import notebook, write_notebook
from live import LiveServer, ToolFailed, wait_until


def test_a_read_only_file(live: LiveServer) -> None:
    path = write_notebook(live.workspace / "ro.ipynb", "one")
    live.call("cell_update", path="ro.ipynb", index=0, source="two")
    path.chmod(0o444)
    for tool, more in (
        ("cell_update", {"index": 0, "source": "three"}),
        ("cell_insert", {"index": 1, "source": "new"}),
    ):
        with pytest.raises(ToolFailed, match=r"NOT saved: the file is read-only.*do not repeat"):
            live.call(tool, path="ro.ipynb", **more)
    assert live.sources("ro.ipynb") == ["two"]
    live_sources = [cell["source"] for cell in live.call("notebook_get", path="ro.ipynb")["cells"]]
    assert live_sources == ["three", "new"], "the edits are live"
    path.chmod(0o644)
    # Saved as soon as that is possible, without anybody asking.
    wait_until(lambda: live.sources("ro.ipynb") == ["three", "new"])


def test_an_execution_whose_outputs_cannot_be_saved(live: LiveServer) -> None:
    path = write_notebook(live.workspace / "roexec.ipynb", "print('ran')")
    live.call("cell_get", path="roexec.ipynb", index=0)
    path.chmod(0o444)
    answer = live.result("cell_execute", path="roexec.ipynb", index=0)
    path.chmod(0o644)
    assert answer["isError"] is True
    assert "not on disk: the file is read-only" in answer["content"][0]["text"]
    assert "ran" in answer["content"][0]["text"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", place], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"needs a small file system, and mounting one is not allowed: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_notebook_that_is_a_mount_of_its_own(live: LiveServer, tmp_path: Path) -> None:
    """As one file is passed into a container: it cannot be replaced, only written."""
    path = write_notebook(live.workspace / "mounted.ipynb", "one")
    elsewhere = write_notebook(tmp_path / "elsewhere.ipynb", "two")
    mounted = subprocess.run(["mount", "--bind", elsewhere, path], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"needs a mounted file, and mounting one is not allowed: {mounted.stderr.strip()}")
    try:
        live.call("cell_update", path="mounted.ipynb", index=0, source="three")
        assert "three" in elsewhere.read_text()
    finally:
        subprocess.run(["umount", "-l", path], check=True)
    assert [name.name for name in live.workspace.glob(".*mounted*")] == []


def test_a_full_disk(make_live: Callable[..., LiveServer], small_disk: Path) -> None:
    live = make_live(workspace=small_disk)
    live.call("notebook_create", path="a.ipynb")
    live.call("cell_insert", path="a.ipynb", index=0, source="small")
    time.sleep(1.5)
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 200_000)
    with pytest.raises(ToolFailed, match="NOT saved: the disk is full"):
        live.call("cell_insert", path="a.ipynb", index=1, source="y" * 120_000)
    assert live.sources("a.ipynb") == ["small"], "the old file is whole"
    assert len(live.call("notebook_get", path="a.ipynb")["cells"]) == 2
    with pytest.raises(ToolFailed, match="not created: the disk is full"):
        filler2 = small_disk / "filler2"
        try:
            with filler2.open("wb") as file:
                while True:
                    file.write(b"x" * 4096)
                    file.flush()
        except OSError:
            pass
        live.call("notebook_create", path="b.ipynb")
    assert not (small_disk / "b.ipynb").exists()
    filler.unlink()
    filler2.unlink()
    wait_until(lambda: len(live.sources("a.ipynb")) == 2)
    live.stop()


def test_a_deleted_file(live: LiveServer) -> None:
    path = write_notebook(live.workspace / "del.ipynb", "one")
    live.call("cell_update", path="del.ipynb", index=0, source="two")
    path.unlink()
    for tool, more in (("cell_get", {"index": 0}), ("cell_update", {"index": 0, "source": "x"})):
        with pytest.raises(ToolFailed, match="no notebook 'del.ipynb'"):
            live.call(tool, path="del.ipynb", **more)
    time.sleep(2.5)
    assert not path.exists(), "nothing brings it back"
    write_notebook(path, "another")
    assert live.call("cell_get", path="del.ipynb", index=0)["source"] == "another"


def test_deleted_through_jupyter(live: LiveServer) -> None:
    path = write_notebook(live.workspace / "jdel.ipynb", "one")
    live.call("cell_update", path="jdel.ipynb", index=0, source="two")
    httpx.delete(f"{live.url}api/contents/jdel.ipynb", headers=live.headers).raise_for_status()
    with pytest.raises(ToolFailed, match="no notebook"):
        live.call("cell_update", path="jdel.ipynb", index=0, source="x")
    assert not path.exists()


def test_renamed_through_jupyter(live: LiveServer) -> None:
    write_notebook(live.workspace / "old.ipynb", "one")
    live.call("cell_update", path="old.ipynb", index=0, source="two")
    body = {"path": "sub new.ipynb"}
    httpx.patch(f"{live.url}api/contents/old.ipynb", headers=live.headers, json=body).raise_for_status()
    with pytest.raises(ToolFailed, match="no notebook 'old.ipynb'"):
        live.call("cell_update", path="old.ipynb", index=0, source="x")
    live.call("cell_update", path="sub new.ipynb", index=0, source="three")
    assert live.sources("sub new.ipynb") == ["three"]
    assert not (live.workspace / "old.ipynb").exists()
    paths = [room["path"] for room in live.call("room_list")]
    assert "sub new.ipynb" in paths and "old.ipynb" not in paths


def test_moved_on_disk(live: LiveServer) -> None:
    path = write_notebook(live.workspace / "mv.ipynb", "one")
    live.call("cell_update", path="mv.ipynb", index=0, source="two")
    path.rename(live.workspace / "mv2.ipynb")
    with pytest.raises(ToolFailed, match="no notebook"):
        live.call("cell_update", path="mv.ipynb", index=0, source="x")
    live.call("cell_update", path="mv2.ipynb", index=0, source="three")
    assert live.sources("mv2.ipynb") == ["three"]
    assert not path.exists()


@pytest.mark.parametrize("age", [-3600, 0, 3600])
@pytest.mark.parametrize("replaced", [True, False])
def test_changed_on_disk(live: LiveServer, age: int, replaced: bool) -> None:
    """By git, rsync or an editor, whatever the time of modification says."""
    name = f"changed{age}{replaced}.ipynb"
    path = write_notebook(live.workspace / name, "one", "two")
    live.call("cell_update", path=name, index=0, source="ONE")
    theirs = json.dumps(notebook("theirs", "one", "two"))
    if replaced:
        other = path.with_suffix(".tmp")
        other.write_text(theirs)
        os.replace(other, path)
    else:
        path.write_text(theirs)
    os.utime(path, (time.time() + age,) * 2)
    with pytest.raises(ToolFailed, match=r"changed on disk by another program.*Nothing was edited"):
        live.call("cell_update", path=name, index=0, source="overwrites?")
    assert live.sources(name) == ["theirs", "one", "two"]
    assert [cell["source"] for cell in live.call("notebook_get", path=name)["cells"]] == ["theirs", "one", "two"]
    live.call("cell_update", path=name, index=0, source="seen and edited")
    assert live.sources(name) == ["seen and edited", "one", "two"]


def test_changed_on_disk_and_read_before_the_next_edit(live: LiveServer) -> None:
    path = write_notebook(live.workspace / "readfirst.ipynb", "one")
    live.call("cell_update", path="readfirst.ipynb", index=0, source="ONE")
    path.write_text(json.dumps(notebook("theirs")))
    assert live.call("cell_get", path="readfirst.ipynb", index=0)["source"] == "theirs"
    live.call("cell_update", path="readfirst.ipynb", index=0, source="mine")
    assert live.sources("readfirst.ipynb") == ["mine"]


def test_unsaved_work_is_kept_beside(live: LiveServer) -> None:
    path = write_notebook(live.workspace / "kept.ipynb", "one")
    live.call("cell_update", path="kept.ipynb", index=0, source="two")
    path.chmod(0o444)
    with pytest.raises(ToolFailed, match="NOT saved"):
        live.call("cell_update", path="kept.ipynb", index=0, source="unsaved work")
    path.unlink()
    write_notebook(path, "theirs")
    with pytest.raises(ToolFailed, match=r"changed on disk.*kept-unsaved-"):
        live.call("cell_update", path="kept.ipynb", index=0, source="x")
    assert live.sources("kept.ipynb") == ["theirs"]
    (copy,) = live.workspace.glob("kept-unsaved-*.ipynb")
    assert live.sources(copy.name) == ["unsaved work"]


def test_only_touched(live: LiveServer) -> None:
    path = write_notebook(live.workspace / "touched.ipynb", "one")
    live.call("cell_update", path="touched.ipynb", index=0, source="two")
    for age in (100, -100):
        os.utime(path, (time.time() + age,) * 2)
        live.call("cell_update", path="touched.ipynb", index=0, source=f"three {age}")
    copy = path.with_suffix(".tmp")
    copy.write_bytes(path.read_bytes())
    os.replace(copy, path)
    live.call("cell_update", path="touched.ipynb", index=0, source="four")
    assert live.sources("touched.ipynb") == ["four"]


def test_half_written_by_another_program(live: LiveServer) -> None:
    path = write_notebook(live.workspace / "half.ipynb", "one")
    live.call("cell_update", path="half.ipynb", index=0, source="two")
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    with pytest.raises(ToolFailed, match=r"no readable notebook|cannot be read"):
        live.call("cell_update", path="half.ipynb", index=0, source="x")
    time.sleep(2)
    assert path.read_text() == whole[: len(whole) // 2], "not overwritten"
    path.write_text(json.dumps(notebook("repaired")))
    assert live.call("cell_get", path="half.ipynb", index=0)["source"] == "repaired"


def test_the_file_keeps_its_mode_and_links(live: LiveServer) -> None:
    path = write_notebook(live.workspace / "mode.ipynb", "one")
    path.chmod(0o640)
    live.call("cell_update", path="mode.ipynb", index=0, source="two")
    assert path.stat().st_mode & 0o777 == 0o640
    second = live.workspace / "hard.txt"
    os.link(path, second)
    live.call("cell_update", path="mode.ipynb", index=0, source="three")
    assert "three" in second.read_text(), "a hard link is still one"
    assert [name.name for name in live.workspace.glob(".*mode*")] == []


def test_a_checkpoint_exists_and_the_notebook_is_trusted(live: LiveServer) -> None:
    write_notebook(live.workspace / "trust.ipynb", "from IPython.display import HTML\nHTML('<b>x</b>')")
    live.call("cell_execute", path="trust.ipynb", index=0)
    url = f"{live.url}api/contents/trust.ipynb"
    wait_until(lambda: bool(httpx.get(f"{url}/checkpoints", headers=live.headers).json()))

    def trusted() -> bool:
        found = httpx.get(url, headers=live.headers).json()["content"]["cells"]
        return bool(found[0]["metadata"].get("trusted"))

    wait_until(trusted)
