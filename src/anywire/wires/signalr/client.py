"""The client's end of a SignalR conversation, over a WebSocket that was not negotiated.

SignalR HubProtocol. For tests and people with a terminal; its URL names the hub.
"""

from collections.abc import Sequence

import msgspec

from anywire.body import Args, Form
from anywire.errors import ProtocolError
from anywire.frames import (
    Beat,
    Bye,
    Cancel,
    End,
    Event,
    Frame,
    Item,
    Ref,
    Refusal,
    Reply,
    Want,
)
from anywire.limits import Limits
from anywire.payload import Message, Payload
from anywire.wires.base import Cap, Request
from anywire.wires.signalr.codec import (
    INVOCATION,
    PROTOCOLS,
    STREAM_INVOCATION,
    asked,
    problem,
    question,
    told,
)
from anywire.wires.signalr.reading import Said, arguments, read_json, read_msgpack, result, value
from anywire.wires.signalr.records import Records

BEAT = 15.0
"""Seconds between two pings."""
SILENCE = 30.0
"""Seconds of silence after which the server is gone."""


class _Answer(msgspec.Struct):
    error: str | None = None


_answer = msgspec.json.Decoder(_Answer).decode


class SignalRClient:
    """Speaks `protocol`: `json`, or `messagepack`. Its alias is the hub's address, for its own
    side: nothing on this wire says it.
    """

    __slots__ = (
        "_alias",
        "_asked",
        "_codec",
        "_due",
        "_is_open",
        "_last",
        "_limits",
        "_next",
        "_protocol",
        "_records",
        "caps",
    )

    is_single = True

    def __init__(
        self, alias: str = "", *, protocol: str = "json", limits: Limits | None = None
    ) -> None:
        self._alias = alias
        self._protocol = protocol
        self._codec = PROTOCOLS[protocol]
        self.caps = self._codec.caps & ~Cap.RESUME
        self._limits = limits or Limits()
        self._records = Records(self._limits)
        self._is_open = False
        self._asked: dict[str, tuple[Ref, bool]] = {}
        """What was asked for under which ref, and whether it was a stream."""
        self._last: float | None = None
        self._next = 0.0
        self._due: list[Payload] = []

    def opening(self) -> Request:
        return Request()

    def opened(self, subprotocol: str | None, now: float) -> Sequence[Frame]:
        self._records = Records(self._limits)
        self._is_open = False
        self._asked.clear()
        self._last, self._next = now, now + BEAT
        hand = msgspec.json.encode({"protocol": self._protocol, "version": 1})
        self._due.append(Payload(hand + b"\x1e"))
        return ()

    def heard(self, now: float) -> None:
        """Only a message counts."""

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        self._last = now
        data = message.encode(errors="replace") if isinstance(message, str) else message
        if self._is_open:
            return self._read(data)
        text = self._records.first(data)
        if text is None:
            return ()
        try:
            error = _answer(text).error
        except (msgspec.DecodeError, UnicodeError, RecursionError) as wrong:
            raise ProtocolError(f"not the answer to a handshake: {wrong}") from wrong
        if error is not None:
            code, said = told(error)
            return (Refusal(None, self._alias, code, said),)
        self._is_open = True
        return self._read(self._records.rest())

    def send(self, frame: Frame) -> Sequence[Payload]:
        codec = self._codec
        match frame:
            case Event():
                return (self._event(frame),)
            case Item():
                return (codec.item(str(frame.ref), frame.data.body()),)
            case End():
                id = str(frame.ref)
                if frame.code:
                    return (codec.failure(id, problem(frame.code, frame.text)),)
                return (codec.result(id, None),)
            case Reply():
                id = question(frame.ref) if isinstance(frame.ref, int) else frame.ref
                if frame.code:
                    return (codec.failure(id, problem(frame.code, frame.text)),)
                return (codec.result(id, None if frame.data is None else frame.data.body()),)
            case Cancel():
                self._asked.pop(str(frame.ref), None)
                return (codec.cancel(str(frame.ref)),)
            case Beat():
                return () if frame.is_answer else (codec.ping,)
            case Bye():
                return (codec.close(None, may_return=False),)
            case _:
                return ()

    def due(self) -> Sequence[Payload]:
        due, self._due = self._due, []
        return due

    def deadline(self) -> float | None:
        return None if self._last is None else min(self._next, self._last + SILENCE)

    def tick(self, now: float) -> Sequence[Frame]:
        if self._last is None:
            return ()
        if now >= self._last + SILENCE:
            self._last = None
            return (Bye(4410, "nothing heard in time"),)
        if now >= self._next:
            self._next = now + BEAT
            self._due.append(self._codec.ping)
        return ()

    # --- inside ---------------------------------------------------------------------------------

    def _event(self, frame: Event) -> Payload:
        kind, id = INVOCATION, None
        if frame.want is not Want.NOTHING and frame.ref is not None:
            id = str(frame.ref)
            is_stream = frame.want is Want.STREAM
            self._asked[id] = (frame.ref, is_stream)
            kind = STREAM_INVOCATION if is_stream else INVOCATION
        return self._codec.invoke(
            kind,
            frame.event,
            frame.args.body(),
            id=id,
            streams=tuple(map(str, frame.streams)),
            volatile=frame.volatile,
        )

    def _read(self, data: bytes) -> Sequence[Frame]:
        frames: list[Frame] = []
        is_json = self._codec.form is Form.JSON
        records = self._records.texts(data) if is_json else self._records.packed(data)
        for record in records:
            read = read_json if is_json else read_msgpack
            said = read(record, self._limits)
            if said is not None:
                frames += self._frames(said)
        return frames

    def _frames(self, said: Said) -> Sequence[Frame]:
        form, id = self._codec.form, said.invocation_id
        match said.type:
            case 1:
                want = Want.NOTHING if id is None else Want.REPLY
                args = arguments(said, form)
                number = None if id is None else asked(id)
                ref = id if number is None else number
                return (Event(self._alias, said.target or "", args, ref, want),)
            case 2 if id in self._asked:
                item = value(said.item, form)
                return (Item(self._asked[id][0], item or Args(b"null")),)
            case 3 if id in self._asked:
                ref, is_stream = self._asked.pop(id)
                code, text = ("", "") if said.error is None else told(said.error)
                if is_stream:
                    return (End(ref, code, text),)
                data = None if code else result(said, form)
                return (Reply(ref, self._alias, data, code, text),)
            case 6:
                return (Beat(),)
            case 7:
                retry = 0.0 if said.allow_reconnect else None
                return (Bye(1000, said.error or "", retry),)
            case _:
                return ()
