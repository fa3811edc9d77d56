"""Engine.IO 4: the conversation below Socket.IO: handshake, heartbeat, close, upgrade.

Engine.IO protocol, revision 4. A packet is one message of its carrier: text that begins with the
digit of its type, or bytes, which are a message of their own. The server pings; only a pong shows
that the client hears what it is told.
"""

from collections.abc import Sequence

import msgspec

from anywire.errors import FAULTS, ProtocolError
from anywire.frames import Beat, Bye, Frame
from anywire.payload import Message, Payload
from anywire.wires.base import Verdict

OPEN, CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP = "0123456"

_json = msgspec.json.Encoder().encode


class Heartbeat(msgspec.Struct, frozen=True):
    """How often a client is pinged, and how long it may take to answer, in seconds."""

    interval: float = 25.0
    timeout: float = 20.0


class Engine:
    """The server's end of one Engine.IO conversation; what messages mean is its owner's."""

    __slots__ = ("_due", "_gone", "_next", "heartbeat", "is_left")

    def __init__(self, heartbeat: Heartbeat) -> None:
        self.heartbeat = heartbeat
        self._due: list[Payload] | None = None
        self._next: float | None = None
        self._gone: float | None = None
        self.is_left = False
        """The client said that it goes."""

    def open(self, now: float, *, sid: str, upgrades: Sequence[str], limit: int) -> None:
        """Begin: the handshake is the first packet. `limit`: bytes of the largest message."""
        heartbeat = self.heartbeat
        handshake = {
            "sid": sid,
            "upgrades": upgrades,
            "pingInterval": round(heartbeat.interval * 1000),
            "pingTimeout": round(heartbeat.timeout * 1000),
            "maxPayload": limit,
        }
        self.say(b"0" + _json(handshake))
        self._next = now + heartbeat.interval

    def control(self, packet: str, now: float) -> Sequence[Frame]:
        """Frames of a packet that is no message. Raises ProtocolError for what no client sends."""
        kind = packet[:1]
        if kind == PONG:
            self._gone = None
            if self._next is not None:
                self._next = now + self.heartbeat.interval
            return (Beat(is_answer=True),)
        if kind == CLOSE:
            self.is_left = True
            return (Bye(1000),)
        if kind == UPGRADE or kind == NOOP:
            return ()  # of an upgrade that is done
        raise ProtocolError("not an Engine.IO packet of a client", code=4400)

    def bye(self, bye: Bye) -> Sequence[Payload]:
        """What ends the conversation; a client that left itself is told nothing."""
        if self.is_left or bye.code in FAULTS:
            return ()
        return (Payload(b"1", counted=False),)

    def say(self, data: bytes) -> None:
        """Have a packet of the conversation's own written."""
        payload = Payload(data, counted=False)
        self._due = [payload] if self._due is None else [*self._due, payload]

    def due(self) -> Sequence[Payload]:
        """What `say` was told since the last call."""
        if self._due is None:
            return ()
        due, self._due = self._due, None
        return due

    def deadline(self) -> float | None:
        """When to call `tick`."""
        return self._next if self._gone is None else self._gone

    def tick(self, now: float) -> Sequence[Frame]:
        """Ping, or give up. A late tick pings all the same: we were asleep, not the client."""
        when = self.deadline()
        if when is None or now < when:
            return ()
        if self._gone is None:
            self._gone = now + self.heartbeat.timeout
            return (Beat(is_own=True),)
        self._next = self._gone = None
        return (Bye(4410, "ping timeout"),)


PINGED = Payload(b"2", counted=False)


class Probe:
    """The talk on a WebSocket before it takes over from polls: `2probe`, `3probe`, then `5`."""

    __slots__ = ("_is_probed",)

    def __init__(self) -> None:
        self._is_probed = False

    def receive(self, message: Message) -> tuple[Sequence[Payload], Verdict]:
        """What to say there, and what becomes of it."""
        if message == "2probe":
            self._is_probed = True
            return (Payload(b"3probe", counted=False),), Verdict.WAIT
        if message == UPGRADE and self._is_probed:
            return (), Verdict.SWAP
        return (), Verdict.DROP
