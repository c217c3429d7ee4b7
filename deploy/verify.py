"""Prove: ``pyinfra INVENTORY deploy/verify.py``."""

from deploy.site import verify

verify()
