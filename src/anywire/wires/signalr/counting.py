"""Counting: which of a client's messages have come already (stateful reconnect).

SignalR HubProtocol, "Ack" and "Sequence". Both ends count messages of the types 1 to 5 from 1 and
never write the number. After a cut each names the first message it is going to repeat, and the
other drops what it knows; until then nothing counts.
"""

from anywire.errors import ProtocolError

ACK_EVERY = 32
"""Messages after which the other end is told that they came, at the latest…"""
ACK_BYTES = 32 * 1024
"""… and bytes: its buffer holds 100,000, and what it says then waits."""


class Received:
    """What one end has heard of the other since the session began."""

    __slots__ = ("_at", "_bytes", "_count", "_told")

    def __init__(self) -> None:
        self._count = 0
        self._told = 0
        self._bytes = 0
        self._at: int | None = 0
        """The number of the last message that came; None until the other end has named one."""

    @property
    def count(self) -> int:
        """How many different ones came."""
        return self._count

    @count.setter
    def count(self, count: int) -> None:
        """Go on over a new transport with a session that has heard so many."""
        self._count = self._told = count
        self._at = None

    @property
    def is_waiting(self) -> bool:
        """Whether nothing counts before the other end has named what it repeats."""
        return self._at is None

    @property
    def is_untold(self) -> bool:
        """Whether some came that the other end was not told of."""
        return self._told != self._count

    @property
    def is_due(self) -> bool:
        """Whether it is to be told now."""
        return self._count - self._told >= ACK_EVERY or self._bytes >= ACK_BYTES

    def tell(self) -> int:
        """The count to tell."""
        self._told = self._count
        self._bytes = 0
        return self._count

    def is_new(self, size: int) -> bool:
        """Whether the message that came now, of so many bytes, is not one that was repeated."""
        if self._at is None:
            return False
        self._at += 1
        if self._at <= self._count:
            return False
        self._count = self._at
        self._bytes += size
        return True

    def repeat_from(self, first: int) -> None:
        """The other end repeats what it said from this number on. Raises ProtocolError when it
        leaves some out.
        """
        if not 1 <= first <= self._count + 1:
            raise ProtocolError("messages are missing before the first repeated one", code=4400)
        self._at = first - 1
        self._told = min(self._told, self._at)  # it does not know that we have the rest
