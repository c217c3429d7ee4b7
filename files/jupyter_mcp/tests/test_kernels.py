"""The kept clients of kernels, with a real kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conftest import write_notebook

from jupyter_mcp.kernels import Kernels


async def test_a_kernel_that_is_another_process_gets_another_client(jp_serverapp: Any, jp_root_dir: Path) -> None:
    """The old client would reach it; but nobody knows whether it hears what the new process prints first."""
    write_notebook(jp_root_dir / "a.ipynb", "1")
    kernels = Kernels(jp_serverapp.session_manager, jp_serverapp.kernel_manager, jp_serverapp.log)
    first = await kernels.connect("room", "a.ipynb", "python3")
    assert await kernels.connect("room", "a.ipynb", "python3") is first
    await kernels.restart("room", "a.ipynb")
    assert first.is_outdated
    second = await kernels.connect("room", "a.ipynb", "python3")
    assert second is not first
    assert not first.usable
    request = await second.execute("print('first')", "cell")
    heard = []
    while (message := await request.messages.get()) is not None:
        heard.append(message)
    assert ("stream", {"name": "stdout", "text": "first\n"}) in heard
    await kernels.close()
    await jp_serverapp.kernel_manager.shutdown_all()
