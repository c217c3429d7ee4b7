"""Settings of the group `mirrored` of `inventories/arm64.py`: packages from the site's own mirror."""

jupyter_scope = "system"
jupyter_provider = "uv"
jupyter_pypi_index = "https://mirror.example.org/simple/"
