"""The people, and what they feel."""

from statistics import fmean

import pytest

from breathing_room.core.config import RoomConfig
from breathing_room.lab.sim.chance import Stream, VisitorRandom, stream_key
from breathing_room.lab.sim.people import MoodModel, MoodProcess
from breathing_room.lab.sim.scenario import CrowdSettings, parse
from breathing_room.lab.sim.simulation import Simulation

KEY = stream_key(1, Stream.MOODS)


def test_moods_are_always_spread_by_their_weights() -> None:
    """On coming, after a while and after a long time, each mood has its share within five standard errors."""
    crowd = CrowdSettings(moods={"gratitude": 5, "release": 3, "unspoken": 2}, mood_changes=2.0)
    mood_model = MoodModel(crowd, RoomConfig())
    minds = [MoodProcess(mood_model, VisitorRandom(KEY, number), 0) for number in range(20_000)]
    for at_ms in (0, 200_000, 3_600_000):
        for mood_process in minds:
            while mood_process.changes_at_ms <= at_ms:
                mood_process.change()
        names = [mood_process.name for mood_process in minds]
        for mood, share in (("gratitude", 0.5), ("release", 0.3), ("unspoken", 0.2), ("presence", 0.0)):
            assert abs(names.count(mood) / 20_000 - share) <= 5 * (share * (1 - share) / 20_000) ** 0.5


@pytest.mark.parametrize("moods", [{}, {"gratitude": 9, "release": 1}])
def test_a_visit_has_so_many_changes(moods: dict[str, float]) -> None:
    """With any weights, a mean visit has the intended number of changes, and each is to another mood."""
    mood_model = MoodModel(CrowdSettings(moods=moods, mood_changes=1.5), RoomConfig())
    changes = []
    for number in range(4_000):
        mood_process, count = MoodProcess(mood_model, VisitorRandom(KEY, number), 0), 0
        while mood_process.changes_at_ms <= 900_000:
            former = mood_process.mood
            mood_process.change()
            assert mood_process.mood != former
            count += 1
        changes.append(count)

    assert fmean(changes) == pytest.approx(1.5, abs=0.1)


@pytest.mark.parametrize("crowd", [CrowdSettings(mood_changes=0), CrowdSettings(moods={"release": 1})])
def test_some_never_feel_otherwise(crowd: CrowdSettings) -> None:
    """Without changes, or with one mood to choose from, a mood does not change."""
    mood_process = MoodProcess(MoodModel(crowd, RoomConfig()), VisitorRandom(KEY, 1), 0)
    assert mood_process.changes_at_ms > 10**15


def test_every_kind_of_people_is_counted() -> None:
    """Polling, connected and legacy visitors together: the count is near the truth, and each kind costs what
    it should.
    """
    scenario = parse(
        "[run]\nhours = 0.5\nwarm_up_minutes = 15\n[crowd]\npeople = 300\nkinds = { poll = 1, socket = 1, legacy = 1 }"
    )
    result = Simulation(scenario, 4, mode="exact").run()
    observations = result.observations

    ratios = [(seen.presence.count or 0) / seen.truth for seen in observations]
    assert fmean(ratios) == pytest.approx(1, abs=0.1)
    covered = [
        seen.presence.low <= seen.truth <= seen.presence.high  # type: ignore[operator]
        for seen in observations
    ]
    assert sum(covered) >= 24
    assert all(sum(observation.moods) == observation.truth for observation in observations)
    meter = result.meter
    assert meter.connects == pytest.approx(100 + 300, rel=0.25)
    assert meter.messages_out > meter.connects
    # A first report, one change of mood in a visit, and 3 % of 30 heartbeats.
    assert meter.legacy_reports == pytest.approx(400 + 300 + 0.03 * 100 * 90, rel=0.25)
    assert meter.polls > 100 * 90


def test_lost_packets_are_made_up_for() -> None:
    """With one packet in ten lost, all who are sampled are still counted: reports are repeated until they are
    acknowledged.
    """
    scenario = parse(
        "[run]\nhours = 0.25\nwarm_up_minutes = 15\n[crowd]\npeople = 100\nleaves_share = 1\n[wires]\nloss_share = 0.1\ndelay_ms = 100"
    )
    observations = Simulation(scenario, 5, mode="exact").run().observations

    assert all(abs(observation.presence.count - observation.truth) <= 6 for observation in observations)  # type: ignore[operator]


def test_forgers_send_their_share() -> None:
    """Of all reports that arrive, half or three quarters are forged, as was asked for, and ids that lapse are
    renewed in time.
    """
    for share in (0.5, 0.75):
        scenario = parse(
            f"[run]\nhours = 0.3\nwarm_up_minutes = 5\n[crowd]\npeople = 100\n[forgers]\nshare = {share}\ntickets = 'drawn'"
        )
        simulation = Simulation(scenario, 6, mode="exact")
        meter = simulation.run().meter
        late = sum(
            simulation.server.reports_by_s.get(second, 0)
            for second in range(simulation.begins_ms // 1_000 + 300, simulation.ends_ms // 1_000)
        )
        assert meter.reports_forged / late == pytest.approx(share, abs=0.02)
