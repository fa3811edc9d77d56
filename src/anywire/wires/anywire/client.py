"""The client's end of a conversation in the anywire protocol, whatever carries it.

It remembers what a resume needs, over any number of transports: session, secret, and how many
counted messages came. What was sent and not acknowledged is kept by whoever drives it: a `Welcome`
says what became of it.
"""

from collections.abc import Sequence

from anywire.frames import (
    Ack,
    Beat,
    Bye,
    Frame,
    Gap,
    Joined,
    Presence,
    Refusal,
    Welcome,
)
from anywire.limits import Limits
from anywire.payload import Message, Payload
from anywire.wires.anywire.codec import SUBPROTOCOLS, write
from anywire.wires.anywire.machine import ACK_EVERY, pong
from anywire.wires.anywire.message import BeatSaid, PingSaid, broken
from anywire.wires.base import Cap, Request
from anywire.wires.pulse import Pulse

_SERVERS_OWN = frozenset((Gap, Joined, Presence, Refusal, Welcome))


class OwnClient:
    """`beat`: seconds of silence before a ping; the server's, when that is shorter.

    `wall`: unix time minus loop time, in seconds.
    """

    __slots__ = (
        "_beat",
        "_codec",
        "_due",
        "_limits",
        "_pulse",
        "_told",
        "_wall",
        "caps",
        "received",
        "session",
        "subprotocol",
        "token",
    )

    is_single = False

    def __init__(
        self,
        subprotocol: str = "anywire.json.1",
        *,
        beat: float = 30.0,
        beat_timeout: float = 5.0,
        limits: Limits | None = None,
        wall: float = 0.0,
    ) -> None:
        self.subprotocol = subprotocol
        self._codec = SUBPROTOCOLS[subprotocol]
        self.caps = self._codec.caps
        self._limits = limits or Limits()
        self._beat = beat
        self._pulse = Pulse(beat, beat_timeout)
        self._wall = wall
        self.session = ""
        self.token = ""
        self.received = 0
        """Counted messages from the server, over all transports of the session."""
        self._told = 0
        self._due: list[Payload] = []

    def opening(self) -> Request:
        query = {}
        if self.session and self.token:
            query = {
                "session": self.session,
                "resume": self.token,
                "received": str(self.received),
            }
        return Request(subprotocols=[self.subprotocol], query=query)

    def opened(self, subprotocol: str | None, now: float) -> Sequence[Frame]:
        """The transport stands; nothing counted may be written before the `Welcome`.

        Raises ProtocolError for another subprotocol.
        """
        if subprotocol != self.subprotocol:
            raise broken(f"the server speaks {subprotocol or 'plain'}, not {self.subprotocol}")
        self._due = []
        self._pulse.heard(now)
        return ()

    def forget(self) -> None:
        """Begin a new session at the next opening."""
        self.session = self.token = ""
        self.received = self._told = 0

    def heard(self, now: float) -> None:
        self._pulse.heard(now)

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        self._pulse.heard(now)
        codec = self._codec
        said = codec.from_server(message, self._limits)
        frame = said.frame(codec.form, self._limits)
        if said.counted:
            self.received += 1
            if self.received - self._told >= ACK_EVERY:
                self._tell()
        elif isinstance(frame, Welcome):
            self._welcomed(frame)
        elif type(said) is PingSaid:
            self._due.append(pong(codec, said, now + self._wall))
            self._tell()
        elif type(said) is BeatSaid:
            self._due.append(codec.message({"type": "beat"}, counted=False))
            self._tell()
        return (frame,)

    def send(self, frame: Frame) -> Sequence[Payload]:
        kind = type(frame)
        if isinstance(frame, Beat):
            if frame.is_answer:
                return ()
            return (self._codec.message({"type": "ping", "echo": frame.echo}, counted=False),)
        if kind in _SERVERS_OWN:
            return ()
        if kind is Ack:
            self._told = self.received
        return (write(frame, self._codec),)

    def due(self) -> Sequence[Payload]:
        if not self._due:
            return ()
        due, self._due = self._due, []
        return due

    def deadline(self) -> float | None:
        return self._pulse.deadline()

    def tick(self, now: float) -> Sequence[Frame]:
        frames = self._pulse.tick(now)
        if not frames or isinstance(frames[0], Bye):
            return frames
        self._due += self.send(Beat())
        self._tell()
        return ()

    def _welcomed(self, welcome: Welcome) -> None:
        self.session = welcome.session
        self.token = welcome.token or ""
        self.caps = self._codec.caps if self.token else self._codec.caps & ~Cap.RESUME
        if not welcome.resumed:
            self.received = self._told = 0
        if welcome.beat > 0:
            self._pulse.beat = min(self._beat, welcome.beat) if self._beat > 0 else welcome.beat

    def _tell(self) -> None:
        if self._told != self.received and self.caps & Cap.RESUME:
            self._told = self.received
            self._due.append(write(Ack(self.received), self._codec))
