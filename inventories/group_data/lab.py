"""Settings of the group `lab` of `inventories/lab.py`."""

jupyter_scope = "system"
jupyter_extra_packages = ["altair>=5"]
