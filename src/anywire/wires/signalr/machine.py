"""The server's end of a SignalR conversation: one hub, whose address is joined by the handshake.

SignalR HubProtocol. The answer to the handshake is that of the join: who may not join hears why.
"""

from collections.abc import Sequence

import msgspec

from anywire.body import Body, Form
from anywire.errors import ProtocolError
from anywire.frames import (
    Ack,
    Beat,
    Bye,
    Cancel,
    End,
    Event,
    Frame,
    Gap,
    Item,
    Join,
    Joined,
    Presence,
    Refusal,
    Reply,
    Want,
    Welcome,
)
from anywire.limits import Limits
from anywire.payload import Message, Payload
from anywire.wires.base import Cap, Codec, Machine
from anywire.wires.signalr.codec import (
    ACK,
    CANCEL_INVOCATION,
    INVOCATION,
    JSON,
    PROTOCOLS,
    SEQUENCE,
    SignalRCodec,
    asked,
    problem,
    question,
    told,
)
from anywire.wires.signalr.counting import Received
from anywire.wires.signalr.reading import Said, arguments, broken, read_json, read_msgpack, result
from anywire.wires.signalr.reading import value as value_of
from anywire.wires.signalr.records import Records

HANDSHAKE = 15.0
"""Seconds until a client must have said which protocol it speaks."""
VERSIONS = (1, 2)
"""Of the hub protocol; 2 adds the counts of stateful reconnect, which are negotiated before."""
_HANDSHAKE_BYTES = 4096


class Rhythm(msgspec.Struct, frozen=True):
    """Seconds between two signs of life of ours, and of silence after which a client is gone; 0:
    its carrier sees to both."""

    ping: float
    timeout: float


class _Handshake(msgspec.Struct):
    protocol: str
    version: int


_handshake = msgspec.json.Decoder(_Handshake).decode
_json = msgspec.json.Encoder().encode
_WELCOME = Payload(b"{}\x1e", counted=False)


class SignalRMachine:
    """One client of a hub. `polls`: a first answer says nothing, so that its client goes on;
    `protocols`: names of those that its carrier can hold.
    """

    __slots__ = (
        "_acked",
        "_codec",
        "_due",
        "_has_left",
        "_is_open",
        "_join",
        "_last",
        "_limits",
        "_pending",
        "_ping",
        "_polls",
        "_protocols",
        "_received",
        "_records",
        "_resumes",
        "_rhythm",
        "_until",
        "caps",
        "codec",
    )

    is_single = True

    def __init__(
        self,
        join: Join,
        limits: Limits,
        rhythm: Rhythm,
        *,
        protocols: Sequence[str] = tuple(PROTOCOLS),
        resumes: bool = False,
        polls: bool = False,
    ) -> None:
        self._join = join
        self._limits = limits
        self._rhythm = rhythm
        self._protocols = protocols
        self._resumes = resumes
        self._polls = polls
        self._records = Records(limits)
        self._received = Received() if resumes else None
        self._codec: SignalRCodec | None = None
        """What the handshake has settled."""
        self.codec: Codec = JSON
        self.caps = self._caps(JSON)
        self._is_open = False
        self._has_left = False
        self._pending: set[str] = set()
        """Invocations that are to be completed, once each."""
        self._acked = 0
        self._last: float | None = None
        self._ping: float | None = None
        self._until: float | None = None
        self._due: list[Payload] = []

    def follow(self, before: Machine, now: float) -> Sequence[Frame]:
        """Go on as this one: what was settled stays so, and what waits is still completed."""
        assert isinstance(before, SignalRMachine)  # the session is of one wire
        self._codec, self.codec, self.caps = before._codec, before.codec, before.caps
        self._is_open, self._has_left = before._is_open, before._has_left
        self._until = before._until
        self._pending = before._pending
        return ()

    @property
    def received(self) -> int:
        return 0 if self._received is None else self._received.count

    @received.setter
    def received(self, count: int) -> None:
        if self._received is not None:
            self._received.count = count

    # --- in -------------------------------------------------------------------------------------

    def opened(self, now: float) -> Sequence[Frame]:
        self._last = now
        self._until = now + HANDSHAKE
        self._set_ping(now)  # nobody looks at the deadline again before it has passed
        return ()

    def heard(self, now: float) -> None:
        self._last = now
        if self._is_open and self._ping is None:
            self._set_ping(now)

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        self._last = now
        data = message.encode(errors="replace") if isinstance(message, str) else message
        if self._codec is not None:
            return self._read(self._codec, data)
        hand = self._records.first(data)
        if hand is None:
            if self._records.waiting > _HANDSHAKE_BYTES:
                raise self._refused("a handshake has at most 4096 bytes")
            return ()
        frames = self._shake(hand, now)
        codec, rest = self._codec, self._records.rest()
        if codec is None or not rest:
            return frames
        return [*frames, *self._read(codec, rest)]

    def _shake(self, text: bytes, now: float) -> Sequence[Frame]:
        """The handshake, which is JSON whatever is spoken then."""
        if len(text) > _HANDSHAKE_BYTES:
            raise self._refused("a handshake has at most 4096 bytes")
        try:
            hand = _handshake(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise self._refused("the first message is a handshake") from None
        codec = PROTOCOLS.get(hand.protocol)
        if codec is None or hand.protocol not in self._protocols:
            known = ", ".join(self._protocols)
            raise self._refused(f"the protocol '{hand.protocol:.40}' is not one of: {known}")
        if hand.version not in VERSIONS:
            raise self._refused(f"version {hand.version} of the protocol is not supported")
        self._codec = self.codec = codec
        self.caps = self._caps(codec)
        self._until = None
        return (self._join,)

    def _refused(self, error: str) -> ProtocolError:
        self._due.append(_refusal(error))
        self._has_left = True
        return broken(error)

    def _read(self, codec: SignalRCodec, data: bytes) -> Sequence[Frame]:
        frames: list[Frame] = []
        if codec.form is Form.JSON:
            for text in self._records.texts(data):
                said = read_json(text, self._limits)
                if said is not None:
                    frames += self._frames(codec, said, len(text))
            return frames
        for packed in self._records.packed(data):
            said = read_msgpack(packed, self._limits)
            if said is not None:
                frames += self._frames(codec, said, len(packed))
        return frames

    def _frames(self, codec: SignalRCodec, said: Said, size: int) -> Sequence[Frame]:
        kind = said.type
        received = self._received
        if kind <= CANCEL_INVOCATION and received is not None:
            if not received.is_new(size):
                return ()
            if received.is_due:
                self._due.append(codec.count(ACK, received.tell()))
        id = said.invocation_id or ""
        match kind:
            case 1 | 4:
                return self._call(codec, said, id)
            case 2:
                item = value_of(said.item, codec.form)
                return () if item is None else (Item(id, item),)
            case 3:
                return (_completed(codec.form, said, id),)
            case 5:
                return self._cancelled(codec, id)
            case 6:
                return (Beat(is_answer=True),)
            case 7:
                self._has_left = True
                return (Bye(1000, said.error or ""),)
            case 8 if received is not None and received.is_waiting:
                return ()  # it is no word of this transport: what it has is still to be said
            case 8:
                return (Ack(said.sequence_id or 0),)
            case _:
                if received is None:
                    raise broken("stateful reconnect was not negotiated")
                received.repeat_from(said.sequence_id or 0)
                return (Ack(self._acked),)

    def _call(self, codec: SignalRCodec, said: Said, id: str) -> Sequence[Frame]:
        alias, args = self._join.alias, arguments(said, codec.form)
        streams = tuple(said.stream_ids or ())
        if any(asked(stream) is not None for stream in streams):
            raise broken("an id of this kind is the server's: name the stream otherwise")
        want = Want.NOTHING
        if id:
            if id in self._pending:
                raise broken("the id of a running invocation cannot be used again")
            if len(self._pending) >= self._most:
                self._due.append(codec.failure(id, "busy: too many invocations wait"))
                return ()
            self._pending.add(id)
            want = Want.REPLY if said.type == INVOCATION else Want.STREAM
        return (Event(alias, said.target or "", args, id or None, want, streams),)

    @property
    def _most(self) -> int:
        return self._limits.calls + self._limits.waiting_events

    def _cancelled(self, codec: SignalRCodec, id: str) -> Sequence[Frame]:
        """The client wants no more of an invocation: it is completed now, and nothing follows."""
        if id not in self._pending:
            return ()
        self._pending.discard(id)
        self._due.append(codec.result(id, None))
        return (Cancel(id),)

    # --- out ------------------------------------------------------------------------------------

    def send(self, frame: Frame) -> Sequence[Payload]:
        codec = self._codec or JSON
        match frame:
            case Reply():
                return self._reply(codec, frame)
            case Event():
                id = None if frame.ref is None else question(frame.ref)
                body = frame.args.body()
                return (
                    codec.invoke(INVOCATION, frame.event, body, id=id, volatile=frame.volatile),
                )
            case Item():
                id = str(frame.ref)
                return (codec.item(id, frame.data.body()),) if id in self._pending else ()
            case End():
                return self._end(codec, frame)
            case Presence():
                return (codec.presence(frame.alias, frame),)
            case Joined():
                self._is_open = True
                return (_WELCOME,)
            case Refusal(event=None):
                if self._is_open or self._has_left:
                    return ()
                self._has_left = True
                return (_refusal(problem(frame.code, frame.text)),)
            case Gap():
                about = Body.of({"lost": frame.lost})
                return (codec.invoke(INVOCATION, "gap", about),)
            case Beat():
                return (codec.ping,) if self._is_open and not frame.is_answer else ()
            case Ack():
                return (codec.count(ACK, self.received),) if self._received is not None else ()
            case Welcome():
                return self._welcome(codec, frame)
            case Bye():
                return self._bye(codec, frame)
            case _:
                return ()

    def _reply(self, codec: SignalRCodec, reply: Reply) -> Sequence[Payload]:
        id = str(reply.ref)
        if id not in self._pending:
            return ()  # it was cancelled
        self._pending.discard(id)
        if reply.code:
            return (codec.failure(id, problem(reply.code, reply.text)),)
        return (codec.result(id, None if reply.data is None else reply.data.body()),)

    def _end(self, codec: SignalRCodec, end: End) -> Sequence[Payload]:
        id = str(end.ref)
        if id not in self._pending:
            return ()  # it was cancelled, or is an upload's: its invocation's completion says why
        self._pending.discard(id)
        if end.code:
            return (codec.failure(id, problem(end.code, end.text)),)
        return (codec.result(id, None),)

    def _welcome(self, codec: SignalRCodec, welcome: Welcome) -> Sequence[Payload]:
        if not welcome.resumed:
            return (Payload(b"", counted=False),) if self._polls else ()
        self._acked = welcome.acked
        return (codec.count(SEQUENCE, welcome.acked + 1),)

    def _bye(self, codec: SignalRCodec, bye: Bye) -> Sequence[Payload]:
        if self._has_left:
            return ()
        self._has_left = True
        error = None if bye.code == 1000 and not bye.text else bye.text or f"closed with {bye.code}"
        if not self._is_open:
            return (_refusal(error or "the server closes"),)
        return (codec.close(error, may_return=bye.retry is not None),)

    def due(self) -> Sequence[Payload]:
        due, self._due = self._due, []
        return due

    # --- time -----------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        found = [when for when in (self._until, self._ping, self._gone) if when is not None]
        return min(found, default=None)

    def _set_ping(self, now: float) -> None:
        if self._rhythm.ping > 0:
            self._ping = now + self._rhythm.ping

    @property
    def _gone(self) -> float | None:
        """When a client that says nothing is given up."""
        if self._last is None or self._rhythm.timeout <= 0:
            return None
        return self._last + self._rhythm.timeout

    def tick(self, now: float) -> Sequence[Frame]:
        if self._until is not None and now >= self._until:
            self._until = self._last = None
            return (Bye(4410, "no handshake came in time"),)
        gone = self._gone
        if gone is not None and now >= gone:
            self._last = self._ping = None
            return (Bye(4410, "nothing heard in time"),)
        if self._ping is not None and now >= self._ping:
            self._ping = now + self._rhythm.ping
            codec = self._codec or JSON
            if self._received is not None and self._received.is_untold:
                self._due.append(codec.count(ACK, self._received.tell()))
            if self._is_open:
                self._due.append(codec.ping)
        return ()

    def _caps(self, codec: SignalRCodec) -> Cap:
        return codec.caps if self._resumes else codec.caps & ~Cap.RESUME


def _completed(form: Form, said: Said, id: str) -> Frame:
    """The answer to a question of ours, or the end of an upload."""
    ref = asked(id)
    code, text = ("", "") if said.error is None else told(said.error)
    if ref is None:
        return End(id, code, text)
    return Reply(ref, "", None if code else result(said, form), code, text)


def _refusal(error: str) -> Payload:
    return Payload(b'{"error":%b}\x1e' % _json(error), counted=False)
