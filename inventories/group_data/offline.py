"""Settings of the group `offline` of `inventories/arm64.py`: packages from a file of `jupyfleet bundle`."""

jupyter_scope = "system"
jupyter_provider = "uv"
jupyter_source = "bundle"
# On the machine that deploys, which sends it; with file: in front it is a path on the box, such as a stick's.
jupyter_bundle = "file:/media/stick/lab-aarch64.tar"
