"""Who is there: the crowd that is priced, and its figures in formulas.

People come as a Poisson stream and stay for an exponential time, so with N people and a mean stay T there are ``N / T`` joins a
second; what is done on joining and then every b is done ``1 + 1 / (e^(b/T) - 1)`` times in a stay.
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
    """Who is there.

    Attributes:
        people: How many at a time.
        visit_s: How long they stay, on average.
        mood_changes: How often a person's mood changes in a stay.
        hours: How many hours a day they are there.
        leaves_share: The share of leaves that arrive.
    """

    people: int = 10_000
    visit_s: Decimal = Decimal(900)
    mood_changes: Decimal = Decimal(1)
    hours: Decimal = Decimal(24)
    leaves_share: Decimal = Decimal("0.92")

    def __post_init__(self) -> None:
        """Refuse a crowd that cannot be."""
        if not 1 <= self.people <= PEOPLE_MAX:
            raise ConfigError(f"people must be from 1 to {PEOPLE_MAX:,}, not {self.people:,}")
        if not 0 < self.hours <= 24:
            raise ConfigError(f"hours must be above 0 and at most 24, not {self.hours}")
        if not 1 <= self.visit_s <= MONTH_DAYS * 86_400:
            raise ConfigError(f"a stay must be from 1 s to {MONTH_DAYS} days, not {self.visit_s:,} s")
        if not 0 <= self.mood_changes <= 1_000:
            raise ConfigError(f"mood changes must be from 0 to 1,000, not {self.mood_changes:,}")
        if not 0 <= self.leaves_share <= 1:
            raise ConfigError(f"the share of leaves that arrive must be from 0 to 1, not {self.leaves_share}")


class CrowdFigures:
    """A crowd as figures, and the formulas that all strategies share."""

    def __init__(self, profile: CrowdProfile) -> None:
        self.profile = profile
        self.people = given(profile.people, "people", "people")
        self.stay = given(profile.visit_s, "stay", "s")
        self.moods = given(profile.mood_changes, "moods", "a stay")
        self.leaves = given(profile.leaves_share, "goodbyes", "a stay")
        self.month = (MONTH_DAYS * given(profile.hours, "hours", "a day") * 3_600).named("month", "s")
        self.joins = (self.people * self.month / self.stay).named("joins", "a month")

    def repeats(self, every: Figure) -> Figure:
        """Return how often in a stay is done what is done on joining and then every so often, the joining left out."""
        return 1 / (exp(every / self.stay) - 1)

    def polls(self, every: Figure) -> Figure:
        """Return polls a month: on joining, and then every so often."""
        return (self.joins * (1 + self.repeats(every))).named("polls", "a month")

    def reports_per_visit(self, heartbeat: Figure, *, mood_renews: bool) -> Figure:
        """Return the reports in a stay of a visitor who reports joining, moods and leaving, and otherwise sends heartbeats.

        Args:
            heartbeat: The time between two heartbeats.
            mood_renews: Whether a change of mood is a heartbeat, too, so that the next is due a whole interval later.
        """
        if mood_renews:
            rate = (1 + self.moods).named("endings", "a stay: a mood, or the stay itself")
            signs = rate / (exp(rate * heartbeat / self.stay) - 1)
        else:
            signs = self.repeats(heartbeat)
        return (1 + self.moods + self.leaves + signs.named("signs", "of life in a stay")).named(
            "reports_per_stay", "a stay"
        )

    def cached(self, lifetime: Figure, requests: Figure) -> Figure:
        """Return reads through one cache in a month: each takes a lifetime, and the wait for the next request."""
        return self.month / (lifetime + self.month / requests)

    def per_second(self, month: Figure, name: str, unit: str = "a second") -> Figure:
        """Return the rate of what is done so often in a month."""
        return (month / self.month).named(name, unit)
