"""Hosts feed events to rooms, carry out their effects, and re-arm one timer each."""
