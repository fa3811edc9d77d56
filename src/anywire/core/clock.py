"""Deadlines: everything in the process that waits for a time, in one heap behind one timer.

Beats, time-outs of calls, resume windows and leases are entries here, so an idle connection has no
task and no timer of its own. Where the time comes from and who wakes us is given, so a test moves
the clock itself.
"""

import logging
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Protocol

logger = logging.getLogger(__name__)

_SLACK = 64
"""Stale entries that are always tolerated; above it, they may make up half of the heap."""


class Cancellable(Protocol):
    """What the loop gives for a timer, or for a task."""

    def cancel(self) -> object: ...


class Deadline:
    """One thing that is due at `when`; made by `Deadlines.at` and changed only through it."""

    __slots__ = ("_at", "callback", "when")

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self._at = when  # the time its entry in the heap has; `when` may be later
        self.callback: Callable[[], None] | None = callback
        self.when = when

    @property
    def is_pending(self) -> bool:
        """Whether it is still to come: neither fired nor cancelled."""
        return self.callback is not None

    def __lt__(self, other: "Deadline") -> bool:
        """Never: entries of the same time have no order, but the heap needs an answer."""
        return False


class Deadlines:
    """Calls back at given times, never early; deadlines of the same time come in no promised order.

    `now` gives the present (seconds, the loop's time) and `call_at` sets a timer of the loop.
    Callbacks must not wait; one that raises is logged, and the others still run. What a callback
    sets comes in a later turn of the loop, even if it is due already, so a deadline that renews
    itself cannot stop the world.

    An entry of the heap is (time, deadline). It is stale when the deadline is over, or stands under
    another time.
    """

    __slots__ = ("_armed", "_call_at", "_due", "_heap", "_now", "_pending", "_timer")

    def __init__(
        self,
        now: Callable[[], float],
        call_at: Callable[[float, Callable[[], None]], Cancellable],
    ) -> None:
        self._now = now
        self._call_at = call_at
        self._heap: list[tuple[float, Deadline]] = []
        self._due: list[tuple[float, Deadline]] = []  # taken off the heap, being called
        self._pending = 0
        self._timer: Cancellable | None = None
        self._armed = inf  # when the timer fires; -inf while callbacks run: none is set between

    def __len__(self) -> int:
        """How many deadlines are still to come."""
        return self._pending

    def at(self, when: float, callback: Callable[[], None]) -> Deadline:
        """Have `callback` called once at `when` (loop time, seconds), or soon if that is past."""
        deadline = Deadline(when, callback)
        self._pending += 1
        heappush(self._heap, (when, deadline))
        if when < self._armed:
            self._arm(when)
        return deadline

    def cancel(self, deadline: Deadline) -> None:
        """Let the deadline not come; nothing happens when it is over already."""
        if deadline.callback is None:
            return
        deadline.callback = None
        self._pending -= 1
        self._tidy()

    def move(self, deadline: Deadline, when: float) -> bool:
        """Make the deadline come at `when` instead; False when it is over already.

        Later costs next to nothing: the entry is put back only when its old time has come.
        """
        if deadline.callback is None:
            return False
        deadline.when = when
        if when < deadline._at:
            deadline._at = when
            heappush(self._heap, (when, deadline))
            self._tidy()
            if when < self._armed:
                self._arm(when)
        return True

    def close(self) -> None:
        """Drop every deadline and the timer."""
        for _, deadline in self._heap + self._due:
            deadline.callback = None
        self._heap.clear()
        self._pending = 0
        self._disarm()

    def _arm(self, when: float) -> None:
        self._disarm()
        self._armed = when
        self._timer = self._call_at(when, self._fire)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._armed = inf

    def _fire(self) -> None:
        """Call what is due, and set the timer for what comes next."""
        self._timer = None
        self._armed = -inf
        heap = self._heap
        now = self._now()
        due = self._due
        while heap and heap[0][0] <= now:
            due.append(heappop(heap))
        for at, deadline in due:
            callback = deadline.callback
            if callback is None or at != deadline._at:
                continue
            if deadline.when > now:  # it was moved, perhaps by a callback just now
                deadline._at = deadline.when
                heappush(heap, (deadline.when, deadline))
                continue
            deadline.callback = None
            self._pending -= 1
            try:
                callback()
            except Exception:
                logger.exception("a deadline's callback failed")
        due.clear()
        self._armed = inf
        if heap:
            self._arm(heap[0][0])

    def _tidy(self) -> None:
        """Rebuild the heap when most of it is stale."""
        heap = self._heap
        if len(heap) <= 2 * self._pending + _SLACK:
            return
        pending = dict.fromkeys(deadline for _, deadline in heap if deadline.callback is not None)
        for deadline in pending:
            deadline._at = deadline.when
        heap[:] = [(deadline.when, deadline) for deadline in pending]
        heapify(heap)
