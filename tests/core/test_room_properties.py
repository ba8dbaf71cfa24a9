"""Properties of the room: what must hold after every step of any trace."""

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from breathing_room.core.config import UNSPOKEN
from breathing_room.core.deadlines import DeadlineQueue
from breathing_room.core.effects import Close
from breathing_room.core.estimate.legacy_sampling import LegacySamplingEstimator
from breathing_room.core.events import (
    Disconnected,
    Event,
    Joined,
    Left,
    LegacyReported,
    MoodChanged,
    ObserverJoined,
    PanelReported,
    TimerFired,
)
from breathing_room.core.identity import Connection, VisitorKey
from breathing_room.core.members import Member
from breathing_room.core.panel import Panel, Seat
from breathing_room.core.room import Room
from breathing_room.core.snapshot import decode_snapshot
from core.playing import (
    ANN,
    BOB,
    QUICK,
    Broadcasted,
    Entry,
    Restart,
    Said,
    Start,
    Trace,
    events,
    happen,
    hibernating_starts,
    legacy,
    name_afresh,
    play,
    recount,
    restarts,
    said,
    starts,
    tickets,
    traces,
    visitor,
)

events_and_legacy = events | legacy
anything = events_and_legacy | restarts

# One seat is enough for this panel, so that the rate moves with a handful of visitors.
NARROW = Start(
    replace(QUICK, panel_size=1, rate_propagation_ms=150, reports_per_day=10_000_000, prefix_seats_max=1),
    unknown=False,
)
narrow_starts = st.just(NARROW)
large_panels = st.builds(
    PanelReported,
    st.integers(0, 15).map(lambda index: visitor(f"crowd {index}")),
    tickets,
    st.sampled_from([None, "calm", "glad"]),
)
forgers = st.builds(
    PanelReported,
    st.integers(0, 15).map(lambda index: visitor(f"crowd {index}")),
    tickets,
    st.sampled_from([None, "calm", "glad"]),
    st.sampled_from([None, b"here", b"there"]),
)


def check_state(room: Room) -> None:
    """Check how the parts of a room's state relate."""
    members = room.members
    people = list(members)
    assert members.tally == [
        sum(person.mood == mood for person in people) for mood in range(len(members.tally))
    ]
    suspect = [person.mood for person in people if person.suspect]
    assert room.suspect_count == len(suspect)
    assert members.suspect_tally == [suspect.count(mood) for mood in range(len(members.tally))]
    assert members.restored_count == sum(person.restored for person in people)
    assert members._by_connection == {
        connection: person for person in people for connection in person.connections
    }
    check_queue(members._deadlines, people)
    check_panel(room._panel)
    check_legacy(room._legacy)
    for key, person in members._by_visitor.items():
        assert person.key == key
        assert len(set(person.connections)) == len(person.connections)
        assert person.suspect >= person.restored, "a restored lease is suspect"
        assert not (person.connections and person.suspect), "a member with a connection is not suspect"
        assert not room._panel.holds(key), "a member has no seat"


def check_queue(queue: DeadlineQueue[Any], items: Collection[Any]) -> None:
    """Check that every lease is in the queue, and in time."""
    assert sorted(queue._times) == sorted(queue._waiting)
    for item in items:
        assert item.due_at_ms <= item.expires_at_ms, "the deadline is no later than the end of the lease"
        assert item in queue._waiting[item.due_at_ms], "every lease is in the queue"


def check_panel(panel: Panel) -> None:
    """Check how the parts of a panel's state relate."""
    seats = panel._seats.values()
    counted = [seat.mood for seat in seats if seat.ticket < panel.theta and not seat.over_quota]
    restored = [
        seat.mood for seat in seats if seat.ticket < panel.theta and seat.restored and not seat.over_quota
    ]
    assert panel.theta <= panel.rate <= 1.0
    assert panel._tally == [counted.count(mood) for mood in range(len(panel._tally))]
    assert panel._counted == len(counted)
    assert panel._restored_tally == [restored.count(mood) for mood in range(len(panel._tally))]
    assert panel._restored_counted == len(restored)
    check_prefixes(panel)
    assert panel._suspect_count == sum(seat.suspect for seat in seats)
    assert panel._restored_count == sum(seat.restored for seat in seats)
    assert panel._expired_counted == sum(ticket < panel.theta for _, ticket in panel._expired.values())
    assert not panel._expired.keys() & panel._seats.keys(), "a visitor with a seat has not expired"
    assert all(seat.ticket < panel.rate for seat in seats), "a seat has a ticket below the rate"
    check_queue(panel._deadlines, seats)


def check_prefixes(panel: Panel) -> None:
    """Check that no prefix exceeds its quota, and that no seat is over quota while the quota is not full."""
    over_quota = [seat for seat in panel._seats.values() if seat.over_quota]
    assert panel.over_quota_count == len(over_quota) <= panel._config.panel_size
    assert panel._over_quota_counted == sum(seat.ticket < panel.theta for seat in over_quota)
    for prefix in panel._prefixes.values():
        seats = [seat for seat in panel._seats.values() if seat.prefix is prefix]
        assert len(seats) == prefix.seats > 0
        assert set(prefix.over_quota) == {seat for seat in seats if seat.over_quota}
        assert prefix.counted <= panel.prefix_seats_max
        assert prefix.counted == panel.prefix_seats_max or not prefix.over_quota


def check_legacy(legacy: LegacySamplingEstimator) -> None:
    """Check how the parts of the state of legacy sampling relate."""
    moods = [mood for _, mood in legacy._repeats]
    assert legacy._tally == [moods.count(mood) for mood in range(len(legacy._tally))]
    for times in (legacy._repeats, legacy._sessions.values()):
        assert [at_ms for at_ms, _ in times] == sorted(at_ms for at_ms, _ in times)


# Seats that move to a prefix whose quota is full; once two were over quota, where one is allowed.
ZERO, ONE, TWO = (visitor(f"crowd {index}") for index in range(3))
MOVES_TO_A_FULL_PREFIX: Trace = [
    (0, PanelReported(ZERO, 0.0, None)),
    (0, PanelReported(ONE, 0.0, None, b"p")),
    (0, PanelReported(TWO, 0.0, None, b"p")),
    (0, PanelReported(ZERO, 0.0, None, b"p")),
]


@given(starts | narrow_starts, traces(anything | large_panels | forgers))
@example(NARROW, MOVES_TO_A_FULL_PREFIX)
def test_the_state_fits_together(start: Start, trace: Trace) -> None:
    """The sums that are kept equal those recomputed, and every lease is in the queue, after every step."""
    host = start.host()
    for pause_ms, happening in trace:
        happen(host, pause_ms, happening)
        check_state(host.room)


@given(starts | narrow_starts, traces(anything | large_panels | forgers))
def test_a_presence_is_consistent(start: Start, trace: Trace) -> None:
    """Moods sum to the count, the count lies in its interval, and unknown is in every field or none."""
    host = start.host()
    for pause_ms, happening in trace:
        happen(host, pause_ms, happening)
        presence = host.presence()
        cells = {**presence.moods, UNSPOKEN: presence.unspoken or 0}
        known = sum(presence.people.values())
        assert presence.count in {known, None}
        assert presence.mood_intervals.keys() == cells.keys()
        for mood, people in cells.items():
            low, high = presence.mood_intervals[mood] or (-1, -1)
            assert people is not None
            assert 0 <= low <= people
            assert (high is None) == (presence.count is None)
            assert high is None or people <= high
        assert presence.epoch == presence.as_of_ms // start.config.epoch_ms
        assert tuple(presence.moods) == start.config.moods
        assert min(*presence.people.values(), presence.low) >= 0
        if presence.count is None:
            assert (presence.method, presence.high, presence.label) == ("unknown", None, "unknown")
            assert presence.low <= known
        else:
            assert presence.high is not None
            assert presence.low <= presence.count <= presence.high
            assert presence.method in {"counted", "sampled", "stale"}
            assert presence.label != "unknown"


# No clock steps back here: a room whose timer has just fired remembers a later time than one that was
# resumed.
def restarts_with_legacy(trace: Trace) -> bool:
    """Return whether a trace has both; a needless timer dates the snapshot, and with it the time without
    legacy reports.
    """
    kinds = {type(happening) for _, happening in trace}
    return {Restart, LegacyReported} <= kinds


@given(
    starts | narrow_starts,
    traces(anything | large_panels, clock_steps_back=False),
    st.sets(st.integers(0, 40)),
)
def test_hibernation_is_invisible(start: Start, trace: Trace, hibernates: set[int]) -> None:
    """A room hibernated and resumed at any points has the same effects at the same times as one that never
    slept.
    """
    assume(not restarts_with_legacy(trace))
    awake = play(start.host(), trace)

    hibernated = start.host()
    for index, (pause_ms, happening) in enumerate(trace):
        happen(hibernated, pause_ms, happening)
        if index in hibernates:
            hibernated.hibernate()
    end_ms = hibernated.clock_ms + 400_000
    awake.wait_until(end_ms)
    hibernated.wait_until(end_ms)

    assert hibernated.log == awake.log


@given(starts | narrow_starts, traces(anything | large_panels, clock_steps_back=False))
def test_a_room_that_sleeps_after_every_step_acts_the_same(start: Start, trace: Trace) -> None:
    """A room hibernated after every step has the same effects as one that never slept."""
    assume(not restarts_with_legacy(trace))
    awake = play(start.host(), trace)
    hibernated = play(replace(start, hibernates=True).host(), trace)

    assert hibernated.log == awake.log
    assert hibernated.presence() == awake.presence()


@given(starts, traces(clock_steps_back=False), st.sets(st.integers(0, 5)))
def test_connections_lost_in_hibernation_are_disconnects(start: Start, trace: Trace, lost: set[int]) -> None:
    """A connection that is missing on resuming counts as disconnected, then and later."""
    awake, hibernated = play(start.host(), trace), play(start.host(), trace)
    awake.step(TimerFired())
    hibernated.step(TimerFired())
    for connection in sorted(lost & awake.connections.keys()):
        awake.step(Disconnected(connection))
        hibernated.remove(connection)
    hibernated.hibernate()
    for pause_ms in (0, start.config.grace_ms, start.config.lease_ms, 200_000):
        for host in (awake, hibernated):
            host.wait_until(host.clock_ms + pause_ms)
            host.step(TimerFired())
        assert said(hibernated.presence()) == said(awake.presence())


few_events = st.sampled_from(
    [
        Joined(0, ANN),
        Joined(1, BOB, "calm"),
        Joined(2, BOB),
        ObserverJoined(6),
        MoodChanged(0, "calm"),
        MoodChanged(0, UNSPOKEN),
        Left(0),
        Left(1),
        Left(2),
        Left(6),
        Disconnected(0),
    ]
)
bursts = st.lists(st.lists(few_events, max_size=8), min_size=1, max_size=5)


@given(starts | hibernating_starts, bursts)
@settings(max_examples=3 * settings().max_examples)
def test_clients_have_the_current_presence_in_the_end(start: Start, bursts: list[list[Event]]) -> None:
    """Once nothing changed for the time between two broadcasts, every open connection has the current
    presence.
    """
    host = start.host()
    for burst in bursts:
        for event in burst:
            host.step(event)
        host.wait_until_steady()
        received = {connection: said(presence) for connection, presence in host.received.items()}
        assert received == dict.fromkeys(host.connections, said(host.presence()))


@given(starts, traces(clock_steps_back=False))
def test_a_change_is_broadcast_within_push_ms(start: Start, trace: Trace) -> None:
    """The last presence of a connection was true at some instant of the last push_ms."""
    host = start.host()
    push_ms = max(
        start.config.push_ms, 60
    )  # six connections at 10 ms each, in the config with that pushes_per_s
    true_since: list[tuple[int, Said]] = []

    def note() -> None:
        true_since.append((host.clock_ms, said(host.presence())))
        before = sum(at_ms < host.clock_ms - push_ms for at_ms, _ in true_since)
        recently = [facts for _, facts in true_since[max(0, before - 1) :]]
        assert all(said(presence) in recently for presence in host.received.values())

    for pause_ms, event in trace:
        until_ms = host.clock_ms + pause_ms
        while host.next_timer_ms is not None and host.next_timer_ms <= until_ms:
            host.wait_until(host.next_timer_ms)
            note()
        happen(host, until_ms - host.clock_ms, event)
        note()


@given(starts, traces(anything, clock_steps_back=False))
def test_broadcasts_are_push_ms_apart(start: Start, trace: Trace) -> None:
    """The time between two broadcasts of one run is at least push_ms."""
    host = start.host()
    broadcast_at_ms = host.clock_ms - start.config.push_ms
    for pause_ms, happening in trace:
        log_before = len(host.log)
        if isinstance(happening, Restart):
            host.wait_until(host.clock_ms + pause_ms)
        else:
            happen(host, pause_ms, happening)
        for at_ms, _, effects in host.log[log_before:]:
            broadcasts = [effect for effect in effects if isinstance(effect, Broadcasted)]
            assert len(broadcasts) <= 1
            if broadcasts:
                assert at_ms - broadcast_at_ms >= start.config.push_ms
                assert broadcasts[0].presence.as_of_ms == at_ms
                broadcast_at_ms = at_ms
        if isinstance(happening, Restart):
            host.restart(down_ms=happening.down_ms)
            broadcast_at_ms = host.clock_ms - start.config.push_ms


@given(
    starts,
    # Not both at once: a timer dates the snapshot, and with it the time without legacy reports.
    traces(events | restarts, clock_steps_back=False) | traces(events_and_legacy, clock_steps_back=False),
    st.lists(st.integers(0, 500), min_size=1, max_size=10),
)
def test_extra_timers_are_harmless(start: Start, trace: Trace, extra_ms: list[int]) -> None:
    """A timer that fires early, even several times, changes no effect of the room."""
    steady = play(start.host(), trace)

    restless = start.host()
    for pause_ms, happening in trace:
        until_ms = restless.clock_ms + pause_ms
        for extra in extra_ms:
            if restless.clock_ms + extra < until_ms:
                restless.wait_until(restless.clock_ms + extra)
                restless.step(TimerFired())
        happen(restless, until_ms - restless.clock_ms, happening)

    assert restless.log == steady.log


def closed(log: list[Entry]) -> Counter[Connection]:
    """Count how often each connection was closed."""
    return Counter(close.connection for _, closes, _ in log for close in closes)


@given(starts, traces(clock_steps_back=False))
def test_late_timers_only_delay(start: Start, trace: Trace) -> None:
    """The state after an event does not depend on whether the timer ever fired before it."""
    punctual = start.host()
    untimed = start.host(fires=False)
    for pause_ms, event in name_afresh(trace):
        rejected = punctual.rejected_count
        happen(punctual, pause_ms, event)
        happen(untimed, pause_ms, event)
        assert untimed.rejected_count == punctual.rejected_count
        if punctual.rejected_count > rejected:
            continue  # A rejected event is no step.
        for host in (punctual, untimed):
            recount(
                host.room, host.clock_ms
            )  # Estimates are as of the last change: compare them at one instant.
        assert said(untimed.presence()) == said(punctual.presence())
        assert closed(untimed.log) == closed(punctual.log)
        assert untimed.room.members._by_connection.keys() == punctual.room.members._by_connection.keys()


@given(starts, traces(anything))
def test_nothing_is_left_without_events_for_longer_than_every_lease(start: Start, trace: Trace) -> None:
    """Without an event for longer than every lease the room is empty, keeps nothing and wants no timer."""
    host = play(start.host(), trace)
    host.wait_until(host.clock_ms + 8_000_000)  # The clock may have stepped back a good deal.
    room = host.room

    nothing = dict.fromkeys((*start.config.moods, UNSPOKEN), (0, 0))
    assert host.next_timer_ms is None
    assert said(host.presence()) == (0, 0, 0, "counted", dict.fromkeys(start.config.moods, 0), 0, nothing)
    assert (
        room.members._deadlines._waiting,
        room.members._deadlines._times,
        room.members._by_connection,
        room.members._by_visitor,
    ) == ({}, [], {}, {})
    assert (room._panel._seats, room._panel._expired, room._panel._deadlines._times) == ({}, {}, [])
    assert (len(room._legacy._sessions), len(room._legacy._repeats)) == (0, 0)
    assert all(key is None for key in host.connections.values()), "only observers may stay"


@given(starts, traces(clock_steps_back=False), st.integers(0, 160_000))
def test_a_restart_keeps_exactly_the_living(start: Start, trace: Trace, down_ms: int) -> None:
    """After a restart exactly the leases that have not expired are there, and all are suspect."""
    host = play(start.host(), trace)

    def leases() -> dict[VisitorKey, Member | Seat]:
        return {**host.room.members._by_visitor, **host.room._panel._seats}

    there: set[VisitorKey] = set(leases())
    ends = {key: one.expires_at_ms for key, one in leases().items()}

    was_unknown = host.presence().method == "unknown"

    host.restart(down_ms=down_ms)

    living = {key for key in there if ends[key] > host.clock_ms}
    presence = host.presence()
    assert set(leases()) == living
    assert presence.low == 0
    if was_unknown or (there and not living):
        assert (presence.count, presence.high, presence.method) == (None, None, "unknown")
    elif living:
        assert (presence.count, presence.high, presence.method) == (len(living), len(living), "stale")
    else:
        assert (presence.count, presence.method) == (0, "counted")
    assert all(ends[key] <= one.expires_at_ms <= ends[key] + 50 for key, one in leases().items()), (
        "a lease grows by less than a tick"
    )


@given(starts, traces(clock_steps_back=False))
def test_a_crash_loses_at_most_snapshot_ms(start: Start, trace: Trace) -> None:
    """A visitor who has been in one mood for longer than snapshot_ms is
    in the last snapshot, in that mood.
    """
    host = start.host()
    since_ms: dict[tuple[Member | Seat, int], int] = {}
    for pause_ms, event in trace:
        happen(host, pause_ms, event)
        leases: list[Member | Seat] = [*host.room.members, *host.room._panel._seats.values()]
        here = [(one, one.mood) for one in leases]
        since_ms = {one: since_ms.get(one, host.clock_ms) for one in here}
        settled = {
            (p.key, mood)
            for (p, mood), at_ms in since_ms.items()
            if host.clock_ms - at_ms > start.config.snapshot_ms
        }
        assert settled <= stored_in(host.saved)


def stored_in(saved: bytes | None) -> set[tuple[bytes, int]]:
    """Return the visitors in a snapshot, each with the mood."""
    if saved is None:
        return set()
    snapshot = decode_snapshot(saved)
    return {(key, mood) for leases in (snapshot.members, snapshot.panel.seats) for key, mood, *_ in leases}


@given(
    starts,
    traces(anything, clock_steps_back=False),
    st.lists(st.integers(0, 200_000), min_size=1, max_size=3),
)
@settings(max_examples=settings().max_examples // 2)
def test_restarts_in_a_row_lose_no_lease(start: Start, trace: Trace, downs_ms: list[int]) -> None:
    """Restarts without a join in between restore the leases of one restart after the same time."""
    once, often = play(start.host(), trace), play(start.host(), trace)
    for down_ms in downs_ms:
        often.restart(down_ms=down_ms)
    once.restart(down_ms=sum(downs_ms))

    # Restoring rounds what is left of a lease up to the grid, each time.
    assert set(once.room.members._by_visitor) <= set(often.room.members._by_visitor)
    assert set(once.room._panel._seats) <= set(often.room._panel._seats)
    if once.presence().method == "unknown":
        assert often.presence().method in {"unknown", "stale"}


def test_the_traces_reach_what_they_are_about() -> None:
    """The traces reach every method, effect and error: the properties would hold of a room without events."""
    seen: set[str] = set()

    @given(starts, traces(anything))
    @settings(max_examples=100, database=None, derandomize=True)
    def observe(start: Start, trace: Trace) -> None:
        host = start.host()
        for pause_ms, happening in trace:
            happen(host, pause_ms, happening)
            seen.add(host.presence().method)
            if host.room.suspect_count:
                seen.add("suspect")
        for _, closes, effects in host.log:
            seen.update(effect if isinstance(effect, str) else type(effect).__name__ for effect in effects)
            if closes:
                seen.add(Close.__name__)

    observe()

    assert seen == {
        "counted", "sampled", "stale", "unknown", "suspect", "Broadcasted", "Sent", "SaveSnapshot", "Close", "HostError", "ClientError"
    }  # fmt: skip
