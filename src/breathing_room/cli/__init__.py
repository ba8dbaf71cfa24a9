"""The `breathing-room` command: one file a subcommand."""

import importlib

import click

from breathing_room.cli.suggestions import SuggestingGroup

SUBCOMMANDS = (
    "serve",
    "crowd",
    "watch",
    "snapshot",
    "history",
    "nodes",
    "sign",
    "reconcile",
    "simulate",
    "cost",
    "deploy",
    "migrate",
)


class Subcommands(SuggestingGroup):
    """Imports a subcommand's module only when it is run, so that `--help` and `serve` start fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the subcommands, those that a new user needs first at the top."""
        del ctx
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand; every module defines a `command`."""
        del ctx
        if cmd_name not in SUBCOMMANDS:
            return None
        command = importlib.import_module(f"breathing_room.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Subcommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="breathing-room")
def main() -> None:
    """Count the people who are on a page right now, live and anonymously, and their moods."""
