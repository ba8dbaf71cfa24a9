"""`python -m breathing_room` is the `breathing-room` command."""

from breathing_room.cli import main

if __name__ == "__main__":  # A worker of `serve --workers` imports this file, and is no command.
    main()
