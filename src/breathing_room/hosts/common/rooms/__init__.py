"""Rooms as hosts run them, whatever the platform."""
