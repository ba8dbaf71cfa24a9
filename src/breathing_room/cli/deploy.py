"""`breathing-room deploy`: deploy rooms to Cloudflare Workers."""

import os
import shutil
import subprocess
from pathlib import Path

import click

from breathing_room.cli.suggestions import SuggestingGroup
from breathing_room.core.errors import HostError
from breathing_room.hosts.common.read_settings import ENVIRONMENT_PREFIX
from breathing_room.hosts.worker.deploy import BYTES_MAX, Deployment, prepare
from breathing_room.hosts.worker.settings import OWN_FIELDS


@click.group(name="deploy", cls=SuggestingGroup)
def command() -> None:
    """Deploy rooms to Cloudflare Workers."""


@command.command(epilog="Example: breathing-room deploy cloudflare --plan free --dry-run")
@click.option(
    "--plan",
    type=click.Choice(sorted(BYTES_MAX)),
    default="paid",
    show_default=True,
    help="Your Cloudflare plan, whose limits are checked.",
)
@click.option("--name", help="The name of the Worker.  [default: breathing-room]")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of `serve --help`, such as moods=calm,glad, or one of the Worker's own: "
    f"{', '.join(OWN_FIELDS)}. May be repeated.",
)
@click.option(
    "--fixed",
    "bucket",
    metavar="BUCKET",
    help="Count a panel of polling clients, and publish the presence to this R2 bucket: the bill does not grow with the crowd.",
)
@click.option(
    "--kv",
    metavar="ID",
    help="The id of an existing KV namespace for backups, such as an older Worker's. Without it a new one is created.",
)
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/cloudflare"),
    show_default=True,
    help="The output folder.",
)
@click.option("--dry-run", is_flag=True, help="Write and check the folder, but upload nothing.")
def cloudflare(
    *,
    plan: str,
    name: str | None,
    settings: tuple[str, ...],
    bucket: str | None,
    kv: str | None,
    folder: Path,
    dry_run: bool,
) -> None:
    """Deploy rooms as Durable Objects.

    Writes a folder with the Worker, the page and a wrangler.jsonc, and runs `wrangler deploy` in it, which
    needs Node and a Cloudflare account.
    """
    variables = {} if bucket is None else {f"{ENVIRONMENT_PREFIX}MODE": "poll"}
    for setting in settings:
        key, is_setting, value = setting.partition("=")
        if not is_setting:
            raise click.BadParameter(f"expected NAME=VALUE, not {setting!r}", param_hint="--set")
        variables[f"{ENVIRONMENT_PREFIX}{key.strip().upper().replace('-', '_')}"] = value
    try:
        deployment = prepare(folder, plan=plan, variables=variables, name=name, bucket=bucket, kv=kv)
    except HostError as error:
        raise click.UsageError(str(error)) from None
    report(deployment)
    if dry_run:
        click.echo(f"Nothing was uploaded. To upload: cd {folder} && npx wrangler deploy")
        return
    npx = shutil.which("npx")
    if npx is None:
        raise click.ClickException(
            f"npx was not found: install Node, then: cd {folder} && npx wrangler deploy"
        )
    ended = subprocess.run([npx, "wrangler", "deploy"], cwd=folder, env=os.environ, check=False)  # noqa: S603
    if ended.returncode:
        raise click.ClickException(
            f"wrangler exited with status {ended.returncode}: see its output above, then: cd {folder} && npx wrangler deploy"
        )


def report(deployment: Deployment) -> None:
    """Print what was written, and what is left to do by hand."""
    room = deployment.worker.server.room
    click.echo(
        f"{deployment.folder}: a Worker of {deployment.compressed_bytes / 1024:,.0f} KB compressed, "
        f"of {deployment.bytes_max / 1024:,.0f} KB that the plan allows"
    )
    if room.mode == "poll":
        writes = 86_400_000 // deployment.worker.server.publish_ms
        click.echo(
            f"a panel of {room.panel_size} reports; the presence is published at most {writes:,} times a day"
        )
        if not deployment.worker.server.presence_url:
            click.echo(
                "presence_url is not set: clients will poll the Worker, and each poll is a request that is billed"
            )
    else:
        click.echo(f"rooms of connections; at most one broadcast every {room.push_ms / 1_000:g} s")
