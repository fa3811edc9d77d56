"""Pulse: when a silent peer is asked for a sign of life, and when it is gone.

The same for both ends of a conversation and for every wire that leaves its heartbeat to its
carrier. Knows no message.
"""

from collections.abc import Sequence

from anywire.frames import Beat, Bye, Frame


class Pulse:
    """A `Beat` after `beat` seconds of silence (0: never), a `Bye` after `timeout` more."""

    __slots__ = ("_gone", "_last", "beat", "timeout")

    def __init__(self, beat: float, timeout: float) -> None:
        self.beat = beat
        self.timeout = timeout
        self._last: float | None = None
        self._gone: float | None = None

    def heard(self, now: float) -> None:
        """The peer is alive at `now` (loop time in seconds)."""
        self._last = now
        self._gone = None

    def deadline(self) -> float | None:
        """When to call `tick`; None before the first `heard` and after the `Bye`."""
        if self._last is None or self.beat <= 0:
            return None
        return self._last + self.beat if self._gone is None else self._gone

    def tick(self, now: float) -> Sequence[Frame]:
        """What time asks for. A late tick asks first all the same: we were asleep, not the peer."""
        when = self.deadline()
        if when is None or now < when:
            return ()
        if self._gone is None:
            self._gone = now + self.timeout
            return (Beat(),)
        self._last = None
        return (Bye(4410, "nothing heard in time"),)
