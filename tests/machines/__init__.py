"""Machines that the tests make for themselves, to deploy to."""
