"""``python -m deploy`` is the program ``jupyfleet``."""

from deploy.cli import main

main()
