"""Statistics of a load generator."""

import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class LoadStats:
    """What every kind of load counts. Instants are of the loop's clock, in seconds.

    Attributes:
        joined: Joins that the room has answered.
        left: Participants whose visit was over.
        mood_changes: Changes of mood.
        ends: Connections that ended early, by close code, or attempts that failed, by reason.
        errors: Errors that the server answered, by code.
        began_at_s: When it began.
        gathered_at_s: When all participants had joined; None before.
        ended_at_s: When they began to leave; None before.
        present_at_end: How many were present then; None before.
    """

    joined: int = 0
    left: int = 0
    mood_changes: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    began_at_s: float = 0.0
    gathered_at_s: float | None = None
    ended_at_s: float | None = None
    present_at_end: int | None = None

    def sent(self) -> dict[str, int]:
        """Return the number of requests by kind."""
        return {}

    def end(self, at_s: float, present_at_end: int) -> None:
        """Record that the participants begin to leave."""
        self.ended_at_s = at_s
        self.present_at_end = present_at_end

    def summary(self, people: int) -> dict[str, Any]:
        """Return the statistics in plain values.

        Args:
            people: The number of participants.

        Returns:
            Times in milliseconds, counted from the beginning; None for what did not happen.
        """
        gathered_s = None if self.gathered_at_s is None else self.gathered_at_s - self.began_at_s
        return {
            "joined": self.joined,
            "left": self.left,
            "mood_changes": self.mood_changes,
            "gathered_ms": None if gathered_s is None else round(1000 * gathered_s),
            "joins_per_s": None if not gathered_s else round(people / gathered_s),
            "ends": dict(self.ends.most_common()),
            "errors": dict(self.errors.most_common()),
        }


@dataclass(slots=True)
class SocketLoadStats(LoadStats):
    """What a load over WebSockets counts.

    Attributes:
        returned: Joins after a lost connection.
        messages: Text messages received.
        bytes: Their bytes on the wire, with their frames' heads.
        last_join_at_s: When the last of the first ``people`` sent the join.
        full_at_s: When each of them received the full count.
    """

    returned: int = 0
    messages: int = 0
    bytes: int = 0
    last_join_at_s: float = 0.0
    full_at_s: list[float] = field(default_factory=list)

    def summary(self, people: int) -> dict[str, Any]:
        """Return the statistics in plain values; ``full_count_ms_…`` counts from the last join, and means are
        per person.
        """
        full_ms = [1000 * max(at_s - self.last_join_at_s, 0.0) for at_s in self.full_at_s]
        return LoadStats.summary(self, people) | {
            "returned": self.returned,
            "full_count_heard_by": len(full_ms),
            "full_count_ms_median": round(statistics.median(full_ms)) if full_ms else None,
            "full_count_ms_worst": round(max(full_ms)) if full_ms else None,
            "messages_per_person": round(self.messages / people, 2),
            "bytes_per_person": round(self.bytes / people, 1),
        }


@dataclass(slots=True)
class HttpLoadStats(LoadStats):
    """What a load over HTTP counts.

    Attributes:
        reads: Presences requested.
        reports: Reports sent.
        leaves: Leaves sent.
        shed: Reports that were shed.
        sent_until_end: The requests that were sent before the participants began to leave.
    """

    reads: int = 0
    reports: int = 0
    leaves: int = 0
    shed: int = 0
    sent_until_end: dict[str, int] = field(default_factory=dict)

    def end(self, at_s: float, present_at_end: int) -> None:
        """Note that the crowd begins to leave; the leaves that follow are no part of what it sends while it
        is there.
        """
        LoadStats.end(self, at_s, present_at_end)
        self.sent_until_end = self.sent()

    def sent(self) -> dict[str, int]:
        """Return the number of requests to a cache, and to the server."""
        return {"reads": self.reads, "reports": self.reports + self.leaves}

    def summary(self, people: int) -> dict[str, Any]:
        """Return the statistics in plain values; rates are means until the participants began to leave."""
        ran_s = (self.ended_at_s or 0.0) - self.began_at_s
        return LoadStats.summary(self, people) | {
            "reads": self.reads,
            "reports": self.reports,
            "leaves": self.leaves,
            "shed": self.shed,
            **{f"{kind}_per_s": round(count / ran_s, 1) for kind, count in self.sent_until_end.items()},
        }
