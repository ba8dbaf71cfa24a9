"""What the platform stores of objects of commit fcd8191: rows, attachments of connections, and alarms."""

import json
from base64 import b64decode
from typing import Any

import pytest

from breathing_room.core.events import PanelReported
from breathing_room.core.wire import history_body, presence_body
from hosts.worker.objects import Wire
from room_adapter import Objects
from written import line, read

STORIES = read("stories.json")["worker"]
SIZES = {"one_object": 20, "several_objects": 4}


def asleep(name: str) -> Objects:
    """Make the objects of a room, all of them asleep."""
    written = read(f"worker/{name}.json")
    objects = Objects(
        sockets_per_object=SIZES[name],
        push_ms=1_000,
        heartbeat_ms=60_000,
        panel_size=10,
        rate_propagation_ms=10_000,
        history_fallback=True,
    )
    objects.clock.at_ms = written["at_ms"]
    for shard, kept in written["objects"].items():
        one = objects[int(shard)]
        one.alarm_at_ms = kept["alarm_at_ms"]
        one.rows = {row: b64decode(value) for row, value in kept["rows"].items()}
        one.wires = [Wire(int(shard), attached=attached) for attached in kept["attachments"]]
    return objects


class Player:
    """Plays a story on the objects of a room."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.wires = objects.wires
        self.began_ms = objects.clock.at_ms

    async def act(self, name: str, *arguments: Any) -> str:
        """Play one scene; return the presence and the connections of each object, or what the scene reads."""
        objects = self.objects
        match name, arguments:
            case "join", (visitor, mood):
                self.wires.append(await objects.join(visitor, mood))
            case "send", (index, type_, more):
                await objects.send(self.wires[index], type_, **more)
            case "close", (index, code):
                await objects.part(self.wires[index], code)
            case "report", (visitor, ticket, mood):
                room = await objects.awake(0)
                room.feed(PanelReported(room.visitor_key(visitor.ljust(16, "-")), ticket, mood))
            case "wait", (length_ms,):
                await objects.pass_ms(length_ms)
            case "sleep", ():
                objects.sleep()
            case "crash", ():
                for one in objects.objects.values():
                    one.crash()
            case "usual", ():
                return json.dumps(history_body("lobby", (await objects.awake(0)).platform.history())["hours"])
            case "heard", ():
                return " · ".join(map(heard, self.wires))
            case _:
                assert name == "read"
        room = await objects.awake(0)
        sockets = [len(one.wires) for one in objects.objects.values()]
        return f"{line(presence_body(room.presence()), self.began_ms)}; sockets {sockets}"


def heard(wire: Wire) -> str:
    """Return the last message of a connection, without the time."""
    if wire.closed is not None:
        return f"closed {wire.closed}"
    last = wire.received[-1] if wire.received else {}
    if "mood_intervals" in last:
        return line(last, 0).partition(", +")[0]
    return json.dumps({name: last.get(name) for name in ("type", "count", "moods")})


@pytest.mark.parametrize(
    ("name", "title"), [(name, title) for name, stories in STORIES.items() for title in stories]
)
async def test_objects_go_on_from_their_rows_and_sockets(name: str, title: str) -> None:
    """
    Connections of members, observers and document clients resume, also those without join or observe yet, and
    visitors with connections to several objects are counted once; after a deploy, which drops all
    connections, the last known count is stale until all have reconnected.
    """
    player = Player(asleep(name))
    said = [await player.act(*scene) for scene in STORIES[name][title]]
    assert said == read(f"worker/{name}.json")[title]
