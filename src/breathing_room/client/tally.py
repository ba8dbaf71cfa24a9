"""What a crowd saw."""

import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Tally:
    """What a crowd saw. Instants are of the loop's clock, in seconds.

    Attributes:
        joined: People whom the room has welcomed.
        returned: Welcomes after a lost connection.
        left: People whose stay was over.
        mood_changes: Changes of mood.
        messages: Text messages received.
        bytes: Their bytes on the wire, with their frames' heads.
        ends: Connections that ended before we wanted, by close code, or attempts that failed, by reason.
        errors: Messages of ours that were not understood, by code.
        began_at_s: When the first was sent to join.
        last_join_at_s: When the last of the first ``people`` sent the join.
        gathered_at_s: When all of them were welcomed; None before.
        full_at_s: When each of them heard of everybody.
        stayed: How many were there when it ended; None before.
    """

    joined: int = 0
    returned: int = 0
    left: int = 0
    mood_changes: int = 0
    messages: int = 0
    bytes: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    began_at_s: float = 0.0
    last_join_at_s: float = 0.0
    gathered_at_s: float | None = None
    full_at_s: list[float] = field(default_factory=list)
    stayed: int | None = None

    def summary(self, people: int) -> dict[str, Any]:
        """Say it in plain values.

        Args:
            people: How many were to come.

        Returns:
            Times in milliseconds, counted from the first attempt (``gathered_ms``) and from the last join
            (``full_count_ms_…``); means per person; None for what did not happen.
        """
        full_ms = [1000 * max(at_s - self.last_join_at_s, 0.0) for at_s in self.full_at_s]
        gathered_s = None if self.gathered_at_s is None else self.gathered_at_s - self.began_at_s
        return {
            "joined": self.joined,
            "returned": self.returned,
            "left": self.left,
            "mood_changes": self.mood_changes,
            "gathered_ms": None if gathered_s is None else round(1000 * gathered_s),
            "joins_per_s": None if not gathered_s else round(people / gathered_s),
            "full_count_heard_by": len(full_ms),
            "full_count_ms_median": round(statistics.median(full_ms)) if full_ms else None,
            "full_count_ms_worst": round(max(full_ms)) if full_ms else None,
            "messages_per_person": round(self.messages / people, 2),
            "bytes_per_person": round(self.bytes / people, 1),
            "ends": dict(self.ends.most_common()),
            "errors": dict(self.errors.most_common()),
        }
