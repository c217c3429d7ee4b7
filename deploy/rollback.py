"""Go back: ``pyinfra INVENTORY deploy/rollback.py``, or to one release with ``--data jupyfleet_rollback_to=ID``."""

from pyinfra import host

from deploy.site import rollback

rollback(to=host.data.get("jupyfleet_rollback_to"))
