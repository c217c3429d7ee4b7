"""Settings of the group `big` of `inventories/lab.py`."""

jupyter_scope = "system"
jupyter_keep_releases = 2
