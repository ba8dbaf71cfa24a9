"""`breathing-room sign`, as it is typed; what the server makes of the ids is in ``test_signing.py``."""

import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from breathing_room.cli import main
from breathing_room.core.errors import ClientError
from breathing_room.hosts.common.access.signing import check_signed

KEY = "a-signing-key-of-at-least-32-characters"


def run(*arguments: str, key: str | None = KEY) -> Result:
    return CliRunner().invoke(main, ["sign", *arguments], env={"BREATHING_ROOM_SIGNING_KEY": key})


def test_each_id_is_new_and_signed_for_its_room_alone() -> None:
    """Two runs print two ids that the room takes, and another room does not."""
    ids = [run("lobby").output.strip() for _ in range(2)]
    assert len(set(ids)) == 2
    for visitor in ids:
        check_signed(KEY, "lobby", visitor, now_s=round(time.time()), max_age_s=60)
        with pytest.raises(ClientError):
            check_signed(KEY, "garden", visitor, now_s=round(time.time()), max_age_s=60)


def test_the_key_may_stand_in_the_file(tmp_path: Path) -> None:
    """Without a key in the environment that of the configuration file is used."""
    config = tmp_path / "room.toml"
    config.write_text(f'signing_key = "{KEY}"\n')
    visitor = run("lobby", "--config", str(config), key=None).output.strip()
    check_signed(KEY, "lobby", visitor, now_s=round(time.time()), max_age_s=60)


@pytest.mark.parametrize(
    ("arguments", "key", "said"),
    [
        (["lobby"], None, "no signing_key: set BREATHING_ROOM_SIGNING_KEY"),
        (["lobby"], "short", "signing_key"),
        (["No Such Room!"], KEY, "ROOM"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_printed(
    arguments: list[str], key: str | None, said: str
) -> None:
    """A missing or weak key and an impossible room are usage errors, and the key is not repeated."""
    result = run(*arguments, key=key)
    assert result.exit_code == 2
    assert said in result.output
    assert KEY not in result.output
