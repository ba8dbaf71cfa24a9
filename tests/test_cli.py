"""The `breathing-room` command as a whole."""

import click
from click.testing import CliRunner

from breathing_room.cli import SUBCOMMANDS, main


def test_every_subcommand_is_found_by_its_name() -> None:
    """Each name leads to a command whose help shows how it is called."""
    context = click.Context(main)
    for name in SUBCOMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        result = CliRunner().invoke(main, [name, "--help"])
        assert result.exit_code == 0, result.output
        assert f"Usage: main {name} " in result.output


def test_help_lists_all_in_the_order_of_a_first_day() -> None:
    """`--help` and `-h` name every subcommand once, the server first."""
    long, short = (CliRunner().invoke(main, [flag]).output for flag in ("--help", "-h"))
    assert long == short
    commands = [
        line.split()[0]
        for line in long.partition("Commands:")[2].splitlines()
        if line.startswith("  ") and line[2] != " "
    ]
    assert commands == list(SUBCOMMANDS)


def test_an_unknown_subcommand_is_a_usage_error() -> None:
    """The error repeats a misspelled name, no module is imported for it, and the exit code is 2."""
    result = CliRunner().invoke(main, ["serv"])
    assert (result.exit_code, "serv" in result.output) == (2, True)
    assert main.get_command(click.Context(main), "__init__") is None
