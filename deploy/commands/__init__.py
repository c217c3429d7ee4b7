"""The commands of the program ``jupyfleet``: one module each, with a function that `deploy.cli` registers.

What they share (options, how an inventory is loaded, how a run is watched and ends) is in `common`.
"""
