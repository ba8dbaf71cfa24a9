"""Publishing: presence, config and history as static files, so that a CDN or a plain file server answers
every read.

A ``Publisher`` writes to a folder, or to an S3, GCS or Azure bucket through ``obstore``, which the extra
``publish`` installs. At most every ``publish_ms`` it writes the files that changed, and each presence that is
older than half of ``stale_after_ms``, so that the file of a room in which nothing changes does not become
stale.

A write that fails is logged and counted, and retried in the next round. Nothing waits for it: a host runs the
publisher in a task of its own, and a write to a bucket times out after ``publish_ms``.
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
    """A file to publish.

    Attributes:
        path: Its path below the address of the publisher.
        body: Its JSON content.
        max_age_s: How long a cache may serve it.
        fresh_ms: How old ``as_of_ms`` may become before an unchanged file is written again; None for any age.
        rest_ms: The least time between two writes of it.
    """

    path: str
    body: Mapping[str, Any]
    max_age_s: int
    fresh_ms: int | None = None
    rest_ms: int = 0

    def __post_init__(self) -> None:
        """Reject a path outside of the target."""
        if not PATH.fullmatch(self.path):
            raise HostError(
                f"path must be lowercase names separated by slashes and end in .json, not {self.path!r:.80}"
            )

    @property
    def content(self) -> dict[str, Any]:
        """The body without its time."""
        return {key: value for key, value in self.body.items() if key != "as_of_ms"}


def presence_file(presence: Presence, *, max_age_s: int = 5) -> PublishedFile:
    """Return the file of a presence, with the body of ``GET /v1/rooms/{room}``."""
    path = presence_path(presence.room)
    return PublishedFile(path, presence_body(presence), max_age_s, fresh_ms=presence.stale_after_ms // 2)


def config_file(
    room: str, config: RoomConfig, *, presence_url: str | None = None, max_age_s: int = 300
) -> PublishedFile:
    """Return the file of a room's config, without ``now_ms``, which would be wrong by the time it is read."""
    body = config_body(room, config, now_ms=0, presence_url=presence_url)
    del body["now_ms"]
    return PublishedFile(f"rooms/{room}/config.json", body, max_age_s)


def history_file(room: str, history: History, *, max_age_s: int = 300) -> PublishedFile:
    """Return the file of a room's history, with the body of ``GET /v1/rooms/{room}/history``.

    Averages change often and by little: the file is written at most once in ``max_age_s``.
    """
    return PublishedFile(
        f"rooms/{room}/history.json", history_body(room, history), max_age_s, rest_ms=1_000 * max_age_s
    )


class Publisher:
    """Publishes files when they changed or grew old.

    A host runs it in a task::

        publisher = Publisher("s3://bucket/presence")
        files = lambda: [presence_file(room.presence(now_ms=clock()))]
        task = asyncio.create_task(publisher.run(files, clock))

    Args:
        to: A folder, ``file:///folder``, or a bucket: ``s3://bucket/prefix``, ``gs://…``, ``az://…``.
            Credentials come from the environment, as the provider's own tools read them
            (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, …). Or any ``PublishTarget``.
        publish_ms: The least time between two rounds, and the timeout of a write.
        options: Options of the bucket, by obstore's names; they override the environment.

    Attributes:
        published: Files written.
        failed: Writes that failed; each is retried in the next round.

    Raises:
        HostError: The address is not valid.
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
            files: Returns the current files.
            clock: Returns the time in milliseconds, in the scale of ``as_of_ms``.
        """
        while True:
            await self.publish(files(), now_ms=clock())
            await asyncio.sleep(self.publish_ms / 1_000)

    async def publish(self, files: Iterable[PublishedFile], *, now_ms: int) -> int:
        """Write the files that changed or grew old, unless the last round was less than ``publish_ms`` ago.

        Args:
            files: The current files.
            now_ms: The time.

        Returns:
            The number of files written.
        """
        if not self.is_round_due(now_ms):
            return 0
        self._looked_at_ms = now_ms
        due = [file for file in files if self._is_due(file, now_ms)]
        return sum(await asyncio.gather(*(self._put(file, now_ms) for file in due)))

    def is_round_due(self, now_ms: int) -> bool:
        """Return whether the last round was at least ``publish_ms`` ago."""
        return self._looked_at_ms is None or not 0 <= now_ms - self._looked_at_ms < self.publish_ms

    def _is_due(self, file: PublishedFile, now_ms: int) -> bool:
        if file.path not in self._last:
            return True
        last, put_at_ms = self._last[file.path]
        if last.content != file.content:
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
        except Exception as error:  # noqa: BLE001 - a store may raise anything, and the room must go on
            self.failed += 1
            # The message may hold the URL, and that a token.
            log.error("%s could not be published: %s (see the debug log)", file.path, type(error).__name__)
            log.debug("%s", error)
            return False
        self.published += 1
        self._last[file.path] = file, now_ms
        return True
