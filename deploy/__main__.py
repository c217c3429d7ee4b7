"""``python -m deploy`` and the installed script: the program ``jupyfleet``."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys


def main() -> None:
    """Run the program. Ctrl-C while it is still being loaded ends it without a word, as there is nothing to say."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Loading makes hundreds of thousands of objects, all of which stay: looking for garbage among them takes a fifth
    # of the time, again and again.
    gc.disable()
    ended: list[int] = []
    atexit.register(_end, ended)  # The first to be registered is the last to be called.
    from deploy.cli import main as run

    try:
        run()
    except SystemExit as end:
        ended += [end.code] if isinstance(end.code, int) else []
        raise


def _end(ended: list[int]) -> None:
    """Leave with an exit code. To take all those objects apart first would take another 20 ms."""
    if ended:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended[0])


if __name__ == "__main__":
    main()
