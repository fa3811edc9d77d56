"""The server's end of one conversation in the anywire protocol."""

from collections.abc import Sequence

from anywire.frames import Ack, Auth, Beat, Frame, Join, Past, Presence, Welcome
from anywire.limits import Limits
from anywire.payload import Message, Payload
from anywire.wires.anywire.codec import OwnCodec, write
from anywire.wires.anywire.message import BeatSaid, PingSaid, is_given
from anywire.wires.base import Cap, Codec
from anywire.wires.pulse import Pulse

ACK_EVERY = 64
"""Counted messages after which the other end is told how many there were, at the latest."""
_CLIENTS_OWN = frozenset((Auth, Join, Past))


class OwnMachine:
    """Speaks the whole protocol. `wall` is unix time minus loop time, in seconds."""

    __slots__ = (
        "_codec",
        "_due",
        "_limits",
        "_pulse",
        "_told",
        "_wall",
        "caps",
        "codec",
        "received",
    )

    is_single = False

    def __init__(self, codec: OwnCodec, limits: Limits, pulse: Pulse, *, wall: float) -> None:
        self.codec: Codec = codec
        self._codec = codec
        self.caps = codec.caps if limits.resume > 0 else codec.caps & ~Cap.RESUME
        self.received = 0
        self._told = 0
        self._limits = limits
        self._pulse = pulse
        self._wall = wall
        self._due: list[Payload] | None = None

    def opened(self, now: float) -> Sequence[Frame]:
        self._pulse.heard(now)
        return ()

    def heard(self, now: float) -> None:
        self._pulse.heard(now)

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        self._pulse.heard(now)
        codec = self._codec
        said = codec.from_client(message, self._limits)
        frame = said.frame(codec.form, self._limits)
        if said.counted:
            self.received += 1
            if self.received - self._told >= ACK_EVERY:
                self._tell()
        elif type(said) is PingSaid:
            self._say(pong(codec, said, now + self._wall))
            self._tell()
        elif type(said) is BeatSaid:
            self._tell()
        return (frame,)

    def send(self, frame: Frame) -> Sequence[Payload]:
        kind = type(frame)
        if isinstance(frame, Beat):
            return () if frame.is_answer else (beat(self._codec, frame.echo),)
        if isinstance(frame, Presence):
            return (self._codec.presence(frame.alias, frame),)
        if kind in _CLIENTS_OWN:
            return ()
        if isinstance(frame, Welcome):
            frame.beat = self._pulse.beat
            if frame.resumed:
                self.received = self._told = frame.received
        elif kind is Ack:
            self._told = self.received
        return (write(frame, self._codec),)

    def due(self) -> Sequence[Payload]:
        if self._due is None:
            return ()
        due, self._due = self._due, None
        return due

    def deadline(self) -> float | None:
        return self._pulse.deadline()

    def tick(self, now: float) -> Sequence[Frame]:
        frames = self._pulse.tick(now)
        if frames:
            self._tell()
        return frames

    def _tell(self) -> None:
        """Say how many counted messages came, unless the peer knows or could not resume anyway."""
        if self._told != self.received and self.caps & Cap.RESUME:
            self._told = self.received
            self._say(write(Ack(self.received), self._codec))

    def _say(self, payload: Payload) -> None:
        if self._due is None:
            self._due = []
        self._due.append(payload)


def pong(codec: OwnCodec, ping: PingSaid, unix_time: float) -> Payload:
    """The answer to a ping, with its `echo` just as it was."""
    echo = ping.echo if is_given(ping.echo, codec.form) else None
    return codec.message({"type": "pong", "timestamp": int(unix_time), "echo": echo}, counted=False)


def beat(codec: OwnCodec, echo: str | None) -> Payload:
    """A sign of life; one that wants an echo is a ping."""
    if echo is None:
        return codec.message({"type": "beat"}, counted=False)
    return codec.message({"type": "ping", "echo": echo}, counted=False)
