"""Preparing a deployment: the folder, and the configuration in it."""

import json
from pathlib import Path
from typing import Any

import pytest

from breathing_room.core.errors import HostError
from breathing_room.hosts.worker import deploy
from breathing_room.hosts.worker.assemble import MAIN_FILE, Assembled
from breathing_room.hosts.worker.deploy import cron_expression, prepare, read_settings


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Assemble a Worker of two files: a real one is assembled in ``test_assemble.py``."""
    monkeypatch.setattr(
        deploy, "assemble", lambda: Assembled({MAIN_FILE: b"pass\n", "python_modules/a.py": b"pass\n"})
    )
    monkeypatch.setattr(deploy, "runtime_sdk", dict)


def settings_in(folder: Path) -> Any:
    return json.loads((folder / "wrangler.jsonc").read_text())


@pytest.mark.parametrize("plan", ["free", "paid"])
def test_the_folder_is_whole(plan: str, tmp_path: Path) -> None:
    """Main module, modules, page and configuration each lie where the platform looks, and the configuration
    is what was checked.
    """
    made = prepare(tmp_path, plan=plan, variables={})
    assert (tmp_path / "src" / MAIN_FILE).is_file()
    assert (tmp_path / "python_modules" / "a.py").is_file()
    assert (tmp_path / "assets" / "index.html").is_file()
    assert "Content-Security-Policy" in (tmp_path / "assets" / "_headers").read_text()
    assert settings_in(tmp_path) == made.settings == read_settings(plan)


def test_arguments_replace_those_of_the_plan(tmp_path: Path) -> None:
    """Variables, name, bucket and namespace replace those of the plan,
    and the Worker is checked with them.
    """
    made = prepare(
        tmp_path, plan="paid", variables={"BREATHING_ROOM_LEASE_MS": "41000"}, name="mine", bucket="b", kv="k"
    )
    settings = settings_in(tmp_path)
    assert (made.worker.server.room.lease_ms, settings["vars"]["BREATHING_ROOM_LEASE_MS"]) == (
        41_000,
        "41000",
    )
    assert settings["name"] == "mine"
    assert settings["r2_buckets"] == [{"binding": "BUCKET", "bucket_name": "b"}]
    assert settings["kv_namespaces"] == [{"binding": "KV", "id": "k"}]


def test_where_presences_are_published_the_config_is_a_file_too(tmp_path: Path) -> None:
    """With a bucket the config of each kept room is a static file that pages of all sites may read; without
    one there is none.
    """
    url = {"BREATHING_ROOM_PRESENCE_URL": "https://cdn.example"}
    prepare(tmp_path / "a", plan="paid", variables=url, bucket="b")
    config = json.loads((tmp_path / "a/assets/v1/rooms/lobby/config").read_text())
    assert config["presence_url"].startswith("https://cdn.example/")
    headers = (tmp_path / "a/assets/_headers").read_text()
    assert (
        "/v1/rooms/lobby/config\n  Content-Type: application/json\n  Access-Control-Allow-Origin: *\n"
        in headers
    )
    prepare(tmp_path / "b", plan="paid", variables={})
    assert not (tmp_path / "b/assets/v1").exists()


@pytest.mark.parametrize("name", ["SIGNING_KEY", "ADMIN_TOKEN"])
def test_a_secret_is_written_into_no_file(name: str, tmp_path: Path) -> None:
    """A secret is refused as a variable, with the command that sets it, before anything is written."""
    with pytest.raises(HostError, match=f"wrangler secret put BREATHING_ROOM_{name}") as error:
        prepare(
            tmp_path, plan="paid", variables={f"BREATHING_ROOM_{name}": "hunter2-hunter2-hunter2-hunter2"}
        )
    assert "hunter2" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Worker above the plan's limit is refused with both sizes, before anything is written."""
    monkeypatch.setitem(deploy.BYTES_MAX, "free", 10)
    with pytest.raises(HostError, match="the free plan takes 10"):
        prepare(tmp_path, plan="free", variables={})
    assert list(tmp_path.iterdir()) == []


def test_rooms_in_kv_have_a_cron(tmp_path: Path) -> None:
    """With the backend KV the cron runs ``reconcile`` every ``reconcile_ms``; otherwise the plan's cron
    stays.
    """
    kept = {
        "BREATHING_ROOM_BACKEND": "kv",
        "BREATHING_ROOM_MODE": "poll",
        "BREATHING_ROOM_RECONCILE_MS": "180000",
    }
    prepare(tmp_path, plan="paid", variables=kept)
    assert settings_in(tmp_path)["triggers"]["crons"] == ["*/3 * * * *"]


@pytest.mark.parametrize(
    ("reconcile_ms", "plan", "cron"),
    [(60_000, "paid", "* * * * *"), (120_000, "free", "*/2 * * * *"), (1_800_000, "free", "*/30 * * * *")],
)
def test_whole_minutes_have_a_cron_expression(reconcile_ms: int, plan: str, cron: str) -> None:
    """An interval of whole minutes has its expression."""
    assert cron_expression(reconcile_ms, plan) == cron


@pytest.mark.parametrize(
    ("reconcile_ms", "plan"), [(90_000, "paid"), (1_860_000, "paid"), (60_000, "free"), (0, "paid")]
)
def test_intervals_without_a_cron_expression_are_refused(reconcile_ms: int, plan: str) -> None:
    """Parts of minutes, more than half an hour, and what the free plan's writes do not allow are refused."""
    with pytest.raises(HostError, match="reconcile_ms"):
        cron_expression(reconcile_ms, plan)
