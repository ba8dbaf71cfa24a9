"""Rooms as hosts run them, on every platform."""
