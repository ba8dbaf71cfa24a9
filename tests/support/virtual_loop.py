"""An event loop whose time jumps to the next timer: minutes of a host pass in a moment, and always in the
same way.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from breathing_room.hosts.common.rooms.clock import Clock
from inside import NOON_MS

T = TypeVar("T")


class JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing: who would wait lets the time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        assert ready or timeout is not None, "all tasks wait, and no timer is set"
        if not ready:
            self.passed_s += timeout or 0.0
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that begins at 0 s."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.passed_s


class VirtualClock(Clock):
    """The two times of a host on such a loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now_ms(self) -> int:
        return NOON_MS + round(1_000 * self._loop.time())

    def wall_ms(self) -> int:
        return self.now_ms()


def run_virtually(work: Coroutine[Any, Any, T]) -> T:
    """Run something on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
