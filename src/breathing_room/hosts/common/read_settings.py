"""Parse settings, each as it is declared: the text of options and variables, and the values of TOML files.

Names and values are checked here, so that an error can name its place; a config checks them again, and their
relations.
"""

import contextlib
import json
import tomllib
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from breathing_room.core.config import ROOM_FIELDS, Setting
from breathing_room.core.errors import ConfigError

ENVIRONMENT_PREFIX: Final = "BREATHING_ROOM_"

SWITCHES: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

ROOMS: Final = "rooms"
"""Settings of single rooms: tables of a file, and a JSON variable of a Worker."""


def check_names(names: Iterable[str], known: Collection[str], where: str = "") -> None:
    """Reject a name that is no setting, and suggest the nearest one.

    Args:
        names: The names to check.
        known: The names of all settings that may be set there.
        where: Where the names stand, as the beginning of the error message.

    Raises:
        ConfigError: A name is unknown.
    """
    for name in names:
        if name not in known:
            # As it may have been typed for another place: LEASE_MS is a variable's, lease-ms an option's.
            nearest = get_close_matches(name.lower().replace("-", "_"), known, n=1)
            advice = (
                f'did you mean "{nearest[0]}"?'
                if nearest
                else "`breathing-room serve --help` lists all settings"
            )
            raise ConfigError(f'{where}unknown setting "{name}"; {advice}')


# --- Text, as options and variables have it ---------------------------------------------------------------


def variable_of(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"{ENVIRONMENT_PREFIX}{name.upper()}"


def read_variables(known: Mapping[str, Setting], environ: Mapping[str, str]) -> dict[str, Any]:
    """Read settings from the environment, or from the variables of a Worker.

    Args:
        known: The settings that may be set there.
        environ: Text by variable; variables without the prefix ``BREATHING_ROOM_`` are ignored.

    Raises:
        ConfigError: A variable with the prefix is no setting, or its text is not valid for it.
    """
    values = {}
    for variable, text in environ.items():
        if variable.startswith(ENVIRONMENT_PREFIX):
            name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            check_names([name], known, f"{variable}: ")
            values[name] = parse(name, text, known)
    return values


def parse(name: str, text: str, known: Mapping[str, Setting]) -> Any:
    """Parse the text of a setting, as variables and options have it; several values are separated by commas.

    Raises:
        ConfigError: There is no such setting, or the text is not valid for it.
    """
    check_names([name], known)
    declared = known[name]
    value: Any = text
    if declared.kind is tuple:
        value = tuple(part.strip() for part in text.split(",") if part.strip())
    elif declared.kind is dict:
        value = _parse_rooms(text, known)
    elif declared.kind is bool:
        value = SWITCHES.get(text.lower(), text)
    elif declared.kind is int:
        with contextlib.suppress(ValueError):
            value = int(text)
    declared.check(value)
    return value


def _parse_rooms(text: str, known: Mapping[str, Setting]) -> dict[str, dict[str, Any]]:
    expected = 'JSON, such as {"lobby": {"moods": ["calm"]}}'
    try:
        return _typed_rooms(json.loads(text), known, "", expected)
    except (ValueError, RecursionError):
        raise ConfigError(f"{ROOMS} must be {expected}") from None


# --- Values, as files have them ---------------------------------------------------------------------------


def read_file(path: Path | None, known: Mapping[str, Setting]) -> dict[str, Any]:
    """Read the settings of a TOML file; none without one.

    Raises:
        ConfigError: There is no such file, or a name in it is unknown, or a value is not valid.
    """
    if path is None:
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    rooms = table.pop(ROOMS, {})
    check_names(table, {*known, ROOMS}, f"{path}: ")
    return {
        **_typed_values(table, known, f"{path}: "),
        ROOMS: _typed_rooms(rooms, known, f"{path}: ", "tables, such as [rooms.lobby]"),
    }


def _typed_rooms(
    tables: Any, known: Mapping[str, Setting], where: str, expected: str
) -> dict[str, dict[str, Any]]:
    """Check the tables of rooms, as a file or a variable has them; ``known`` are the settings beside them."""
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise ConfigError(f"{where}{ROOMS} must be {expected}")
    for room, table in tables.items():
        for name in table:
            if name in known and name not in ROOM_FIELDS:
                raise ConfigError(
                    f"{where}{ROOMS}.{room}: {name} applies to all rooms and cannot be set for one: "
                    "move it out of the table"
                )
    return {
        room: _typed_values(table, ROOM_FIELDS, f"{where}{ROOMS}.{room}: ") for room, table in tables.items()
    }


def _typed_values(table: Mapping[str, Any], known: Mapping[str, Setting], where: str) -> dict[str, Any]:
    """Check the names and types of a table."""
    check_names(table, known, where)
    return {name: _typed(known[name], value, where) for name, value in table.items()}


def _typed(declared: Setting, value: Any, where: str) -> Any:
    """Check the type and the range of one value; the error does not repeat text, which may be secret."""
    if declared.kind is str and not declared.choices and not isinstance(value, str):
        raise ConfigError(f"{where}{declared.name} must be {declared.expected}")
    if declared.kind is tuple:
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise ConfigError(f"{where}{declared.name} must be {declared.expected}")
        return tuple(value)
    try:
        declared.check(value)
    except ConfigError as error:
        raise ConfigError(f"{where}{error}") from None
    return value
