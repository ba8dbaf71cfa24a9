"""Timers of the browser client, in Node."""

import pytest

from node import node


@pytest.mark.parametrize("wait", ["20", "2 ** 31", "Infinity"])
def test_a_timer_never_rings_early_because_it_is_long(wait: str) -> None:
    """A browser's timer takes what does not fit into 31 bits for 0; ours waits for as long as one can."""
    longest = 2**31 - 1
    set_to = node(
        "timers.js",
        f"""(() => {{
          let set; globalThis.setTimeout = (act, ms) => {{ set = ms; return act(); }};
          return [it.after({wait}, () => 'rung'), set];
        }})()""",
    )
    assert set_to == ["rung", 20 if wait == "20" else longest]
