"""What only the room itself can answer over HTTP. The Worker in front (``routes.py``) answers the rest, and keeps what caches may keep."""

import hmac
from dataclasses import asdict
from typing import Final

from breathing_room.core.config import UNSPOKEN
from breathing_room.core.errors import PeerError
from breathing_room.core.events import Reported, Tossed, Withdrew
from breathing_room.core.tickets import ticket
from breathing_room.core.wire import (
    check_visitor,
    decode_object,
    decode_report,
    encode,
    encode_presence,
    history_body,
)
from breathing_room.hosts.common.http import document_api
from breathing_room.hosts.common.http.responses import Answer, json_answer
from breathing_room.hosts.worker.host import RoomHost
from breathing_room.hosts.worker.request import Request

# Who the network says is at the other end. It is hashed at once, under a key that the memory of the object holds.
ADDRESS: Final = "cf-connecting-ip"


class RoomRoutes:
    """The handlers, over one room."""

    def __init__(self, room: RoomHost) -> None:
        self.room = room
        self.host = room.host

    async def answer(self, asked: str, request: Request) -> Answer:
        """Answer a request.

        Args:
            asked: A key of ``OF_A_ROOM`` or ``OF_ALL``.
            request: It.

        Raises:
            PeerError: It makes no sense, or cannot be granted now.
        """
        match asked:
            case "/beat":
                return await self.beat(request)
            case "/leave":
                return await self.leave(request)
            case "/migration":
                return self.migration(request)
            case "/history":
                return json_answer(encode(history_body(self.room.name, self.room.history())))
            case "/api/heartbeat":
                return await self.heartbeat(request)
            case _:
                return json_answer(encode_presence(self.room.presence()))

    async def beat(self, request: Request) -> Answer:
        """Take a sign of life of somebody without a socket."""
        room = self.room
        body = await request.read(self.host.config.body_bytes_max)
        report = decode_report(body, room.config.moods, epoch=room.epoch)
        self.host.config.check_visitor(report.visitor, room=room.name, wall_ms=self.host.clock.wall_ms())
        drawn = ticket(report.visitor, room=room.name, epoch=report.epoch)
        self.host.counters.reports += 1
        if drawn < room.room.panel.rate:
            self._spend()
            prefix = self.host.prefixes.capped(
                request.header(ADDRESS), None, wall_ms=self.host.clock.wall_ms()
            )
            room.report(Reported(room.visitor_key(report.visitor), drawn, report.mood, prefix))
        else:
            self.host.counters.reports_outside += 1
        return json_answer(encode_presence(room.presence()))

    async def leave(self, request: Request) -> Answer:
        """Take a goodbye of somebody without a socket."""
        body = decode_object(await request.read(self.host.config.body_bytes_max))
        visitor = check_visitor(body.get("visitor"))
        wall_ms = self.host.clock.wall_ms()
        self.host.config.check_visitor(visitor, room=self.room.name, wall_ms=wall_ms, leaving=True)
        self.room.report(Withdrew(self.room.visitor_key(visitor)))
        return Answer(204)

    def migration(self, request: Request) -> Answer:
        """Answer how far the room is on its way out of KV, to whoever holds the operator's token.

        Raises:
            PeerError: ``not_found``, ``token_needed`` or ``wrong_token``.
        """
        token = self.host.config.admin_token
        if not token:
            raise PeerError("not_found", "there is nothing here", status=404)
        scheme, _, shown = (request.header("authorization") or "").partition(" ")
        if scheme.lower() != "bearer":
            raise PeerError("token_needed", "show the operator's token to see this", status=401)
        if not hmac.compare_digest(shown.strip().encode(), token.encode()):
            raise PeerError("wrong_token", "this is not the operator's token", status=403)
        return json_answer(encode(asdict(self.room.progress())))

    async def heartbeat(self, request: Request) -> Answer:
        """Take a heartbeat of the planning document's app."""
        body = await request.read(self.host.config.body_bytes_max)
        heartbeat = document_api.decode_heartbeat(body, self.room.config.moods)
        if self.host.config.signing_key:
            raise PeerError(
                "unsigned_visitor",
                "clients that flip coins cannot be counted where ids are signed",
                status=403,
            )
        self.host.counters.reports += 1
        self._spend()
        self.room.feed(Tossed(self.room.visitor_key(heartbeat.visitor), heartbeat.mood or UNSPOKEN))
        return json_answer(encode(document_api.presence_body(self.room.presence())))

    def _spend(self) -> None:
        """Pay for a report.

        Raises:
            PeerError: ``over_budget``.
        """
        try:
            self.room.budget.spend(self.host.clock.now_ms())
        except PeerError:
            self.host.counters.reports_shed += 1
            raise
