"""The crowd that is priced, and its figures in formulas.

Visitors arrive as a Poisson stream and visits are exponential, so N people and a mean visit T make ``N / T``
joins a second; what is done on joining and then every b is done ``1 + 1 / (e^(b/T) - 1)`` times in a visit.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from breathing_room.core.errors import ConfigError
from breathing_room.lab.cost.formula import Figure, exp, given

MONTH_DAYS: Final = 30
"""Days in a month, in the vendors' examples and here."""

PEOPLE_MAX: Final = 1_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class CrowdProfile:
    """The crowd that is priced.

    Attributes:
        people: How many at a time.
        visit_s: The mean visit.
        mood_changes: How often a person's mood changes in a visit.
        hours: How many hours a day the crowd is there.
        leaves_share: The share of leaves that arrive.
    """

    people: int = 10_000
    visit_s: Decimal = Decimal(900)
    mood_changes: Decimal = Decimal(1)
    hours: Decimal = Decimal(24)
    leaves_share: Decimal = Decimal("0.92")

    def __post_init__(self) -> None:
        """Reject values out of range."""
        if not 1 <= self.people <= PEOPLE_MAX:
            raise ConfigError(f"people must be from 1 to {PEOPLE_MAX:,}, not {self.people:,}")
        if not 0 < self.hours <= 24:
            raise ConfigError(f"hours must be above 0 and at most 24, not {self.hours}")
        if not 1 <= self.visit_s <= MONTH_DAYS * 86_400:
            raise ConfigError(f"a visit must be from 1 s to {MONTH_DAYS} days, not {self.visit_s:,} s")
        if not 0 <= self.mood_changes <= 1_000:
            raise ConfigError(f"mood changes must be from 0 to 1,000, not {self.mood_changes:,}")
        if not 0 <= self.leaves_share <= 1:
            raise ConfigError(f"the share of leaves that arrive must be from 0 to 1, not {self.leaves_share}")


class CrowdFigures:
    """A crowd as figures, and the formulas that all strategies share."""

    def __init__(self, profile: CrowdProfile) -> None:
        self.profile = profile
        self.people = given(profile.people, "people", "people")
        self.visit = given(profile.visit_s, "visit", "s")
        self.moods = given(profile.mood_changes, "moods", "a visit")
        self.leaves = given(profile.leaves_share, "leaves", "a visit")
        self.month = (MONTH_DAYS * given(profile.hours, "hours", "a day") * 3_600).named("month", "s")
        self.joins = (self.people * self.month / self.visit).named("joins", "a month")

    def repeats(self, every: Figure) -> Figure:
        """Return how often in a visit an action at an interval is repeated, not counting the join."""
        return 1 / (exp(every / self.visit) - 1)

    def polls(self, every: Figure) -> Figure:
        """Return polls a month: on joining, and then every so often."""
        return (self.joins * (1 + self.repeats(every))).named("polls", "a month")

    def reports_per_visit(self, heartbeat: Figure, *, mood_renews: bool) -> Figure:
        """Return the reports in a visit: joining, moods, the leave, and heartbeats in between.

        Args:
            heartbeat: The time between two heartbeats.
            mood_renews: Whether a change of mood is a heartbeat, too, so that the next is due a whole
                interval later.
        """
        if mood_renews:
            rate = (1 + self.moods).named("endings", "a visit: a change of mood, or its end")
            heartbeats = rate / (exp(rate * heartbeat / self.visit) - 1)
        else:
            heartbeats = self.repeats(heartbeat)
        return (1 + self.moods + self.leaves + heartbeats.named("heartbeats_per_visit", "a visit")).named(
            "reports_per_visit", "a visit"
        )

    def cached(self, lifetime: Figure, requests: Figure) -> Figure:
        """Return reads through one cache in a month: each takes a lifetime, and the wait for the next
        request.
        """
        return self.month / (lifetime + self.month / requests)

    def per_second(self, month: Figure, name: str, unit: str = "a second") -> Figure:
        """Convert a number a month to a rate per second."""
        return (month / self.month).named(name, unit)
