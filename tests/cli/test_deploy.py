"""`breathing-room deploy cloudflare`: everything up to the upload."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from breathing_room.cli import main
from breathing_room.core.errors import HostError
from breathing_room.hosts.worker import assemble as assembling
from breathing_room.hosts.worker.assemble import assemble
from breathing_room.hosts.worker.deploy import BYTES_MAX, read_settings
from breathing_room.hosts.worker.settings import SNAPSHOT_MS_MIN, WorkerConfig

pytestmark = pytest.mark.slow  # It computes for seconds.


def deploy(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["deploy", "cloudflare", "--to", str(folder), *arguments])


@pytest.mark.parametrize("plan", ["free", "paid"])
def test_a_dry_run_prepares_a_worker_that_fits_the_plan(tmp_path: Path, plan: str) -> None:
    """
    The folder holds the Worker, the page and a configuration of wrangler; every file compiles, the size is
    below the plan's.
    """
    result = deploy(tmp_path, "--plan", plan, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "Nothing was uploaded" in result.output
    settings = json.loads((tmp_path / "wrangler.jsonc").read_text(encoding="utf-8"))
    assert settings["main"] == "src/main.py"
    for path in (
        settings["main"],
        "python_modules/breathing_room/core/room.py",
        "python_modules/workers/__init__.py",
    ):
        assert (tmp_path / path).is_file()
    assert (tmp_path / "assets" / "index.html").is_file()
    assert "Content-Security-Policy" in (tmp_path / "assets" / "_headers").read_text(encoding="utf-8")
    assert not (tmp_path / "assets" / "v1").exists()


def test_a_namespace_that_there_is_can_be_bound(tmp_path: Path) -> None:
    """An existing namespace, such as another Worker's, is used in place of a new one."""
    assert deploy(tmp_path, "--kv", "0123abcd", "--dry-run").exit_code == 0
    settings = json.loads((tmp_path / "wrangler.jsonc").read_text(encoding="utf-8"))
    assert settings["kv_namespaces"] == [{"binding": "KV", "id": "0123abcd"}]


def test_a_fixed_deployment_publishes_and_serves_its_config_as_a_file(tmp_path: Path) -> None:
    """
    With ``--fixed`` clients poll, the bucket is bound, and the config names the address of the presence.
    """
    url = "https://cdn.example/presence"
    result = deploy(
        tmp_path,
        "--fixed",
        "presences",
        "--set",
        f"presence_url={url}",
        "--set",
        "moods=calm,glad",
        "--dry-run",
    )
    assert result.exit_code == 0, result.output
    settings = json.loads((tmp_path / "wrangler.jsonc").read_text(encoding="utf-8"))
    assert settings["r2_buckets"] == [{"binding": "BUCKET", "bucket_name": "presences"}]
    config = json.loads((tmp_path / "assets" / "v1/rooms/lobby/config").read_bytes())
    assert (config["mode"], config["moods"]) == ("poll", ["calm", "glad"])
    assert config["presence_url"] == f"{url}/rooms/lobby/presence.json"
    assert "presence_url is not set" not in result.output


def test_rooms_in_kv_have_a_job(tmp_path: Path) -> None:
    """
    Where KV keeps the rooms, the cron runs as often as the job is to, and not more often than the plan
    allows.
    """
    in_kv = ("--set", "backend=kv", "--set", "mode=poll", "--dry-run")
    assert deploy(tmp_path, *in_kv).exit_code == 0
    settings = json.loads((tmp_path / "wrangler.jsonc").read_text(encoding="utf-8"))
    assert settings["triggers"] == {"crons": ["* * * * *"]}
    assert "at least 120,000 on the free plan" in " ".join(
        deploy(tmp_path, "--plan", "free", *in_kv).output.split()
    )
    assert deploy(tmp_path, "--plan", "free", "--set", "reconcile_ms=120000", *in_kv).exit_code == 0
    assert "whole minutes" in deploy(tmp_path, "--set", "reconcile_ms=90000", *in_kv).output


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("nothing=1", 'unknown setting "nothing"'),
        ("leese-ms=1", 'unknown setting "leese_ms"; did you mean "lease_ms"?'),
        ("push_ms=fast", "push_ms must be a whole number"),
        ("push_ms", "expected NAME=VALUE"),
        (f"snapshot_ms={SNAPSHOT_MS_MIN - 1}", "snapshot_ms must be at least 2,000 at the edge"),
        ("sockets_per_object=40000", "sockets_per_object must be a whole number from 1 to 32,768"),
        ("sockets_max=many", "sockets_max must be a whole number"),
        (f"signing_key={'k' * 32}", "wrangler secret put"),
        (f"admin_token={'t' * 32}", "wrangler secret put"),
        ("backend=kv", "mode must be poll with backend kv"),
        ("backend=me", "backend must be one of objects, kv"),
        ("rooms=[", "rooms must be JSON"),
        ('rooms={"lobby": {"hat": 1}}', 'rooms.lobby: unknown setting "hat"'),
    ],
)
def test_an_invalid_setting_is_an_error_before_anything_is_written(
    tmp_path: Path, setting: str, said: str
) -> None:
    """A setting that the Worker would reject at its first request is rejected here, by name."""
    result = deploy(tmp_path, "--set", setting, "--dry-run")
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size is checked against the plan before anything is written."""
    monkeypatch.setitem(BYTES_MAX, "free", 1_000)
    result = deploy(tmp_path, "--plan", "free", "--dry-run")
    assert result.exit_code == 2
    assert "the free plan takes 1,000" in result.output


def test_without_node_the_command_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no npx, everything is prepared and the last step is named."""
    monkeypatch.setenv("PATH", "")
    result = deploy(tmp_path)
    assert result.exit_code == 1
    assert "npx wrangler deploy" in result.output


def test_rooms_may_differ() -> None:
    """A table of rooms in JSON holds for each room alone, over the settings of all."""
    worker = WorkerConfig.load(
        {
            "BREATHING_ROOM_PUSH_MS": "3000",
            "BREATHING_ROOM_ROOMS": '{"quiet": {"moods": ["calm"], "push_ms": 9000}}',
            "PATH": "/bin",
        }
    )
    quiet, other = worker.server.room_config("quiet"), worker.server.room_config("lobby")
    assert (quiet.moods, quiet.push_ms, other.push_ms) == (("calm",), 9_000, 3_000)
    assert worker.server.kept_rooms == ("lobby", "quiet")


def test_the_settings_of_both_plans_are_settings() -> None:
    """The variables in the shipped configurations load, and name no secret."""
    for plan in ("free", "paid"):
        assert WorkerConfig.load(read_settings(plan)["vars"]).server.signing_key == ""


def test_a_worker_holds_nothing_that_does_not_run_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Of the package only what the entry imports goes along; a module that needs a foreign package is refused.
    """
    files = assemble().files
    assert not [
        path
        for path in files
        if any(
            foreign in path for foreign in ("sqlite", "uvicorn", "hosts/server/", "hosts/stateless/", "lab/")
        )
    ]
    with pytest.raises(HostError, match="starlette"):
        assemble("breathing_room.hosts.server.routes")
    monkeypatch.setattr(assembling, "find_spec", lambda _name: None)
    with pytest.raises(HostError, match="cloudflare"):
        assembling.runtime_sdk()
