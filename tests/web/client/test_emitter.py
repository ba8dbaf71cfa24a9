"""Event targets whose events are values."""

from node import node


def test_a_listener_is_given_the_value() -> None:
    """Every listener of a type is given what was emitted, in the order
    of the listeners, and no other type's.
    """
    assert node(
        "emitter.js",
        """(() => {
          const emitter = new it.Emitter(), log = [];
          emitter.on({time: ({nowMs}) => log.push(['first', nowMs]), lost: () => log.push(['lost'])});
          emitter.on({time: ({nowMs}) => log.push(['second', nowMs])});
          emitter.emit('time', {nowMs: 7});
          emitter.emit('other', 8);
          return log;
        })()""",
    ) == [["first", 7], ["second", 7]]
