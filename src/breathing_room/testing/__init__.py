"""Suites that hold a store to its contract, for whoever writes a new one."""

from breathing_room.testing.store import BrokenPromiseError, check_store

__all__ = ["BrokenPromiseError", "check_store"]
