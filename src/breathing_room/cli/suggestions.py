"""Suggest the nearest command or option for one that does not exist."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

import click


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message that suggests the known name nearest to another one; empty if none
    is near.
    """
    found = get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


@contextmanager
def suggested_options() -> Iterator[None]:
    """Replace click's error for an unknown option by one that names the nearest option.

    Raises:
        click.UsageError: An option is unknown.
    """
    try:
        yield
    except click.NoSuchOption as error:
        possibilities = error.possibilities or ()
        advice = nearest(error.option_name, possibilities)
        raise click.UsageError(f"no such option: {error.option_name}{advice}", ctx=error.ctx) from None


class SuggestingGroup(click.Group):
    """A group of commands whose errors suggest the nearest command or option."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; an unknown one is a usage error."""
        name = args[0]
        # What begins with a dash is an option, which click reports.
        if not name.startswith("-") and self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            raise click.UsageError(
                f"no such command: {name}{nearest(name, self.list_commands(ctx))}", ctx=ctx
            )
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options of the group itself."""
        with suggested_options():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Parse the options of a command, and run it."""
        with suggested_options():
            return super().invoke(ctx)
