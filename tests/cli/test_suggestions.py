"""An unknown command or option is an error that suggests the nearest one."""

import click
import pytest
from click.testing import CliRunner

from breathing_room.cli import main
from breathing_room.cli.suggestions import SuggestingGroup, nearest


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("serv",), "no such command: serv; did you mean serve?"),
        (("reconsile",), "no such command: reconsile; did you mean reconcile?"),
        (("deploy", "cloudfare"), "no such command: cloudfare; did you mean cloudflare?"),
        (("history", "exprot"), "no such command: exprot; did you mean export?"),
        (("serve", "--leese-ms", "9"), "no such option: --leese-ms; did you mean --lease-ms?"),
        (("cost", "--poeple", "9"), "no such option: --poeple; did you mean --people?"),
        (("deploy", "cloudflare", "--dryrun"), "no such option: --dryrun; did you mean --dry-run?"),
        (("--versoin",), "no such option: --versoin; did you mean --version?"),
    ],
)
def test_the_nearest_name_is_suggested(arguments: tuple[str, ...], error: str) -> None:
    """A misspelled command or option, at any depth, is a usage error
    with the name that was probably meant.
    """
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == f"Error: {error}"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("zzz",), "no such command: zzz"),
        (("serve", "--zzz"), "no such option: --zzz"),
        (("serve", "-z"), "no such option: -z"),
        (("-z",), "no such option: -z"),
    ],
)
def test_no_name_is_suggested_where_none_is_near(arguments: tuple[str, ...], error: str) -> None:
    """An unknown name without a near one is repeated, and click's line before it names the help."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == f"Error: {error}"
    assert "--help" in result.stderr


def test_other_errors_are_left_alone() -> None:
    """A wrong value and an exception of a command pass through unchanged."""

    @click.group(cls=SuggestingGroup)
    def group() -> None:
        pass

    @group.command()
    @click.option("--count", type=int)
    def fail(count: int) -> None:
        raise click.ClickException(f"failed with {count}")

    assert "'many' is not a valid integer" in CliRunner().invoke(group, ["fail", "--count", "many"]).stderr
    assert CliRunner().invoke(group, ["fail", "--count", "3"]).stderr == "Error: failed with 3\n"


def test_the_nearest_of_several_is_named() -> None:
    """Of several near names the nearest is suggested, and none if all are far."""
    assert nearest("--lease", ["--lease-url", "--release", "--moods"]) == "; did you mean --release?"
    assert nearest("quux", ["serve", "watch"]) == ""
