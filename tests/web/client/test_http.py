"""What an HTTP response means to the browser client, in Node."""

from typing import Any

import pytest

from node import node

STAGE = """
    Math.random = () => 0.5;
    globalThis.fetch = async (url, init) => {
      requests.push([url, init.method ?? 'GET', init.body]);
      if (given[0] === null) throw new TypeError('no network');
      const {status, headers, body} = given[0];
      return new Response(body, {status, headers});
    };
    const requests = [];
"""


def outcome(status: int, body: str = "", **headers: str) -> Any:
    """What comes of such a response: its text, or how the connection ends."""
    answer = {"status": status, "headers": headers, "body": body}
    steps = (
        "return it.request('http://room.example/').then((response) => response.text(), (ending) => ending);"
    )
    return node("http.js", f"await (async () => {{ {STAGE} {steps} }})()", answer)


OURS = '{"error": {"code": "busy", "message": "no", "status": 0}}'


@pytest.mark.parametrize(
    ("status", "body", "stops"),
    [(400, OURS, True), (404, OURS, True), (429, OURS, False), (503, OURS, False), (404, "<html>", False), (400, "null", False)],
)  # fmt: skip
def test_only_errors_of_our_own_server_are_final(status: int, body: str, *, stops: bool) -> None:
    """A status below 500 that is not 429, in the shape of our errors, stops the client; a proxy's page does
    not.
    """
    assert outcome(status, body)["stop"] is stops


def test_a_good_response_is_returned_and_an_error_is_thrown() -> None:
    """A good response is returned as it is; the ending has the code and the message of an error."""
    assert outcome(200, "text") == "text"
    assert outcome(400, OURS) == {"code": "busy", "message": "no", "status": 0, "stop": True}


def test_the_servers_wait_is_kept_and_spread() -> None:
    """After the server's whole seconds there is up to one more, at random."""
    assert outcome(503, OURS, **{"Retry-After": "2"})["retryMs"] == 2_500
    assert "retryMs" not in outcome(503, OURS)
    assert "retryMs" not in outcome(503, OURS, **{"Retry-After": "-9"})


@pytest.mark.parametrize("beacons", [True, False])
def test_a_beacon_is_posted(*, beacons: bool) -> None:
    """A message is sent as a beacon, or posted where there are none; a network failure is no error."""
    sent = node(
        "http.js",
        f"""await (async () => {{ {STAGE}
          const navigator = given[1] ? {{sendBeacon: (url, body) => requests.push([url, 'beacon', body])}} : {{}};
          Object.defineProperty(globalThis, 'navigator', {{value: navigator, configurable: true}});
          it.beacon('http://room.example/leave', {{visitor: 'v'}});
          await new Promise((resolve) => setTimeout(resolve));
          return requests;
        }})()""",
        None,
        beacons,
    )
    assert sent == [["http://room.example/leave", "beacon" if beacons else "POST", '{"visitor":"v"}']]
