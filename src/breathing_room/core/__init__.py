"""The pure core: a room's state, the events that change it, and the effects that follow.

Nothing in here opens a socket, reads a clock, draws a random number or writes a log line. Time comes in as
an argument, effects go out as values, and a host in ``breathing_room.hosts`` does the rest.

Read ``room.py`` first.
"""
