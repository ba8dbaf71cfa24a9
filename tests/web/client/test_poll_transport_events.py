"""The events of the polling transport, in Node: responses and timers are a test's."""

from typing import Any

from node import TIME, node

STAGE = """
    Math.random = () => 0.5;
    const log = [], requests = [], beacons = [];
    const PRESENCE = {room: 'lobby', count: 7, sample_rate: 1, epoch: 1, as_of_ms: 1, stale_after_ms: 1000, poll_ms: 30000};
    let answer = () => PRESENCE;
    globalThis.fetch = async (url, {body} = {}) => {
      requests.push([nowMs, body ? JSON.parse(body).mood ?? 'report' : 'poll']);
      const given = answer(body ? 'report' : 'poll');
      if (given === null) throw new TypeError('no network');
      return given.error ? new Response(JSON.stringify(given), {status: 400}) : new Response(JSON.stringify(given));
    };
    AbortSignal.timeout = () => undefined;
    const sendBeacon = (url, body) => { beacons.push([url, JSON.parse(body).visitor]); };
    Object.defineProperty(globalThis, 'navigator', {value: {sendBeacon}, configurable: true});
    const visit = new AbortController();
    let transport, ending = null;
    const start = (changes = {}) => {
      transport = new it.PollTransport({address: 'http://room.example/v1/rooms/lobby', room: 'lobby',
        config: {heartbeat_ms: 600000}, observe: false, self: () => ({visitor: 'v', mood: 'calm'}), ...changes});
      for (const type of ['presence', 'heartbeat', 'counted', 'left', 'lost', 'refused', 'time'])
        transport.on({[type]: (detail) => log.push(type === 'refused' ? [type, detail.code, detail.forget] : type)});
      transport.run(visit.signal).then((how) => { ending = how; });
    };
"""


def run(steps: str) -> Any:
    return node("poll_transport.js", f"await (async () => {{ {TIME} {STAGE} {steps} }})()")


def test_a_poll_and_a_report_bring_a_presence_each() -> None:
    """The presence is read; the report that follows measures the clock
    and shows that the visitor is counted.
    """
    assert run("start(); await turns(); return [log, requests];") == [
        ["presence", "heartbeat", "time", "counted", "presence", "heartbeat"],
        [[0, "poll"], [0, "calm"]],
    ]


def test_an_observer_only_reads() -> None:
    """An observer is not in the sample, sends no report and no leave."""
    assert run("""
        start({observe: true}); await turns(); transport.send({mood: 'calm'}); await turns(); visit.abort();
        return [log, requests, beacons];
    """) == [["presence", "heartbeat"], [[0, "poll"]], []]


def test_a_change_of_mood_is_reported_at_once() -> None:
    """A mood that is sent goes out as a report in the same moment."""
    assert run("""
        start(); await turns(); pass(1000); transport.send({type: 'mood', mood: 'glad'}); await turns(); return requests.at(-1);
    """) == [1_000, "glad"]


def test_a_poll_that_fails_is_lost_and_tried_again() -> None:
    """In a polled room a failure is no end: presences are lost until the next one comes."""
    assert run("""
        answer = () => null; start(); await turns(); answer = () => PRESENCE; await passSlowly(1000);
        return [log.slice(0, 2), ending];
    """) == [["lost", "presence"], None]


def test_in_place_of_a_socket_the_first_failure_is_the_end() -> None:
    """As a fallback it ends when a poll fails, and leaves no timer."""
    assert run("""
        start({fallback: true}); await turns(); answer = () => null; await passSlowly(6000);
        return [ending.stop ?? false, log.includes('lost'), timers.size];
    """) == [False, False, 0]


def test_an_unknown_mood_is_an_event_and_then_left_out() -> None:
    """`unknown_mood` is `refused` with `forget`; the next report has no mood."""
    assert run("""
        const error = {code: 'unknown_mood', message: 'no'};
        answer = (what) => (what === 'report' ? {error} : PRESENCE); start(); await turns();
        const refused = log.at(-1); answer = () => PRESENCE; await passSlowly(2000); return [refused, requests.at(-1)[1], log.at(-1)];
    """) == [["refused", "unknown_mood", True], "report", "heartbeat"]


def test_a_leave_is_sent_for_a_report() -> None:
    """When the visit ends a leave is sent for a report that counts; not before there is one, and not for a
    lost connection.
    """
    leave = ["http://room.example/v1/rooms/lobby/leave", "v"]
    end = "await turns(); return [beacons, log.filter((type) => type === 'left').length, ending];"
    assert run(f"start(); await turns(); visit.abort(); {end}") == [[leave], 1, {}]
    assert run(f"start(); visit.abort(); {end}") == [[], 0, {}]
    assert run(f"start(); await turns(); transport.close(); visit.abort(); {end}") == [[], 0, {}]
