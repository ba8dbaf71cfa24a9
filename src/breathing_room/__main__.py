"""`python -m breathing_room` is the `breathing-room` command."""

from breathing_room.cli import main

main()
