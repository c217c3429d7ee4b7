"""The probe against workspaces: owners, modes and mounts."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from probe_servers import Host, as_root, closed_port

from jupyfleet_host import mounts as host_mounts


def test_workspace_missing(host: Host) -> None:
    host.workspace.rmdir()
    host.fails("workspace-dir", "does not exist")


def test_workspace_is_a_file(host: Host) -> None:
    host.workspace.rmdir()
    host.workspace.write_text("")
    host.fails("workspace-dir", "is not a directory")


def test_workspace_for_a_user_who_does_not_exist(host: Host) -> None:
    host.fails("workspace-dir", "there is no user nobody-of-this-name", user="nobody-of-this-name")


@as_root
def test_workspace_of_somebody_else(host: Host) -> None:
    shutil.chown(host.workspace, "nobody")
    host.fails("workspace-dir", "belongs to nobody, not to root")


@as_root
def test_workspace_of_another_user(host: Host, open_folder: Path) -> None:
    host.passes("workspace-dir", "writable for nobody", user="nobody", workspace=str(open_folder))


@as_root
def test_workspace_closed_to_its_own_user(host: Host, open_folder: Path) -> None:
    open_folder.chmod(0o555)
    host.fails("workspace-dir", "nobody may not write", "0555", user="nobody", workspace=str(open_folder))


@as_root
def test_workspace_below_a_folder_the_user_may_not_enter(host: Host, open_folder: Path) -> None:
    inner = open_folder / "inner"
    inner.mkdir()
    shutil.chown(inner, "nobody")
    shutil.chown(open_folder, "root")
    open_folder.chmod(0o700)
    host.fails("workspace-dir", "nobody may not write", "folders above", user="nobody", workspace=str(inner))


@contextmanager
def mounted_with(options: str, where: Path) -> Iterator[None]:
    mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(where)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(where)], check=True)


@as_root
def test_workspace_mounted_read_only(host: Host) -> None:
    with mounted_with("ro", host.workspace):
        host.fails("workspace-dir", "read-only")


@as_root
def test_workspace_on_a_full_disk(host: Host) -> None:
    with mounted_with("size=2m,mode=0700", host.workspace):
        host.passes("workspace-dir", "writable")
        (host.workspace / "ballast").write_bytes(bytes(1_500_000))
        host.fails("workspace-dir", "is on a filesystem that is full", "Make room")


@as_root
def test_workspace_on_a_disk_with_too_many_files(host: Host) -> None:
    with mounted_with("size=8m,mode=0700,nr_inodes=3", host.workspace):
        for name in ("one", "two"):
            (host.workspace / name).touch()
        host.fails("workspace-dir", "can hold no more files")


@pytest.fixture
def mounted(host: Host, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say what the kernel's table of mounts holds."""

    def say(*mounts: tuple[str, str, str]) -> None:
        lines = ["22 1 0:21 / / rw,relatime shared:1 - ext4 /dev/vda1 rw"]
        for point, fstype, source in mounts:
            escaped = point.replace(" ", "\\040")
            lines.append(f"30 22 0:30 / {escaped} rw,relatime shared:2 master:1 - {fstype} {source} rw")
        table = host.root / "mountinfo"
        table.write_text("\n".join(lines) + "\n")
        monkeypatch.setattr(host_mounts, "MOUNTINFO", table)

    host.spec["workspace_mount"] = "virtiofs"
    return say


def test_a_server_that_waits_for_its_share_is_not_waited_for(host: Host, mounted: Callable[..., None]) -> None:
    mounted()
    host.supervisor.states = ["BACKOFF"]
    begun = time.monotonic()
    checks = host.fails("jupyter-service", "jupyter is BACKOFF", port=closed_port(), timeout=60)
    assert "is not mounted from tag workspace" in checks["workspace-dir"]["detail"]
    assert "accepts no connection" in checks["jupyter-port"]["detail"]
    assert time.monotonic() - begun < 10


def test_a_server_that_starts_from_its_share_gets_its_time(host: Host, mounted: Callable[..., None]) -> None:
    mounted((str(host.workspace), "virtiofs", "workspace"))
    host.supervisor.states = ["STARTING", "RUNNING"]
    host.passes("jupyter-service", "RUNNING", timeout=10)


def test_workspace_on_virtiofs(host: Host, mounted: Callable[..., None]) -> None:
    mounted((str(host.workspace), "virtiofs", "workspace"))
    host.passes("workspace-dir", "virtiofs tag workspace")


def test_workspace_on_virtiofs_through_a_link_with_blanks(host: Host, mounted: Callable[..., None]) -> None:
    real = host.root / "the real one"
    host.workspace.rename(real)
    host.workspace.symlink_to(real)
    mounted((str(real), "virtiofs", "workspace"))
    host.passes("workspace-dir", "virtiofs tag workspace")


def test_workspace_under_an_absent_share(host: Host, mounted: Callable[..., None]) -> None:
    mounted()
    host.fails("workspace-dir", "is not mounted from tag workspace", "lies on ext4 /dev/vda1")


def test_workspace_from_a_wrong_tag_or_filesystem(host: Host, mounted: Callable[..., None]) -> None:
    mounted((str(host.workspace), "virtiofs", "other"))
    host.fails("workspace-dir", "virtiofs other instead of virtiofs tag workspace")
    mounted((str(host.workspace), "virtiofs", "workspace"), (str(host.workspace), "tmpfs", "workspace"))
    host.fails("workspace-dir", "tmpfs workspace instead of virtiofs tag workspace")
