"""Clock: time that stands still until a test moves it."""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush


class Timer:
    """Something that is to happen once; what `Clock.call_at` gives."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Do not call back."""
        self.callback = None


class Clock:
    """A clock of the loop's kind (`now`, seconds) and of the wall's (`wall`, unix seconds).

    >>> clock = Clock()
    >>> _ = clock.call_at(clock.now() + 5, lambda: print("five seconds later"))
    >>> clock.advance(10)
    five seconds later
    """

    def __init__(self, *, now: float = 1000.0, wall: float = 1_700_000_000.0) -> None:
        self._now = now
        self._wall = wall - now
        self._timers: list[tuple[float, int, Timer]] = []
        self._count = 0

    def now(self) -> float:
        """Loop time in seconds."""
        return self._now

    def wall(self) -> float:
        """Unix time in seconds."""
        return self._now + self._wall

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back when the clock is moved to `when` or past it."""
        timer = Timer(callback)
        self._count += 1
        heappush(self._timers, (when, self._count, timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass at once; what falls due on the way happens at its own time, in order.

        Nobody gets a turn meanwhile: a client that is probed on the way cannot answer.
        """
        end = self._now + seconds
        while self._fire_before(end):
            pass
        self._now = end

    async def elapse(self, seconds: float) -> None:
        """As `advance`, and after each timer all that follows from it happens: clients stay."""
        end = self._now + seconds
        await settled()
        while self._fire_before(end):
            await settled()
        self._now = end

    def _fire_before(self, end: float) -> bool:
        if not self._timers or self._timers[0][0] > end:
            return False
        when, _, timer = heappop(self._timers)
        self._now = max(self._now, when)
        if timer.callback is not None:
            timer.callback()
        return True


async def settled(turns: int = 20) -> None:
    """Let the loop take some turns: whatever is under way in memory arrives."""
    for _ in range(turns):
        await asyncio.sleep(0)
