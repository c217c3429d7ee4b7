"""The same hosts as the tests of a fleet have."""

from __future__ import annotations

from tests.fleet.conftest import bare, copies, deployed, image, network

__all__ = ["bare", "copies", "deployed", "image", "network"]
