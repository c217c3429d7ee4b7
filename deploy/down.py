"""Stop and remove: ``pyinfra INVENTORY deploy/down.py``. Workspaces stay."""

from deploy.site import down

down()
