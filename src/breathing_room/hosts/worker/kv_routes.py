"""What the Worker answers where rooms are kept in KV: nobody has a memory, so only a panel of those who poll is counted.

It is the stateless mode (``hosts/stateless``) at an edge. Each report that the panel asks for is a key of its own; the cron is the job.
The presence that was read is kept for ``presence_max_age_s``, so who reports is in it a little later. What the platform makes of it:

- A report is a write, and a write costs 33 times what a request of an object does. A thousand a day are free: with the job that
  is no panel at all. This mode is for those on a paid plan who must not have Durable Objects. With the policy ``bucketed`` reports go
  to one object for each room, which writes those of ten seconds as one; what it collected dies with it.
- To read a room is to read a key for every report of the last lease and two turns of the job, of at most a thousand operations in one
  call: a panel of about 400 with the usual beat. So it pays to keep the presence for longer, and the panel small.
- What is written here shows elsewhere up to a minute later.
"""

from typing import Final

from breathing_room.core.admission import refuse_legacy_report
from breathing_room.core.presence import Presence
from breathing_room.core.wire import encode_presence
from breathing_room.hosts.common.http.responses import Answer, NotFoundError, json_answer
from breathing_room.hosts.common.rooms.clock import WallClock
from breathing_room.hosts.common.store_mode.writer import Writer
from breathing_room.hosts.worker.routes import HttpRequest
from breathing_room.hosts.worker.settings import WorkerConfig
from breathing_room.ports import Store

PRESENCES_MAX: Final = 1_000


class KvRoutes:
    """The handlers, over a store.

    In a Worker each request has a writer of its own, since nothing that waits may be shared between two of them; what was read is shared.
    In an object all have one, which collects.
    """

    def __init__(self, worker: WorkerConfig, store: Store, *, collects: bool = False) -> None:
        self.worker = worker
        self.clock = WallClock()
        self._store = store
        self._collecting = EdgeWriter(store, worker, {}) if collects else None
        self._presences: dict[str, tuple[Presence, int]] = {}

    async def answer(self, name: str, asked: str, request: HttpRequest) -> Answer:
        """Answer what is not answered in front.

        Raises:
            ClientError: It makes no sense, or cannot be granted here.
        """
        bytes_max = self.worker.server.body_bytes_max
        match asked:
            case "/heartbeat":
                writer = await self._writer()
                return json_answer(
                    encode_presence(await writer.heartbeat(name, await request.read(bytes_max)))
                )
            case "/leave":
                writer = await self._writer()
                await writer.leave(name, await request.read(bytes_max))
                return Answer(204)
            case "/api/heartbeat":
                refuse_legacy_report()
        raise NotFoundError

    async def ask_room(self, name: str, path: str) -> bytes:
        """Get a presence; of averages there are none.

        Raises:
            ClientError: ``not_found``.
        """
        if path:
            raise NotFoundError
        return encode_presence(await (await self._writer()).presence(name))

    async def _writer(self) -> "EdgeWriter":
        writer = self._collecting or EdgeWriter(self._store, self.worker, self._presences)
        await writer.start()
        return writer


class EdgeWriter(Writer):
    """A writer for the length of one request."""

    def __init__(
        self, store: Store, worker: WorkerConfig, presences: dict[str, tuple[Presence, int]]
    ) -> None:
        super().__init__(store, worker.stateless)
        self._presences = presences

    async def presence(self, room: str) -> Presence:
        """Say who is in a room, as somebody here read it a moment ago."""
        max_age_ms = 1_000 * self.config.server.presence_max_age_s
        presence, read_at_ms = self._presences.get(room, (None, 0))
        if presence is None or self.clock() - read_at_ms >= max_age_ms:
            presence = await super().presence(room)
            if len(self._presences) >= PRESENCES_MAX:
                self._presences.clear()
            self._presences[room] = presence, self.clock()
        return presence
