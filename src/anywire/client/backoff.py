"""Back-off: how long to wait before the next attempt; exponential, capped, with full jitter. Pure.

>>> backoff = Backoff(random=lambda: 0.5)
>>> [backoff.next(), backoff.next(), backoff.next()]
[0.5, 0.75, 1.125]
"""

from collections.abc import Callable


class Backoff:
    """Delays of one client; the same table as every other client of ours,
    `tests/vectors/client/`.
    """

    __slots__ = ("_bound", "_decay", "_interval", "_maximum", "_min_uptime", "_random", "attempts")

    def __init__(
        self,
        *,
        interval: float = 1.0,
        maximum: float = 30.0,
        decay: float = 1.5,
        min_uptime: float = 5.0,
        random: Callable[[], float],
    ) -> None:
        """`random` gives a number in [0, 1); the others are seconds, `decay` a factor of at
        least 1.

        Raises ValueError for numbers that would make a client hammer or sleep for ever.
        """
        if not (interval >= 0 and maximum >= 0 and min_uptime >= 0):
            raise ValueError("intervals of reconnecting are seconds, 0 or more")
        if not decay >= 1:
            raise ValueError(f"reconnect_decay must be 1 or more, not {decay}")
        self._interval = interval
        self._maximum = maximum
        self._decay = decay
        self._min_uptime = min_uptime
        self._random = random
        self.attempts = 0
        """Attempts since the last connection that lasted."""
        self._bound = min(maximum, interval)

    def next(self) -> float:
        """Seconds before the next attempt, which is counted."""
        bound = self._bound
        self.attempts += 1
        # Grown step by step: a power of a few thousand attempts has no float.
        self._bound = min(self._maximum, bound * self._decay)
        return self._random() * bound

    def ended(self, uptime: float) -> None:
        """A connection ended after `uptime` seconds; one that lasted makes the count begin anew."""
        if uptime >= self._min_uptime:
            self.attempts = 0
            self._bound = min(self._maximum, self._interval)
