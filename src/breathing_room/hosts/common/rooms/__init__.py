"""The runtime of rooms that every host shares."""
