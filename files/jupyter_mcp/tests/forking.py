"""Servers that start in a moment: a process that has imported everything forks one for every start.

What is forked is the real server, from its start to its end; only the imports are done once. `python forking.py
ARGUMENTS…` forks a server with these arguments for every line on its standard input, prints its pid, and a line more
when it has ended.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from live import LiveServer

__all__ = ["QuickServer"]


class _Forked:
    """As much of subprocess.Popen as a LiveServer needs, for a process that is another's child."""

    def __init__(self, parent: subprocess.Popen[bytes], pid: int) -> None:
        self._parent = parent
        self.pid = pid
        self.ended = False

    def poll(self) -> int | None:
        if self.ended or not Path(f"/proc/{self.pid}").exists():
            return 0
        return None

    def wait(self, timeout: float | None = None) -> int:
        if not self.ended:
            assert self._parent.stdout is not None
            assert self._parent.stdout.readline().strip() == b"ended"
            self.ended = True
        return 0

    def kill(self) -> None:
        os.kill(self.pid, 9)

    def terminate(self) -> None:
        os.kill(self.pid, 15)


class QuickServer(LiveServer):
    """A LiveServer that may be killed and started many times."""

    _parent: subprocess.Popen[bytes] | None = None

    def start(self, wait: bool = True) -> None:
        if self._parent is None:
            with self.log_path.open("ab") as log:
                self._parent = subprocess.Popen(
                    [sys.executable, __file__, *self._arguments[3:]],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    cwd=self.home,
                    env=self._environment,
                    start_new_session=True,
                )
        assert self._parent.stdin is not None and self._parent.stdout is not None
        self._parent.stdin.write(b"\n")
        self._parent.stdin.flush()
        forked: Any = _Forked(self._parent, int(self._parent.stdout.readline()))
        self.process = forked
        if wait:
            self.wait()

    def end(self) -> None:
        """SIGTERM; it may be started again."""
        super().stop()

    def stop(self) -> None:
        super().stop()
        if self._parent is not None and self._parent.stdin is not None:
            self._parent.stdin.close()
            self._parent.wait()


def main() -> None:
    # Everything that takes long and starts nothing.
    import jupyter_server_ydoc.app  # noqa: F401
    from jupyter_server.serverapp import ServerApp

    import jupyter_mcp.service
    import jupyter_mcp.tools  # noqa: F401

    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.dup2(2, 1)
            os.close(0)
            ServerApp.launch_instance(sys.argv[1:])
            os._exit(0)
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("ended", flush=True)


if __name__ == "__main__":
    main()
