"""The systemd unit of the how-to."""

import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from breathing_room.cli import main
from breathing_room.hosts.common.read_settings import ENVIRONMENT_PREFIX, parse
from breathing_room.hosts.common.settings import FIELDS

HOWTO = Path(__file__).resolve().parent.parent.parent / "docs" / "howto" / "systemd.md"


def test_the_unit_starts_a_command_that_exists() -> None:
    """Every flag and variable of the unit is one that the server has."""
    unit = HOWTO.read_text(encoding="utf-8")
    start = re.search(r"^ExecStart=(.+)$", unit, re.MULTILINE)
    assert start
    program, verb, *flags = shlex.split(start[1])
    shown = CliRunner().invoke(main, [verb, "--help"]).output
    assert program.endswith("/bin/breathing-room")
    assert all(flag in shown for flag in flags if flag.startswith("--"))
    for name, value in re.findall(rf"^Environment={ENVIRONMENT_PREFIX}(\w+)=(\S+)$", unit, re.MULTILINE):
        parse(name.lower(), value, FIELDS)
