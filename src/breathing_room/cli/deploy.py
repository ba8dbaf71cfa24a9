"""`breathing-room deploy`: put a room where others keep the machines."""

import os
import shutil
import subprocess
from pathlib import Path

import click

from breathing_room.core.errors import HostError
from breathing_room.hosts.common.read_settings import ENVIRONMENT_PREFIX
from breathing_room.hosts.worker.deploy import BYTES_MAX, Deployment, prepare


@click.group(name="deploy")
def command() -> None:
    """Put a room where others keep the machines."""


@command.command(epilog="Example: breathing-room deploy cloudflare --plan free --dry-run")
@click.option(
    "--plan", type=click.Choice(sorted(BYTES_MAX)), default="paid", show_default=True, help="Your plan."
)
@click.option("--name", help="What the Worker is called, if not breathing-room.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting by its name in `serve --help`, such as moods=calm,glad; may be given again and again.",
)
@click.option(
    "--fixed",
    "bucket",
    metavar="BUCKET",
    help="Count a panel of those who poll, and publish the presence to this R2 bucket: the bill does not grow with the crowd.",
)
@click.option(
    "--kv",
    metavar="ID",
    help="The KV namespace for backups, if it is to be one that there is: an older Worker's, or that of another host.",
)
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/cloudflare"),
    show_default=True,
    help="The folder that is written.",
)
@click.option("--dry-run", is_flag=True, help="Prepare and check everything, and upload nothing.")
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
    """Put rooms at Cloudflare's edge, as Durable Objects.

    It writes a folder with the Worker, the page and a wrangler.jsonc, and hands it to wrangler, which needs Node and an account.
    """
    variables = {} if bucket is None else {f"{ENVIRONMENT_PREFIX}MODE": "poll"}
    for setting in settings:
        key, is_setting, value = setting.partition("=")
        if not is_setting:
            raise click.BadParameter(f"NAME=VALUE is expected, not {setting!r}", param_hint="--set")
        variables[f"{ENVIRONMENT_PREFIX}{key.strip().upper().replace('-', '_')}"] = value
    try:
        deployment = prepare(folder, plan=plan, variables=variables, name=name, bucket=bucket, kv=kv)
    except HostError as error:
        raise click.UsageError(str(error)) from None
    report(deployment)
    if dry_run:
        click.echo(f"Nothing was uploaded. To do so: cd {folder} && npx wrangler deploy")
        return
    npx = shutil.which("npx")
    if npx is None:
        raise click.ClickException(f"npx is missing: install Node, then: cd {folder} && npx wrangler deploy")
    ended = subprocess.run([npx, "wrangler", "deploy"], cwd=folder, env=os.environ, check=False)  # noqa: S603
    if ended.returncode:
        raise click.ClickException("wrangler did not deploy it")


def report(deployment: Deployment) -> None:
    """Say what was prepared, and what is left to do by hand."""
    room = deployment.worker.server.room
    click.echo(
        f"{deployment.folder}: a Worker of {deployment.compressed_bytes / 1024:,.0f} KB compressed, "
        f"of {deployment.bytes_max / 1024:,.0f} KB that the plan takes"
    )
    if room.mode == "poll":
        writes = 86_400_000 // deployment.worker.server.publish_ms
        click.echo(
            f"a panel of {room.panel_size} reports; the presence is published at most {writes:,} times a day"
        )
        if not deployment.worker.server.presence_url:
            click.echo(
                "no presence_url is set: clients will poll the Worker, and each poll is a request that is billed"
            )
    else:
        click.echo(f"rooms over sockets, told at most every {room.push_ms / 1_000:g} s")
