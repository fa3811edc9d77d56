"""The server's end of one SockJS conversation: raw's, in frames, with heartbeats."""

from collections.abc import Callable, Sequence

from anywire.errors import ProtocolError
from anywire.frames import Bye, Frame, Join, Welcome
from anywire.limits import Limits
from anywire.payload import Message, Payload
from anywire.wires.base import Codec
from anywire.wires.nameless import event_of, said
from anywire.wires.pulse import Pulse
from anywire.wires.sockjs.codec import HEARTBEAT, OPEN, SOCKJS, closed, items

Read = Callable[[Message, Limits], Sequence[Message]]
"""The messages in what a transport hands over. Raises ProtocolError."""


def lone(message: Message, limits: Limits) -> Sequence[Message]:
    """One message: those of a request were read already."""
    return (message,)


class SockJsMachine:
    """Says `o` when the session stands, `h` every `heartbeat` seconds (0: never), `c` at the end.

    A WebSocket's client that is silent is probed (`pulse`). Nothing is expected of one on requests:
    that a request waits is its sign of life.
    """

    __slots__ = (
        "_alias",
        "_due",
        "_heartbeat",
        "_is_broken",
        "_join",
        "_limits",
        "_next",
        "_pulse",
        "_read",
        "received",
    )

    codec: Codec = SOCKJS
    caps = SOCKJS.caps
    is_single = True

    def __init__(
        self, join: Join, limits: Limits, heartbeat: float, *, pulse: Pulse | None = None
    ) -> None:
        self.received = 0
        self._alias = join.alias
        self._join: Join | None = join
        self._limits = limits
        self._heartbeat = heartbeat
        self._pulse = pulse
        self._read: Read = lone if pulse is None else items
        self._next: float | None = None
        self._due: Sequence[Payload] = ()
        self._is_broken = False

    def opened(self, now: float) -> Sequence[Frame]:
        self.heard(now)
        join, self._join = self._join, None
        assert join is not None  # a transport stands once
        return (join,)

    def heard(self, now: float) -> None:
        """A request waits from now on, or a WebSocket has answered a probe."""
        if self._heartbeat > 0:
            self._next = now + self._heartbeat
        if self._pulse is not None:
            self._pulse.heard(now)

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        if self._pulse is not None:
            self._pulse.heard(now)
        try:
            messages = self._read(message, self._limits)
        except ProtocolError:
            self._is_broken = True
            raise
        return [event_of(self._alias, one, self._limits) for one in messages]

    def send(self, frame: Frame) -> Sequence[Payload]:
        if isinstance(frame, Welcome):
            return (OPEN,)
        if isinstance(frame, Bye):
            # "Websocket", broken JSON: the connection is closed without a word.
            return () if self._is_broken else (closed(frame.code, frame.text),)
        return said(frame, SOCKJS)

    def due(self) -> Sequence[Payload]:
        due, self._due = self._due, ()
        return due

    def deadline(self) -> float | None:
        if self._next is None or self._pulse is None:
            return self._next
        probe = self._pulse.deadline()
        return None if probe is None else min(self._next, probe)

    def tick(self, now: float) -> Sequence[Frame]:
        if self._next is not None and now >= self._next:
            self._next = now + self._heartbeat
            self._due = (HEARTBEAT,)
        return () if self._pulse is None else self._pulse.tick(now)
