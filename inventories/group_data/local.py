"""Settings of `inventories/local.py`: uncomment what you want, or see docs/settings.md for all there are."""

# jupyter_workspace = "/home/me/notebooks"
# jupyter_extra_packages = ["altair>=5"]
