"""Provision: ``pyinfra INVENTORY deploy/up.py``."""

from deploy.site import up

up()
