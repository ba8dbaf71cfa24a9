"""Prepare a deployment: a checked folder with the Worker, its page and the configuration of ``wrangler``."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from breathing_room.core.errors import HostError
from breathing_room.core.wire import encode
from breathing_room.hosts.common.http.page_files import page_files
from breathing_room.hosts.common.http.responses import JSON, page_headers
from breathing_room.hosts.common.read_settings import variable_of
from breathing_room.hosts.common.rooms.publishing import config_file
from breathing_room.hosts.common.settings import SECRETS
from breathing_room.hosts.worker.assemble import (
    FREE_BYTES_MAX,
    MAIN_FILE,
    PAID_BYTES_MAX,
    Assembled,
    assemble,
    runtime_sdk,
)
from breathing_room.hosts.worker.settings import WorkerConfig

BYTES_MAX: Final = {"free": FREE_BYTES_MAX, "paid": PAID_BYTES_MAX}
"""The largest size of a Worker, compressed, by plan."""

SECRET_VARIABLES: Final = frozenset(map(variable_of, SECRETS))
"""The variables that are secrets, and must not be in a file."""

COMMENT: Final = re.compile(r"^\s*//.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment that was prepared.

    Attributes:
        folder: Where it is.
        settings: The configuration of ``wrangler``.
        worker: The settings of the Worker.
        compressed_bytes: Its size as the platform measures it.
        bytes_max: The largest size of the plan.
    """

    folder: Path
    settings: Mapping[str, Any]
    worker: WorkerConfig
    compressed_bytes: int
    bytes_max: int


def read_settings(plan: str) -> dict[str, Any]:
    """Read the configuration that comes with the package, without its comments."""
    text = (
        files("breathing_room.hosts.worker").joinpath("wrangler", f"{plan}.jsonc").read_text(encoding="utf-8")
    )
    settings: dict[str, Any] = json.loads(COMMENT.sub("", text))
    return settings


def prepare(
    folder: Path,
    *,
    plan: str,
    variables: Mapping[str, str],
    name: str | None = None,
    bucket: str | None = None,
    kv: str | None = None,
) -> Deployment:
    """Write a deployment.

    Args:
        folder: Where; files of an earlier one are overwritten.
        plan: ``free`` or ``paid``.
        variables: Settings in place of those of the plan, by the names of the environment.
        name: The name of the Worker.
        bucket: The R2 bucket to which presences are published; None for none.
        kv: The id of the KV namespace for backups; None for one that ``wrangler`` makes.

    Raises:
        HostError: A setting is wrong, or the Worker would be too large.
    """
    settings = read_settings(plan)
    settings["vars"] |= variables
    if secret := next((key for key in variables if key in SECRET_VARIABLES), None):
        raise HostError(f"{secret} is a secret and must not be in a file: npx wrangler secret put {secret}")
    if name is not None:
        settings["name"] = name
    if bucket is not None:
        settings["r2_buckets"] = [{"binding": "BUCKET", "bucket_name": bucket}]
    if kv is not None:
        settings["kv_namespaces"] = [{"binding": "KV", "id": kv}]
    worker = WorkerConfig.load(settings["vars"])
    if worker.backend == "kv":
        settings["triggers"]["crons"] = [cron_expression(worker.reconcile_ms, plan)]
    assembled = Assembled({**assemble().files, **runtime_sdk()})
    if assembled.compressed_bytes > BYTES_MAX[plan]:
        raise HostError(
            f"the Worker has {assembled.compressed_bytes:,} bytes, and the {plan} plan takes {BYTES_MAX[plan]:,}"
        )
    for path, content in assembled.files.items():
        if path.endswith(".py"):
            compile(content, path, "exec")
        # The platform takes every file beside the main module for a module, so no other file must be there.
        write(folder / ("src" if path == MAIN_FILE else "") / path, content)
    for file, content in page_files().items():
        write(folder / "assets" / file, content)
    rules = "/*\n" + _header_lines(page_headers(worker.server.presence_url))
    if bucket is not None:
        # With the config a file as well, a visitor outside the panel never touches the Worker.
        for room in worker.server.kept_rooms:
            url = worker.server.presence_url_of(room)
            about = config_file(room, worker.server.room_config(room), presence_url=url)
            path = f"v1/rooms/{room}/config"
            write(folder / "assets" / path, encode(about.body))
            rules += f"/{path}\n" + _header_lines({"Content-Type": JSON, "Access-Control-Allow-Origin": "*"})
    write(folder / "assets" / "_headers", rules.encode())
    write(folder / "wrangler.jsonc", json.dumps(settings, indent=2).encode() + b"\n")
    return Deployment(folder, settings, worker, assembled.compressed_bytes, BYTES_MAX[plan])


def cron_expression(reconcile_ms: int, plan: str) -> str:
    """Return the cron expression of ``reconcile``.

    Raises:
        HostError: Cron has no expression for it, or the plan does not allow it.
    """
    minutes, rest = divmod(reconcile_ms, 60_000)
    if rest or not 1 <= minutes <= 30:
        raise HostError(
            f"reconcile_ms must be whole minutes from 1 to 30 where a cron runs reconcile, not {reconcile_ms:,} ms"
        )
    if plan == "free" and minutes < 2:
        raise HostError(
            "reconcile_ms must be at least 120,000 on the free plan: a run every minute exceeds its 1,000 KV writes a day"
        )
    return "* * * * *" if minutes == 1 else f"*/{minutes} * * * *"


def _header_lines(headers: Mapping[str, str]) -> str:
    return "".join(f"  {field}: {value}\n" for field, value in headers.items())


def write(path: Path, content: bytes) -> None:
    """Write a file, and the folders that lead to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
