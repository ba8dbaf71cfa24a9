"""`breathing-room sign`: a signed visitor id."""

from pathlib import Path

import click

from breathing_room.cli.settings import config_option, load_config
from breathing_room.core.errors import ClientError, ConfigError
from breathing_room.hosts.common.access.signing import sign_visitor


@click.command(name="sign", epilog="Example: BREATHING_ROOM_SIGNING_KEY=… breathing-room sign lobby")
@click.argument("room")
@config_option
def command(room: str, config_path: Path | None) -> None:
    """Print a signed visitor id for ROOM, for one visitor.

    The key is that of the server: BREATHING_ROOM_SIGNING_KEY, or signing_key in the file. In production a
    site calls breathing_room.sign_visitor, or computes the same in its own language; this command is for
    tests by hand.
    """
    try:
        config = load_config(config_path, {})
        if not config.signing_key:
            raise click.UsageError(
                "no signing_key: set BREATHING_ROOM_SIGNING_KEY, or signing_key in the file of --config"
            )
        click.echo(sign_visitor(config.signing_key, room))
    except ConfigError as error:
        raise click.UsageError(str(error)) from None
    except ClientError as error:
        raise click.BadParameter(error.message, param_hint="ROOM") from None
