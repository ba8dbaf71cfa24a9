"""Data files that servers of commit fcd8191 left: of one that was stopped, and of one that was killed."""

from pathlib import Path
from shutil import copyfile

import pytest

from breathing_room.core.events import TimerFired
from breathing_room.stores import SqliteStore
from inside import HandClock, client_of, host_inside
from written import FOLDER, TOKEN, ask, read

STORIES = read("stories.json")["server"]


@pytest.mark.parametrize("title", STORIES)
@pytest.mark.parametrize("name", ["stopped", "killed"])
async def test_a_server_goes_on_from_the_file(name: str, title: str, tmp_path: Path) -> None:
    """
    Rooms, averages, the day and the secrets of visitors' keys are read: presences are those of then, a
    visitor who comes back is counted once, also after midnight, and what the file cannot know is unknown or
    estimated.
    """
    written = read(f"server/{name}.json")
    (_, down_ms), _, *scenes = STORIES[title]
    clock = HandClock(written["at_ms"] + down_ms)
    file = copyfile(FOLDER / "server" / f"{name}.db", tmp_path / "room.db")
    store = await SqliteStore.open(file, clock=clock.wall_ms)
    async with (
        host_inside(
            store=store, clock=clock, heartbeat_ms=60_000, history_fallback=True, admin_token=TOKEN
        ) as host,
        client_of(host) as client,
    ):
        for _ in range(
            9
        ):  # A store answers in turn: all that rooms ask for as they open was answered by then.
            await store.get("running")
        said = []
        for scene, *arguments in scenes:
            if scene == "wait":
                clock.ms += arguments[0]
                for room in host.rooms.values():  # The event loop's timers do not look at this clock.
                    room.feed(TimerFired())
                said.append("")
            else:
                said.append(await ask(client, written["at_ms"], scene, *arguments))
    assert said == written[title]
