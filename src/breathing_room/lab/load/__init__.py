"""The load generator: many visitors in one room, from one process."""
