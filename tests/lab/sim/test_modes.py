"""Two modes, one behavior."""

from dataclasses import replace

import pytest

from breathing_room.lab.sim.result import RunResult
from breathing_room.lab.sim.scenario import Scenario, parse
from breathing_room.lab.sim.simulation import Simulation

STEADY = """
[run]
hours = 0.35
warm_up_minutes = 10
observe_every_s = 30
[crowd]
people = {people}
"""

SCENARIOS = {
    "three people": STEADY.format(people=3) + "visit_minutes = 5",
    "all are sampled": STEADY.format(people=150),
    "one in five is asked": STEADY.format(people=800) + "[room]\npanel_size = 150",
    "a crowd that comes and goes": STEADY.format(people=300)
    + "curve = [[0, 1], [0.25, 1], [0.27, 4], [0.3, 0.2]]\nvisit_minutes = 4\n[room]\npanel_size = 60",
    "a surge": STEADY.format(people=50) + "[surge]\nat_minutes = 5\nfactor = 40\n[room]\npanel_size = 60",
    "epochs that end": STEADY.format(people=200)
    + "visit_minutes = 3\n[room]\npanel_size = 50\nepoch_ms = 420_000\nheartbeat_ms = 60_000",
    "visits as long as an epoch": STEADY.format(people=60) + "[room]\npanel_size = 20\nepoch_ms = 600_000",
    "log-normal visits": STEADY.format(people=200) + 'visit = "log-normal"\n[room]\npanel_size = 40',
    "forgers": STEADY.format(people=300) + "[forgers]\nshare = 0.5\n[room]\npanel_size = 100",
}


def play(scenario: Scenario, seed: int, mode: str, *, keep: float = 1.0, rate: float = 1.0) -> RunResult:
    return Simulation(scenario, seed, mode=mode, keep=keep, rate=rate).run()


@pytest.mark.parametrize("name", SCENARIOS)
def test_modes_are_equal_to_the_last_bit(name: str) -> None:
    """On one seed both give the same presences at every observation, reports in every second, and operations
    of every kind.
    """
    scenario = parse(SCENARIOS[name])
    exact, fast = play(scenario, 11, "exact"), play(scenario, 11, "fast")

    assert [observation.presence for observation in fast.observations] == [
        observation.presence for observation in exact.observations
    ]
    assert [
        (observation.truth, observation.effective_rate, observation.seats)
        for observation in fast.observations
    ] == [
        (observation.truth, observation.effective_rate, observation.seats)
        for observation in exact.observations
    ]
    assert fast.reports_by_s == exact.reports_by_s
    assert fast.meter == exact.meter
    assert len(exact.observations) == 42
    assert exact.meter.reports > 0


def test_an_imperfect_network_is_one_behavior_too() -> None:
    """Where packets are lost and late, mode fast loses only those of polls that matter: reports arrive as
    often, within 10 %.
    """
    scenario = parse(
        STEADY.format(people=400) + "[wires]\nloss_share = 0.05\ndelay_ms = 200\n[room]\npanel_size = 100"
    )
    exact, fast = (play(scenario, 3, mode) for mode in ("exact", "fast"))

    assert fast.meter.reports == pytest.approx(exact.meter.reports, rel=0.1)
    assert fast.meter.polls == pytest.approx(exact.meter.polls, rel=0.02)


def test_cohorts_cost_and_count_as_individuals() -> None:
    """With all but one in 16 as cohorts, a fast has the same size, reports, reads and polls within what
    chance explains.
    """
    scenario = parse(STEADY.format(people=4_000) + "[room]\npanel_size = 60\npush_ms = 60_000")
    rate = 0.03
    whole = [play(scenario, seed, "fast", rate=rate) for seed in range(4)]
    thin = [play(scenario, seed, "fast", rate=rate, keep=1 / 16) for seed in range(20, 24)]

    def mean(results: list[RunResult], name: str) -> float:
        return float(sum(getattr(result.meter, name) for result in results)) / len(results)

    truths = [
        sum(observation.truth for result in results for observation in result.observations)
        / sum(len(result.observations) for result in results)
        for results in (whole, thin)
    ]
    # One visit of 4,000 people, and a third: four runs know the mean to 0.7 %.
    assert truths[1] == pytest.approx(truths[0], rel=0.03)
    assert mean(thin, "person_ms") == pytest.approx(mean(whole, "person_ms"), rel=0.03)
    polls_per_ms = [mean(results, "polls") / mean(results, "person_ms") for results in (whole, thin)]
    assert polls_per_ms[1] == pytest.approx(polls_per_ms[0], rel=0.002)
    assert mean(thin, "config_fetches") == pytest.approx(mean(whole, "config_fetches"), rel=0.03)
    assert mean(thin, "presence_reads") == pytest.approx(mean(whole, "presence_reads"), rel=0.01)
    # About 660 reports a run, of 60 people who report up to seven times each.
    assert mean(thin, "reports") == pytest.approx(mean(whole, "reports"), rel=0.2)
    errors = [
        abs(seen.presence.count - seen.truth) / seen.truth  # type: ignore[operator]
        for result in thin
        for seen in result.observations
    ]
    assert 0.02 < sum(errors) / len(errors) < 0.25


def test_a_rate_above_the_bound_is_found() -> None:
    """When a rate would ask people who do not exist, the run is played again with more of them."""
    from breathing_room.lab.sim import simulation  # noqa: PLC0415

    scenario = parse(STEADY.format(people=2_000) + "[room]\npanel_size = 60")
    scenario = replace(scenario, run=replace(scenario.run, mode="fast", hours=0.05))
    with pytest.raises(simulation.RateOverBoundError):
        play(scenario, 1, "fast", keep=0.02, rate=0.03)
    margin, simulation.KEEP_MARGIN = simulation.KEEP_MARGIN, 0.1  # type: ignore[misc]
    try:
        result = simulation.simulate(replace(scenario, run=replace(scenario.run, rate=0.001)), 1)
    finally:
        simulation.KEEP_MARGIN = margin  # type: ignore[misc]

    assert result.keep >= 0.001
    assert all(observation.presence.sample_rate <= result.keep for observation in result.observations)
