"""The routes of a Worker with ``backend = "kv"``: store mode at an edge, which counts only a panel of polling
clients.

Each report of a panel member is a key of its own, and the cron runs ``reconcile``
(``hosts/common/store_mode``). A presence that was read is cached for ``presence_max_age_s``, so a report
shows in it as much later. The platform's prices and limits shape the rest:

- A report is a write, and a write costs 33 times what a request of an object does. A thousand a day are free:
  with those of ``reconcile`` that is no panel at all. This mode is for paid plans on which Durable Objects
  are no option. With the policy ``bucketed``, reports go to one object for each room, which writes those of
  ten seconds as one batch; a batch is lost with its object.
- Reading a room is reading a key for every report of the last lease and two runs of ``reconcile``, of at most
  a thousand operations in one call: a panel of about 400 with the default ``heartbeat_ms``. So a longer
  ``presence_max_age_s`` and a smaller panel pay.
- A write shows in other places up to a minute later.
"""

from typing import Final

from breathing_room.core.admission import reject_legacy_report
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

    In a Worker each request has a writer of its own, since two requests must not share anything that waits;
    cached presences are shared. In an object all requests share one writer, which collects batches.
    """

    def __init__(self, worker: WorkerConfig, store: Store, *, collects: bool = False) -> None:
        self.worker = worker
        self.clock = WallClock()
        self._store = store
        self._collecting = EdgeWriter(store, worker, {}) if collects else None
        self._presences: dict[str, tuple[Presence, int]] = {}

    async def answer(self, name: str, route: str, request: HttpRequest) -> Answer:
        """Answer the routes that ``Routes`` does not.

        Raises:
            ClientError: The request is wrong, or store mode does not serve it.
        """
        bytes_max = self.worker.server.body_bytes_max
        match route:
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
                reject_legacy_report()
        raise NotFoundError

    async def ask_room(self, name: str, path: str) -> bytes:
        """Read a presence; there are no averages in store mode.

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
    """A writer of one request."""

    def __init__(
        self, store: Store, worker: WorkerConfig, presences: dict[str, tuple[Presence, int]]
    ) -> None:
        super().__init__(store, worker.store_mode)
        self._presences = presences

    async def presence(self, room: str) -> Presence:
        """Return the presence of a room, from the cache of this isolate if that is recent enough."""
        max_age_ms = 1_000 * self.config.server.presence_max_age_s
        presence, read_at_ms = self._presences.get(room, (None, 0))
        if presence is None or self.clock() - read_at_ms >= max_age_ms:
            presence = await super().presence(room)
            if len(self._presences) >= PRESENCES_MAX:
                self._presences.clear()
            self._presences[room] = presence, self.clock()
        return presence
