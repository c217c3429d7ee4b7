"""The probe as a whole: a result for every check, whatever a host does."""

from __future__ import annotations

import os
import shutil

import pytest
from probe_servers import IDS, TOOLS, Host, closed_port, failed

from jupyfleet_host import (
    mounts,
    probe,
    probe_user,
)
from jupyfleet_host.common import HostError


def test_a_good_host_passes_every_check(host: Host) -> None:
    checks = host.verify()
    assert {check["status"] for check in checks.values()} == {"ok"}, checks
    assert checks["jupyter-lab-binary"]["detail"] == "JupyterLab 4.6.6"


def test_verify_leaves_files_as_they_were(host: Host) -> None:
    def everything() -> dict[str, tuple[int, int]]:
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_mode) for path in sorted(host.root.rglob("*"))}

    before = everything()
    host.verify()
    assert everything() == before


def test_a_build_proves_the_environment_alone(host: Host) -> None:
    checks = host.verify(scope="build", port=closed_port(), supervisor_socket="/nowhere")
    assert [checks[name]["status"] for name in IDS] == ["ok", "ok"] + ["skipped"] * 8
    assert host.jupyter.log == []


def test_a_spec_with_a_missing_key_is_the_callers_mistake(host: Host) -> None:
    del host.spec["port"]
    with pytest.raises(HostError, match=r"does not fit: .*'port'"):
        host.verify()


def test_nothing_at_all_on_the_host_is_still_a_whole_result(host: Host) -> None:
    shutil.rmtree(host.root)
    checks = host.verify(user="nobody-of-this-name", supervisor_socket="/nowhere", port=closed_port())
    assert failed(checks) == IDS


def test_values_that_nobody_expects_stay_results(host: Host) -> None:
    host.supervisor.extra = {"now": "noon"}
    host.jupyter.results["tools/call"] = {"content": [17, {"type": "text", "text": "["}]}
    host.jupyter.tool_pages = [TOOLS]
    checks = host.verify(workspace="/a\0b", environment="/a\0b")
    assert "unexpected ValueError" in checks["workspace-dir"]["detail"]
    assert "unexpected ValueError" in checks["jupyter-service"]["detail"]
    assert checks["jupyter-lab-binary"]["status"] == "failed"
    assert checks["mcp-jupyter-call-list-notebooks"]["status"] == "failed"


def test_a_check_that_never_ends_is_a_failed_one(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "GUARD_SECONDS", 0.3)
    monkeypatch.setattr(probe_user, "PROGRAM_SECONDS", 0.1)
    fifo = host.root / "fifo"
    os.mkfifo(fifo)
    monkeypatch.setattr(mounts, "MOUNTINFO", fifo)
    host.fails("workspace-dir", "did not end within", workspace_mount="virtiofs", timeout=0.1)
    with fifo.open("w"):
        pass
