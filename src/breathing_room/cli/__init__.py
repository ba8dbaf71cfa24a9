"""The `breathing-room` command: one file a subcommand."""

import importlib

import click

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


class Subcommands(click.Group):
    """Imports a subcommand's file only when it is asked for, so that `--help` and `serve` start fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the subcommands, in the order of a first day."""
        del ctx
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand; every file has its `command`."""
        del ctx
        if cmd_name not in SUBCOMMANDS:
            return None
        command = importlib.import_module(f"breathing_room.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Subcommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="breathing-room")
def main() -> None:
    """Tell people how many others are here with them right now, and how they feel."""
