"""What an answer of HTTP means to the browser client, in Node."""

from typing import Any

import pytest

from node import node

STAGE = """
    Math.random = () => 0.5;
    globalThis.fetch = async (url, init) => {
      asked.push([url, init.method ?? 'GET', init.body]);
      if (given[0] === null) throw new TypeError('no network');
      const {status, headers, body} = given[0];
      return new Response(body, {status, headers});
    };
    const asked = [];
"""


def ask(status: int, body: str = "", **headers: str) -> Any:
    """What comes of such an answer: its text, or how the connection ends."""
    answer = {"status": status, "headers": headers, "body": body}
    steps = "return it.ask('http://room.example/').then((answer) => answer.text(), (ending) => ending);"
    return node("http.js", f"await (async () => {{ {STAGE} {steps} }})()", answer)


OURS = '{"error": {"code": "busy", "message": "no", "status": 0}}'


@pytest.mark.parametrize(
    ("status", "body", "stops"),
    [(400, OURS, True), (404, OURS, True), (429, OURS, False), (503, OURS, False), (404, "<html>", False), (400, "null", False)],
)  # fmt: skip
def test_only_our_own_refusals_are_for_good(status: int, body: str, *, stops: bool) -> None:
    """A status below 500 that is not 429, in the shape of our errors, stops the client; a proxy's page does not."""
    assert ask(status, body)["stop"] is stops


def test_a_good_answer_is_handed_on_and_an_error_says_what_it_is() -> None:
    """A good answer is returned as it is; of an error its code and message are the ending's."""
    assert ask(200, "text") == "text"
    assert ask(400, OURS) == {"code": "busy", "message": "no", "status": 0, "stop": True}


def test_the_servers_wait_is_kept_and_spread() -> None:
    """After the server's whole seconds there is up to one more, at random."""
    assert ask(503, OURS, **{"Retry-After": "2"})["retryMs"] == 2_500
    assert "retryMs" not in ask(503, OURS)
    assert "retryMs" not in ask(503, OURS, **{"Retry-After": "-9"})


@pytest.mark.parametrize("beacons", [True, False])
def test_a_beacon_is_posted(*, beacons: bool) -> None:
    """A message is given to the browser to send, or where there is none is posted; a network that fails is no error."""
    sent = node(
        "http.js",
        f"""await (async () => {{ {STAGE}
          const navigator = given[1] ? {{sendBeacon: (url, body) => asked.push([url, 'beacon', body])}} : {{}};
          Object.defineProperty(globalThis, 'navigator', {{value: navigator, configurable: true}});
          it.beacon('http://room.example/leave', {{visitor: 'v'}});
          await new Promise((resolve) => setTimeout(resolve));
          return asked;
        }})()""",
        None,
        beacons,
    )
    assert sent == [["http://room.example/leave", "beacon" if beacons else "POST", '{"visitor":"v"}']]
