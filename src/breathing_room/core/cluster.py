"""What everybody is told of a room of which several machines hold parts."""

from typing import NamedTuple

from breathing_room.core.config import RoomConfig
from breathing_room.core.presence import Facts, Presence, describe, read_label
from breathing_room.core.summary import NO_PEERS, Summary, facts


class Told(NamedTuple):
    """What everybody was told last.

    Attributes:
        announced: It, or None.
        announced_at_ms: When.
        label_shown: The figure that the label shows, or None.
    """

    announced: Facts | None
    announced_at_ms: int
    label_shown: int | None


class Whole:
    """What everybody is told of a room of which we hold a part.

    Args:
        room: Its name.
        config: How it works.
        now_ms: Our time.
    """

    def __init__(self, room: str, config: RoomConfig, *, now_ms: int) -> None:
        self.room = room
        self.config = config
        self.others = NO_PEERS
        self._label_shown: int | None = None
        self._announced: Facts | None = None
        self._announced_at_ms = now_ms - config.push_ms

    @property
    def told(self) -> Told:
        """What everybody was told last, to go on with after a sleep."""
        return Told(self._announced, self._announced_at_ms, self._label_shown)

    def wake(self, told: Told) -> None:
        """Go on after a sleep."""
        self._announced, self._announced_at_ms, self._label_shown = told

    def tell_apart(self, own: Summary, claims: int) -> None:
        """Somebody alone is told who is there. If the others do not know that, everybody will be told, even if it is taken back."""
        if self._announced is not None and self.facts(own, claims) != self._announced:
            self._announced = None

    def facts(self, own: Summary, claims: int) -> Facts:
        """Say what is known of the whole room.

        Args:
            own: Our part of it.
            claims: How many visitors came in here whose claims we have not read in the log.
        """
        others = self.others
        return facts(
            [own, *others.summaries],
            self.config,
            moving=0 if others.unread is None else others.unread + claims,
            returned=min(others.silent_unread + claims, sum(others.silent)),
            silent=others.silent,
            newcomers=others.newcomers,
            stale=others.stale,
        )

    def presence(self, own: Summary, claims: int, *, now_ms: int) -> Presence:
        """Say who is in the whole room now."""
        known = self.facts(own, claims)
        return describe(self.room, self.config, known, at_ms=now_ms, label_shown=self._label_shown)

    def announce(self, own: Summary, claims: int, *, push_ms: int, now_ms: int) -> Presence | None:
        """Say what to tell everybody, if anything has changed and it is time.

        Args:
            own: Our part of the room.
            claims: As for ``facts``.
            push_ms: The least time between two announcements.
            now_ms: Our time.
        """
        if now_ms < self._announced_at_ms + push_ms:
            return None
        known = self.facts(own, claims)
        if known == self._announced:
            return None
        self._announced = known
        self._announced_at_ms = now_ms
        _, self._label_shown = read_label(known.count, known.low, known.high, shown=self._label_shown)
        return describe(self.room, self.config, known, at_ms=now_ms, label_shown=self._label_shown)
