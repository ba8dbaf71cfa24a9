"""Timers of the browser client, in Node."""

import pytest

from node import node


@pytest.mark.parametrize("wait", ["20", "2 ** 31", "Infinity"])
def test_a_long_timer_does_not_fire_early(wait: str) -> None:
    """A browser's timer takes a time of more than 31 bits for 0; ours waits as long as a timer can."""
    longest = 2**31 - 1
    set_to = node(
        "timers.js",
        f"""(() => {{
          let set; globalThis.setTimeout = (act, ms) => {{ set = ms; return act(); }};
          return [it.after({wait}, () => 'rung'), set];
        }})()""",
    )
    assert set_to == ["rung", 20 if wait == "20" else longest]
