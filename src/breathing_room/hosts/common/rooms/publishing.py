"""Publishing: presence, config and history as static files, so that a CDN or a plain file server answers every read.

A ``Publisher`` writes to a folder, or to a bucket of anything that speaks S3 (also GCS and Azure) through ``obstore``, which the
extra ``publish`` installs. At most every ``publish_ms`` it looks at what there is to publish, and writes what changed since, and
a presence whose time is half over. A reader thus never holds one that is no longer valid because nobody came or went.

A write that fails is logged and counted, and made up for the next time. Nothing waits for it: a host runs the publisher in
a task of its own, and a bucket that does not answer is given up on after ``publish_ms``.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import HostError
from breathing_room.core.history import History
from breathing_room.core.presence import Presence
from breathing_room.core.wire import config_body, encode, history_body, presence_body, presence_path
from breathing_room.ports import Clock, PublishTarget
from breathing_room.targets import open_target

log = logging.getLogger("breathing_room.publish")

PUBLISH_MS: Final = 5_000

PATH: Final = re.compile(r"[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*\.json")


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """Something to publish.

    Attributes:
        path: Where, below the address of the publisher.
        body: What, as JSON.
        max_age_s: How long a cache may answer for it.
        fresh_ms: How old ``as_of_ms`` may become before it is published anew, although nothing changed; None for any age.
        rest_ms: The least time between two writes of it, however it changes.
    """

    path: str
    body: Mapping[str, Any]
    max_age_s: int
    fresh_ms: int | None = None
    rest_ms: int = 0

    def __post_init__(self) -> None:
        """Refuse a path that leads elsewhere."""
        if not PATH.fullmatch(self.path):
            raise HostError(f"a file's path is lowercase names, slashes and .json, not {self.path!r:.80}")

    @property
    def facts(self) -> dict[str, Any]:
        """What it says, but for the time."""
        return {key: value for key, value in self.body.items() if key != "as_of_ms"}


def presence_file(presence: Presence, *, max_age_s: int = 5) -> PublishedFile:
    """Publish who is in a room, as ``GET /v1/rooms/{room}`` answers it."""
    path = presence_path(presence.room)
    return PublishedFile(path, presence_body(presence), max_age_s, fresh_ms=presence.stale_after_ms // 2)


def config_file(
    room: str, config: RoomConfig, *, presence_url: str | None = None, max_age_s: int = 300
) -> PublishedFile:
    """Publish how a room works, without the time: it would be wrong when it is read."""
    body = config_body(room, config, now_ms=0, presence_url=presence_url)
    del body["now_ms"]
    return PublishedFile(f"rooms/{room}/config.json", body, max_age_s)


def history_file(room: str, history: History, *, max_age_s: int = 300) -> PublishedFile:
    """Publish the averages of a room by hour of the week, as ``GET /v1/rooms/{room}/history`` answers them.

    They move all the time, and by little: they are not written more often than a cache would look.
    """
    return PublishedFile(
        f"rooms/{room}/history.json", history_body(room, history), max_age_s, rest_ms=1_000 * max_age_s
    )


class Publisher:
    """Publishes files, as seldom as may be.

    A host runs it beside itself::

        publisher = Publisher("s3://bucket/presence")
        files = lambda: [presence_file(room.presence(now_ms=clock()))]
        task = asyncio.create_task(publisher.run(files, clock))

    Args:
        to: A folder, ``file:///folder``, or a bucket: ``s3://bucket/prefix``, ``gs://…``, ``az://…``. Credentials come from
            the environment, as the provider's own tools read them (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, …). Or a
            ``PublishTarget`` of the caller's own.
        publish_ms: The least time between two rounds, and the most that one may take.
        options: Settings of the bucket that go before those of the environment, by obstore's names.

    Attributes:
        published: Files written.
        failed: Files that could not be written; each is tried again with the next round.

    Raises:
        HostError: The address makes no sense.
    """

    def __init__(
        self,
        to: str | PublishTarget,
        *,
        publish_ms: int = PUBLISH_MS,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.publish_ms = publish_ms
        self.published = 0
        self.failed = 0
        self._target = open_target(to, options or {}) if isinstance(to, str) else to
        self._last: dict[str, tuple[PublishedFile, int]] = {}
        self._looked_at_ms: int | None = None

    async def run(self, files: Callable[[], Iterable[PublishedFile]], clock: Clock) -> None:
        """Publish until cancelled.

        Args:
            files: Says what there is to publish now.
            clock: Tells the time of ``as_of_ms``.
        """
        while True:
            await self.publish(files(), now_ms=clock())
            await asyncio.sleep(self.publish_ms / 1_000)

    async def publish(self, files: Iterable[PublishedFile], *, now_ms: int) -> int:
        """Write what changed or grew old, unless the last round was less than ``publish_ms`` ago.

        Args:
            files: What there is to publish now.
            now_ms: The time.

        Returns:
            How many files were written.
        """
        if not self.is_time(now_ms):
            return 0
        self._looked_at_ms = now_ms
        due = [file for file in files if self._is_due(file, now_ms)]
        return sum(await asyncio.gather(*(self._put(file, now_ms) for file in due)))

    def is_time(self, now_ms: int) -> bool:
        """Tell whether the last round was at least ``publish_ms`` ago."""
        return self._looked_at_ms is None or not 0 <= now_ms - self._looked_at_ms < self.publish_ms

    def _is_due(self, file: PublishedFile, now_ms: int) -> bool:
        if file.path not in self._last:
            return True
        last, put_at_ms = self._last[file.path]
        if last.facts != file.facts:
            return now_ms - put_at_ms >= file.rest_ms
        return file.fresh_ms is not None and now_ms - last.body["as_of_ms"] >= file.fresh_ms

    async def _put(self, file: PublishedFile, now_ms: int) -> bool:
        age = file.max_age_s
        headers = {
            "Content-Type": "application/json",
            "Cache-Control": f"public, max-age={age}, stale-while-revalidate={age}",
        }
        try:
            async with asyncio.timeout(self.publish_ms / 1_000):
                await self._target.put(file.path, encode(file.body), headers)
        except Exception as error:  # noqa: BLE001 - a store may fail with anything, and the room must not know
            self.failed += 1
            # The message may hold the address, and that a token.
            log.error("%s could not be published: %s (debug says more)", file.path, type(error).__name__)
            log.debug("%s", error)
            return False
        self.published += 1
        self._last[file.path] = file, now_ms
        return True
