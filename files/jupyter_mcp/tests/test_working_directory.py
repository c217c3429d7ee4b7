"""A server whose folder was mounted anew goes on in the new one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_mcp.working_directory import WorkingDirectory


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "notebooks"
    root.mkdir()
    monkeypatch.chdir(root)
    return root


def test_a_folder_that_was_lost_is_entered_again_when_it_is_back(root: Path) -> None:
    directory = WorkingDirectory(root)
    root.rmdir()
    directory.look()
    with pytest.raises(FileNotFoundError):
        os.getcwd()
    root.mkdir()
    directory.look()
    assert os.path.samefile(".", root)
    assert os.getcwd() == str(root)


def test_what_was_found_meanwhile_is_left_for_what_comes_back(root: Path) -> None:
    directory = WorkingDirectory(root)
    root.rmdir()
    root.mkdir()
    directory.look()
    underneath = os.stat(".").st_ino
    # As a mount does it: the same name, another folder, and a name still leads to the current one.
    root.rename(root.with_name("underneath"))
    root.mkdir()
    directory.look()
    assert os.stat(".").st_ino != underneath
    assert os.path.samefile(".", root)


def test_who_was_started_elsewhere_stays_there(root: Path, tmp_path: Path) -> None:
    directory = WorkingDirectory(tmp_path)
    root.rmdir()
    directory.look()
    with pytest.raises(FileNotFoundError):
        os.getcwd()


def test_a_share_that_is_mounted_anew_is_entered_again(tmp_path: Path) -> None:
    """With real mounts, in a namespace of their own."""
    namespace = ["unshare", "--map-root-user", "--mount"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no namespace of mounts")
    share, root = tmp_path / "share", tmp_path / "root"
    share.mkdir()
    root.mkdir()
    program = f"""
import os, subprocess
from pathlib import Path
from jupyter_mcp.working_directory import WorkingDirectory

def mount():
    subprocess.run(["mount", "--bind", {str(share)!r}, {str(root)!r}], check=True)

mount()
os.chdir({str(root)!r})
directory = WorkingDirectory(Path({str(root)!r}))
subprocess.run(["umount", "--lazy", {str(root)!r}], check=True)
directory.look()
mount()
directory.look()
Path("note").touch()
print(os.getcwd())
"""
    argv = [*namespace, sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == (str(root), "")
    assert (share / "note").exists()
