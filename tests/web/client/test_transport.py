"""The interface of every transport of the browser client."""

import pytest

from node import TIME, node

KINDS = {
    "socket_transport.js": ("SocketTransport", "socket"),
    "poll_transport.js": ("PollTransport", "polling"),
    "offline.js": ("OfflineTransport", "history"),
}

STAGE = """
    globalThis.WebSocket = class { send() {} close() {} };
    globalThis.fetch = () => new Promise((resolve, reject) => { globalThis.answer = () => reject(new TypeError('gone')); });
    const place = {address: 'http://room.example/v1/rooms/lobby', room: 'lobby', config: {heartbeat_ms: 30000}, observe: false,
      self: () => ({visitor: 'v'.repeat(22)}), url: 'http://room.example/history.json'};
    const visit = new AbortController();
"""


@pytest.mark.parametrize("file", KINDS)
def test_it_ends_when_it_is_closed_and_when_the_visit_is_over(file: str) -> None:
    """A transport has a name and all that a connector asks of it; closed twice, or with its visit over, it
    ends, and no timer is left.
    """
    kind, name = KINDS[file]
    for end in ("transport.close(); transport.close();", "visit.abort();"):
        assert node(
            file,
            f"""await (async () => {{ {TIME} {STAGE}
              const transport = new it.{kind}(place), ended = transport.run(visit.signal).catch(() => ({{}}));
              transport.wake(); {end} globalThis.answer?.();
              const ending = await ended; await turns();
              return [transport.name, ending.stop ?? false, timers.size];
            }})()""",
        ) == [name, False, 0], end


def test_every_transport_has_the_methods_of_one() -> None:
    """The base has all that a connector calls, and does nothing."""
    methods = node("transport.js", "Object.getOwnPropertyNames(it.Transport.prototype).sort()")
    assert methods == ["close", "constructor", "run", "send", "wake"]
