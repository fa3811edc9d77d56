"""Pings: how many of a talk's pings were answered, and how fast; as ping(8) sums them up. Pure."""

from collections.abc import Mapping


class Pings:
    """The pings of one talk; times are seconds."""

    __slots__ = ("_least", "_most", "_outstanding", "_total", "answered", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self.answered = 0
        self._outstanding: dict[bytes, float] = {}
        self._least = float("inf")
        self._most = 0.0
        self._total = 0.0

    def next(self, now: float) -> bytes:
        """What the next ping carries, sent `now`."""
        self.sent += 1
        data = b"anywire %d" % self.sent
        self._outstanding[data] = now
        return data

    def heard(self, data: bytes, now: float) -> float | None:
        """A pong came: how long its ping took; None if it is no answer.

        It answers the pings before it too, whose pongs a peer may leave out (RFC 6455, 5.5.3).
        """
        if data not in self._outstanding:
            return None
        took = 0.0
        for known in list(self._outstanding):
            took = now - self._outstanding.pop(known)
            self.answered += 1
            self._least = min(self._least, took)
            self._most = max(self._most, took)
            self._total += took
            if known == data:
                break
        return took

    def summary(self) -> Mapping[str, object]:
        """Counts, loss from 0 to 1, and the times where there was an answer."""
        lost = (self.sent - self.answered) / self.sent if self.sent else 0.0
        counts: dict[str, object] = {"sent": self.sent, "answered": self.answered, "loss": lost}
        if self.answered:
            counts |= {
                "min": self._least,
                "avg": self._total / self.answered,
                "max": self._most,
            }
        return counts
