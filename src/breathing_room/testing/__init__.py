"""Suites that hold a store or a host to its contract, for authors of a new one."""

from breathing_room.testing.host import check_host, checks
from breathing_room.testing.store import BrokenPromiseError, check_store

__all__ = ["BrokenPromiseError", "check_host", "check_store", "checks"]
