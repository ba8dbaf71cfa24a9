"""Publishing: presence, config and history as static files, so that a CDN or a plain file server answers every read.

A ``Publisher`` writes to a folder, or to a bucket of anything that speaks S3 (also GCS and Azure) through ``obstore``, which the
extra ``publish`` installs. At most every ``publish_ms`` it looks at what there is to publish, and writes what changed since, and
a presence whose time is half over. A reader thus never holds one that is no longer valid because nobody came or went.

A write that fails is logged and counted, and made up for the next time. Nothing waits for it: a host runs the publisher in
a task of its own, and a bucket that does not answer is given up on after ``publish_ms``.
"""

import asyncio
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote, urlsplit

from breathing_room.core.config import RoomConfig
from breathing_room.core.errors import HostError
from breathing_room.core.history import History
from breathing_room.core.presence import Presence
from breathing_room.core.wire import config_body, encode, history_body, presence_body
from breathing_room.ports import Clock

if TYPE_CHECKING:
    from obstore.store import ObjectStore

log = logging.getLogger("breathing_room.publish")

PUBLISH_MS: Final = 5_000


PATH: Final = re.compile(r"[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*\.json")


@dataclass(frozen=True, slots=True)
class Page:
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
            raise HostError(f"a page's path is lowercase names, slashes and .json, not {self.path!r:.80}")

    @property
    def facts(self) -> dict[str, Any]:
        """What it says, but for the time."""
        return {key: value for key, value in self.body.items() if key != "as_of_ms"}


def presence_path(room: str) -> str:
    """Say where the presence of a room is, below the address of the publisher."""
    return f"rooms/{room}/presence.json"


def presence_page(presence: Presence, *, max_age_s: int = 5) -> Page:
    """Publish who is in a room, as ``GET /v1/rooms/{room}`` answers it."""
    path = presence_path(presence.room)
    return Page(path, presence_body(presence), max_age_s, fresh_ms=presence.valid_ms // 2)


def config_page(
    room: str, config: RoomConfig, *, presence_url: str | None = None, max_age_s: int = 300
) -> Page:
    """Publish how a room works, without the time: it would be wrong when it is read."""
    body = config_body(room, config, now_ms=0, presence_url=presence_url)
    del body["now_ms"]
    return Page(f"rooms/{room}/config.json", body, max_age_s)


def history_page(room: str, history: History, *, max_age_s: int = 300) -> Page:
    """Publish the averages of a room by hour of the week, as ``GET /v1/rooms/{room}/history`` answers them.

    They move all the time, and by little: they are not written more often than a cache would look.
    """
    return Page(
        f"rooms/{room}/history.json", history_body(room, history), max_age_s, rest_ms=1_000 * max_age_s
    )


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the former one or the new one, never a part.

    Raises:
        OSError: It cannot be written.
    """
    # One name per process: what a crash leaves behind is written over.
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(content)
    beside.replace(path)


class Target(Protocol):
    """Where files go."""

    async def put(self, path: str, content: bytes, headers: Mapping[str, str]) -> None:
        """Put a whole file in place of the former one.

        Raises:
            Exception: Whatever the outside fails with.
        """


class Folder:
    """A folder, which a file server reads. It says itself what its files are and how long they may be kept."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def put(self, path: str, content: bytes, headers: Mapping[str, str]) -> None:
        """Write beside it, and rename."""
        del headers
        await asyncio.to_thread(self._put, self.path / path, content)

    @staticmethod
    def _put(path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)


class Bucket:
    """A bucket of an object store."""

    def __init__(self, store: "ObjectStore") -> None:
        self.store = store

    async def put(self, path: str, content: bytes, headers: Mapping[str, str]) -> None:
        """Put an object with its headers, which are the bucket's answer to every reader."""
        await self.store.put_async(path, content, attributes=dict(headers), use_multipart=False)


def open_target(url: str, options: Mapping[str, Any]) -> Target:
    """Find what an address names.

    Raises:
        HostError: It names nothing that can be written to, or ``obstore`` is missing.
    """
    scheme, is_url, _ = url.partition("://")
    if not is_url or scheme == "file":
        return Folder(Path(unquote(urlsplit(url).path)) if is_url else Path(url))
    try:
        from obstore.exceptions import BaseError  # noqa: PLC0415 - only who publishes to a bucket needs it
        from obstore.store import from_url  # noqa: PLC0415
    except ImportError:
        raise HostError("buckets need one more package: pip install 'breathing-room[publish]'") from None
    try:
        # What fails is tried again with the next round, and by then there is something newer to write. Addresses
        # without TLS are those that the operator wrote so, such as a server on this machine.
        settings: dict[str, Any] = {
            "client_options": {"allow_http": True},
            "retry_config": {"max_retries": 0},
        }
        return Bucket(from_url(url, **settings, **options))
    except (BaseError, ValueError) as error:
        # Only the scheme is repeated: the rest of an address may hold a password.
        raise HostError(f"cannot publish to this {scheme}:// address: {type(error).__name__}") from None


class Publisher:
    """Publishes pages, as seldom as may be.

    A host runs it beside itself::

        publisher = Publisher("s3://bucket/presence")
        task = asyncio.create_task(publisher.run(lambda: [presence_page(room.presence())], clock))

    Args:
        to: A folder, ``file:///folder``, or a bucket: ``s3://bucket/prefix``, ``gs://…``, ``az://…``. Credentials come from
            the environment, as the provider's own tools read them (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, …). Or a
            ``Target`` of the caller's own.
        publish_ms: The least time between two rounds, and the most that one may take.
        options: Settings of the bucket that go before those of the environment, by obstore's names.

    Attributes:
        published: Pages written.
        failed: Pages that could not be written; each is tried again with the next round.

    Raises:
        HostError: The address makes no sense.
    """

    def __init__(
        self, to: str | Target, *, publish_ms: int = PUBLISH_MS, options: Mapping[str, Any] | None = None
    ) -> None:
        self.publish_ms = publish_ms
        self.published = 0
        self.failed = 0
        self._target = open_target(to, options or {}) if isinstance(to, str) else to
        self._last: dict[str, tuple[Page, int]] = {}
        self._looked_at_ms: int | None = None

    async def run(self, pages: Callable[[], Iterable[Page]], clock: Clock) -> None:
        """Publish until cancelled.

        Args:
            pages: Says what there is to publish now.
            clock: Tells the time of ``as_of_ms``.
        """
        while True:
            await self.publish(pages(), now_ms=clock())
            await asyncio.sleep(self.publish_ms / 1_000)

    async def publish(self, pages: Iterable[Page], *, now_ms: int) -> int:
        """Write what changed or grew old, unless the last round was less than ``publish_ms`` ago.

        Args:
            pages: What there is to publish now.
            now_ms: The time.

        Returns:
            How many pages were written.
        """
        if not self.is_time(now_ms):
            return 0
        self._looked_at_ms = now_ms
        due = [page for page in pages if self._is_due(page, now_ms)]
        return sum(await asyncio.gather(*(self._put(page, now_ms) for page in due)))

    def is_time(self, now_ms: int) -> bool:
        """Tell whether the last round was at least ``publish_ms`` ago."""
        return self._looked_at_ms is None or not 0 <= now_ms - self._looked_at_ms < self.publish_ms

    def _is_due(self, page: Page, now_ms: int) -> bool:
        if page.path not in self._last:
            return True
        last, put_at_ms = self._last[page.path]
        if last.facts != page.facts:
            return now_ms - put_at_ms >= page.rest_ms
        return page.fresh_ms is not None and now_ms - last.body["as_of_ms"] >= page.fresh_ms

    async def _put(self, page: Page, now_ms: int) -> bool:
        age = page.max_age_s
        headers = {
            "Content-Type": "application/json",
            "Cache-Control": f"public, max-age={age}, stale-while-revalidate={age}",
        }
        try:
            async with asyncio.timeout(self.publish_ms / 1_000):
                await self._target.put(page.path, encode(page.body), headers)
        except Exception as error:  # noqa: BLE001 - a store may fail with anything, and the room must not know
            self.failed += 1
            # The message may hold the address, and that a token.
            log.error("%s could not be published: %s (debug says more)", page.path, type(error).__name__)
            log.debug("%s", error)
            return False
        self.published += 1
        self._last[page.path] = page, now_ms
        return True
