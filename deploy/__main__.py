"""``python -m deploy`` and the installed script: the program ``jupyfleet``."""

from __future__ import annotations

import gc
import signal


def main() -> None:
    """Run the program. Ctrl-C while it is still being loaded ends it without a word, as there is nothing to say."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Loading makes hundreds of thousands of objects, all of which stay: looking for garbage among them takes a fifth
    # of the time, again and again.
    gc.disable()
    from deploy.cli import main as run

    run()


if __name__ == "__main__":
    main()
