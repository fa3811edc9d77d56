"""A wire nobody asked for: one cursor, bytes beside the text, broadcasts that want an answer.

Each publication carries a mark of the node that wrote it; a client comes back with the last mark it
saw, whatever room it was in. A text message says how many binary ones follow and where their bytes
belong: `{"kind":"event","at":"chat","name":"file","args":[null],"slots":[1],"mark":7}`, and then
the bytes.
"""

from collections.abc import Sequence

import msgspec

from anywire.body import NO_ARGS, Args, Body, Form, Shape
from anywire.errors import ProtocolError
from anywire.frames import (
    At,
    Beat,
    Bye,
    Data,
    Event,
    Frame,
    Join,
    Joined,
    Leave,
    Presence,
    Ref,
    Refusal,
    Reply,
    Since,
    Want,
)
from anywire.limits import Limits
from anywire.nesting import is_too_deep_json
from anywire.payload import Carrier, Message, Payload
from anywire.wires.base import Answer, Cap, Codec, Hello, Opening, Reason, Request, Route, Why

CAPS = Cap.REPLY | Cap.CALL | Cap.BINARY | Cap.RECOVER | Cap.MANY


class Packet(msgspec.Struct, omit_defaults=True):
    """One text message, either way."""

    kind: str
    at: str | None = None
    name: str | None = None
    ref: int | str | None = None
    args: msgspec.Raw = msgspec.Raw(b"null")
    slots: tuple[int, ...] = ()
    mark: int | None = None
    code: str = ""
    text: str = ""
    volatile: bool = False


_packet = msgspec.json.Decoder(Packet).decode


class CursorCodec:
    name = "cursor"
    caps = CAPS

    def event(self, alias: str, event: str, body: Body, at: At) -> Payload:
        packet = Packet("event", alias, event, at.ref, mark=at.mark, volatile=at.volatile)
        payload = pack(packet, body)
        payload.volatile = at.volatile
        return payload

    def presence(self, alias: str, change: Presence) -> Payload:
        about = {"joined": change.joined, "left": change.left, "whole": change.whole}
        return pack(Packet("event", alias, "presence"), Body.of(about))


CURSOR = CursorCodec()


class Assembly:
    """A text message that waits for the bytes that belong into it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._packet: Packet | None = None
        self._blobs: list[bytes] = []
        self._size = 0

    def take(self, message: Message) -> tuple[Packet, Args] | None:
        """The packet once it is whole, with its arguments."""
        if isinstance(message, str):
            if self._packet is not None:
                raise ProtocolError("bytes are missing", code=4400)
            self._packet, self._size = self._parse(message)
        elif self._packet is None:
            raise ProtocolError("bytes that nobody announced", code=4400)
        else:
            self._size += len(message)
            if self._size > self._limits.message:
                raise ProtocolError("the message is too large", code=1009)
            self._blobs.append(message)
        packet = self._packet
        if len(self._blobs) < len(packet.slots):
            return None
        blobs = tuple(zip(packet.slots, self._blobs, strict=True))
        self._packet, self._blobs = None, []
        if bytes(packet.args) == b"null":
            return packet, NO_ARGS
        return packet, Args(packet.args, Form.JSON, Shape.LIST, blobs)

    def _parse(self, text: str) -> tuple[Packet, int]:
        size = len(text.encode(errors="replace"))
        if size > self._limits.message:
            raise ProtocolError("the message is too large", code=1009)
        if is_too_deep_json(text, self._limits.nesting + 2):
            raise ProtocolError("the message nests too deep", code=4400)
        try:
            packet = _packet(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ProtocolError("not a packet", code=4400) from error
        args = bytes(packet.args)
        if args[:1] != b"[" and args != b"null":
            raise ProtocolError("args must be a list", code=4400)
        if len(packet.slots) > self._limits.attachments:
            raise ProtocolError("too many attachments", code=4400)
        end = 0
        for slot in packet.slots:
            if slot < end or args[slot : slot + 4] != b"null":
                raise ProtocolError("a slot is not null", code=4400)
            end = slot + 4
        if isinstance(packet.ref, int) and abs(packet.ref) >= 2**63:
            raise ProtocolError("a ref has 64 bits", code=4400)
        return packet, size


class CursorMachine:
    is_single = False

    def __init__(self, limits: Limits) -> None:
        self.codec: Codec = CURSOR
        self.caps = CAPS
        self.received = 0
        self._assembly = Assembly(limits)
        self._limits = limits
        self._last: float | None = None

    def opened(self, now: float) -> Sequence[Frame]:
        self._last = now
        return ()

    def heard(self, now: float) -> None:
        self._last = now

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        self._last = now
        whole = self._assembly.take(message)
        if whole is None:
            return ()
        packet, args = whole
        match packet:
            case Packet(kind="join", at=str(alias), mark=mark):
                since = None if mark is None else Since(mark=mark)
                return (Join(packet.ref, alias, alias, args, since),)
            case Packet(kind="leave", at=str(alias)):
                return (Leave(alias, packet.ref),)
            case Packet(kind="event", at=str(alias), name=str(name)):
                return (called(packet, alias, name, args),)
            case Packet(kind="reply", at=str(alias), ref=(int() | str()) as ref):
                return (Reply(ref, alias, args, packet.code, packet.text),)
            case Packet(kind="beat"):
                return (Beat(is_answer=True),)
            case _:
                raise ProtocolError("not a packet of a client", code=4400)

    def send(self, frame: Frame) -> Sequence[Payload]:
        match frame:
            case Joined():
                return (pack(Packet("joined", frame.alias, ref=frame.ref), frame.data),)
            case Refusal():
                packet = Packet(
                    "refused",
                    frame.alias,
                    frame.event,
                    frame.ref,
                    code=frame.code,
                    text=frame.text,
                )
                return (pack(packet, frame.data),)
            case Leave():
                return (left(frame),)
            case Event():
                return (event(frame),)
            case Presence():
                return (CURSOR.presence(frame.alias, frame),)
            case Reply():
                return (reply(frame),)
            case Bye():
                return (pack(Packet("bye", code=str(frame.code), text=frame.text), None),)
            case _:
                return ()

    def due(self) -> Sequence[Payload]:
        return ()

    def deadline(self) -> float | None:
        return None if self._last is None else self._last + self._limits.beat

    def tick(self, now: float) -> Sequence[Frame]:
        when = self.deadline()
        if when is None or now < when:
            return ()
        self._last = None
        return (Bye(4410, "nothing heard in time"),)


class Cursor:
    name = "cursor"
    reserved: frozenset[str] = frozenset()

    def routes(self) -> Sequence[Route]:
        return (Route("GET", "/cursor", Carrier.WEBSOCKET),)

    def open(self, hello: Hello) -> Opening | Answer:
        return Opening(machine=CursorMachine(hello.limits), session=hello.id(0))

    def refuse(self, hello: Hello, why: Why) -> Answer:
        if why.reason is Reason.ORIGIN:
            return Answer(status=403)
        return Answer.accepted(4401 if why.reason is Reason.FORBIDDEN else 1013, why.reason.value)


class CursorClient:
    is_single = False

    def __init__(self) -> None:
        self.caps = CAPS
        self._assembly = Assembly(Limits())
        self._mark: int | None = None

    def opening(self) -> Request:
        return Request()

    def opened(self, subprotocol: str | None, now: float) -> Sequence[Frame]:
        self._assembly = Assembly(Limits())
        return ()

    def heard(self, now: float) -> None:
        """Nothing to do: this client never asks."""

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        whole = self._assembly.take(message)
        if whole is None:
            return ()
        packet, args = whole
        data = None if args is NO_ARGS else args
        match packet:
            case Packet(kind="joined", at=str(alias)):
                return (Joined(packet.ref, alias, data),)
            case Packet(kind="refused"):
                refusal = Refusal(packet.ref, packet.at, packet.code, packet.text, data)
                refusal.event = packet.name
                return (refusal,)
            case Packet(kind="leave", at=str(alias)):
                return (Leave(alias, packet.ref, packet.code, packet.text),)
            case Packet(kind="event", at=str(alias), name=str(name)):
                if packet.mark is not None:
                    self._mark = packet.mark
                return (called(packet, alias, name, args),)
            case Packet(kind="reply", at=str(alias), ref=(int() | str()) as ref):
                return (Reply(ref, alias, data, packet.code, packet.text),)
            case Packet(kind="bye", code=code) if code.isascii() and code.isdigit():
                return (Bye(int(code), packet.text),)
            case _:
                raise ProtocolError("not a packet of a server", code=4400)

    def send(self, frame: Frame) -> Sequence[Payload]:
        match frame:
            case Join():
                packet = Packet("join", frame.alias, ref=frame.ref, mark=self._mark)
                return (pack(packet, frame.params),)
            case Leave():
                return (left(frame),)
            case Event():
                return (event(frame),)
            case Reply():
                return (reply(frame),)
            case Beat(is_answer=False):
                return (pack(Packet("beat"), None),)
            case _:
                return ()

    def due(self) -> Sequence[Payload]:
        return ()

    def deadline(self) -> float | None:
        return None

    def tick(self, now: float) -> Sequence[Frame]:
        return ()


def pack(packet: Packet, data: Data | None) -> Payload:
    """The text and, behind it, the bytes that were in it."""
    blobs: tuple[bytes, ...] = ()
    body = data if data is None or isinstance(data, Body) else data.body()
    if body is not None:
        packet.args = msgspec.Raw(body.json)
        packet.slots = tuple(offset for offset, _ in body.blobs)
        blobs = tuple(blob for _, blob in body.blobs)
    rest = tuple(Payload(blob, is_text=False) for blob in blobs)
    return Payload(msgspec.json.encode(packet), rest=rest)


def called(packet: Packet, alias: str, name: str, args: Args) -> Event:
    ref: Ref | None = packet.ref
    want = Want.NOTHING if ref is None else Want.REPLY
    return Event(alias, name, args, ref=ref, want=want, volatile=packet.volatile)


def event(frame: Event) -> Payload:
    ref = None if frame.want is Want.NOTHING else frame.ref
    packet = Packet("event", frame.alias, frame.event, ref, volatile=frame.volatile)
    payload = pack(packet, frame.args)
    payload.volatile = frame.volatile
    return payload


def left(frame: Leave) -> Payload:
    return pack(Packet("leave", frame.alias, ref=frame.ref, code=frame.code, text=frame.text), None)


def reply(frame: Reply) -> Payload:
    packet = Packet("reply", frame.alias, ref=frame.ref, code=frame.code, text=frame.text)
    return pack(packet, frame.data)
