"""Suites that hold a store or a host to its contract, for authors of a new one."""

from breathing_room.testing.host import check_host, checks
from breathing_room.testing.store import CheckFailedError, check_store

__all__ = ["CheckFailedError", "check_host", "check_store", "checks"]
