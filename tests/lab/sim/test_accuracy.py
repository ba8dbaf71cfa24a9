"""How accurate the panel is: a small version of the table in ``docs/topics/estimation.md``, and of its baselines.

The bounds are wider than the targets by what so few looks leave open; ``breathing-room simulate accuracy --looks 2000`` has them all.
"""

from statistics import fmean

import pytest

from breathing_room.lab.sim.result import Checkpoint, mood_score, score
from breathing_room.lab.sim.scenario import load
from breathing_room.lab.sim.simulation import simulate
from tiers import longer

ACCURACY = load(
    "accuracy",
    {
        "run": {"hours": 3.75, "estimators": ["panel", "coin", "coin_forced", "write_rate"]},
        "room": {"panel_size": longer(60, 400)},  # a seventh of the work, and of what there is to know
    },
)
SIZES = (10, 40, 500, 50_000)
RUNS = longer(2, 10)

pytestmark = pytest.mark.soak


def least_covered(looks: int) -> int:
    """Say how many of some intervals of 95 % hold the truth at least, but for once in 500 times."""
    chance, held = 0.05**looks, 0
    below = chance
    while below <= 1 / 500:
        held += 1
        chance *= 19 * (looks - held + 1) / held
        below += chance
    return held


@pytest.fixture(scope="module")
def looks() -> dict[int, list[Checkpoint]]:
    """Play every crowd: five looks a run, three mean stays apart, with a surge before every one of them."""
    return {
        people: [look for seed in range(RUNS) for look in simulate(ACCURACY.of(people), seed).looks]
        for people in SIZES
    }


def test_the_panel_has_no_bias_and_the_error_of_theory(looks: dict[int, list[Checkpoint]]) -> None:
    """At each size the bias is within 3.5 of its own standard errors, and what is published within half a person more; the error is that of theory within what so few looks know."""
    for people, seen in looks.items():
        panel = score("panel", [seen], independent=True)
        assert panel is not None
        assert panel.bound is not None
        assert panel.bias_error is not None
        assert abs(panel.bias) <= 3.5 * panel.bias_error + 0.5 / people
        before_rounding = fmean(look.raw_count - look.truth for look in seen) / people
        assert abs(before_rounding) <= 3.5 * panel.bias_error
        # A root mean square of n normal errors has a relative standard error of 1 / sqrt(2 n).
        assert panel.rmse / panel.bound == pytest.approx(
            1, abs=3.5 / (2 * len(seen)) ** 0.5 + 0.5 / (panel.bound * people)
        )


def test_intervals_hold_the_truth(looks: dict[int, list[Checkpoint]]) -> None:
    """Of 40 looks at all sizes at least 33 intervals hold, which chance alone misses once in 500 times; of moods at least 75 %."""
    seen = [look for those in looks.values() for look in those]
    assert len(seen) == 20 * RUNS
    assert least_covered(40) == 33
    held = sum(look.presence.low <= look.truth <= look.presence.high for look in seen)  # type: ignore[operator]
    assert held >= least_covered(len(seen))
    moods = mood_score(seen)
    assert moods.looks >= 4
    assert moods.coverage is not None
    assert moods.coverage >= 0.75


def test_the_documents_figure_is_four_and_eight_times_the_truth(looks: dict[int, list[Checkpoint]]) -> None:
    """Taken literally, coins show 3.8 times the truth, and with forced first beats 8 times."""
    coin, forced = (score(name, [looks[50_000]], independent=True) for name in ("coin", "coin_forced"))

    assert coin is not None
    assert forced is not None
    assert coin.ratio == pytest.approx(3.8, abs=0.1)
    assert forced.ratio == pytest.approx(8.0, abs=0.2)
    assert coin.bound is coin.coverage is None


def test_joins_alone_know_the_crowd(looks: dict[int, list[Checkpoint]]) -> None:
    """Counted from joins, the crowd is right on average within three standard errors and 4 %, which stays that nobody saw end may cost."""
    for people in (40, 500, 50_000):
        found = score("write_rate", [looks[people]], independent=True)
        assert found is not None
        assert found.bias_error is not None
        assert abs(found.bias) <= 3 * found.bias_error + 0.04
        assert found.coverage is not None
        assert found.coverage >= 0.6
