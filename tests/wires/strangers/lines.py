"""A wire nobody asked for: lines of JSON values, resumed by naming the first repeated message.

Each message is a verb and its fields, `event<TAB>"chat"<TAB>"said"<TAB>[{"text":"hi"}]<TAB>null`; a
POST body holds one on each line. Both ends number what they send from 1 and never write the number.
After a cut neither says what it has: each names the first message it is going to repeat
(`seq<TAB>3`), and the other drops what it knows.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from anywire.body import NO_ARGS, Args, Body, Form, Shape
from anywire.errors import ProtocolError
from anywire.frames import (
    Ack,
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
    Refusal,
    Reply,
    Want,
    Welcome,
)
from anywire.limits import Limits
from anywire.nesting import is_too_deep_json
from anywire.payload import Carrier, Message, Payload
from anywire.wires.base import (
    Answer,
    Cap,
    Codec,
    Hello,
    Opening,
    Reason,
    Request,
    Role,
    Route,
    Uplink,
    Why,
)

CAPS = Cap.REPLY | Cap.RESUME | Cap.MANY
ACK_EVERY = 8
UNCOUNTED = frozenset({"hello", "seq", "ack", "beat", "bye"})
_json = msgspec.json.encode


class LinesCodec:
    name = "lines"
    caps = CAPS

    def event(self, alias: str, event: str, body: Body, at: At) -> Payload:
        payload = line("event", alias, event, msgspec.Raw(body.inline), None)
        payload.volatile = at.volatile
        return payload

    def presence(self, alias: str, change: Presence) -> Payload:
        about = {"joined": change.joined, "left": change.left, "whole": change.whole}
        return line("event", alias, "presence", [about], None)


LINES = LinesCodec()


class Counter:
    """What both ends do alike: number what comes, drop what was repeated, acknowledge."""

    def __init__(self) -> None:
        self.at = 0
        self.received = 0
        self.told = 0
        self.due: list[Payload] = []

    def is_new(self, verb: str) -> bool:
        if verb in UNCOUNTED:
            return True
        self.at += 1
        if self.at <= self.received:
            return False
        self.received = self.at
        if self.received - self.told >= ACK_EVERY:
            self.acknowledge()
        return True

    def repeats_from(self, first: int) -> None:
        if not 1 <= first <= self.received + 1:
            raise ProtocolError("messages are missing before the first repeated one", code=4400)
        self.at = first - 1

    def acknowledge(self) -> None:
        self.told = self.received
        self.due.append(line("ack", self.received))

    def take_due(self) -> Sequence[Payload]:
        due, self.due = self.due, []
        return due


class LinesMachine:
    is_single = False

    def __init__(self, limits: Limits) -> None:
        self.codec: Codec = LINES
        self.caps = CAPS
        self._limits = limits
        self._counter = Counter()
        self._acked = 0
        self._last: float | None = None

    @property
    def received(self) -> int:
        return self._counter.received

    @received.setter
    def received(self, count: int) -> None:
        self._counter.received = self._counter.at = self._counter.told = count

    def opened(self, now: float) -> Sequence[Frame]:
        self._last = now
        return ()

    def heard(self, now: float) -> None:
        self._last = now

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        self._last = now
        verb, fields = parse(message, self._limits)
        if not self._counter.is_new(verb):
            return ()
        match verb, fields:
            case "seq", [int(first)]:
                self._counter.repeats_from(first)
                return (Ack(self._acked),)
            case "ack", [int(count)] if count >= 0:
                return (Ack(count),)
            case "beat", []:
                return ()
            case "join", [ref, str(alias), _]:
                return (Join(as_ref(ref), alias, alias, argument(message, 3)),)
            case "leave", [str(alias)]:
                return (Leave(alias),)
            case "event", [str(alias), str(event), list(), ref]:
                args = argument(message, 3, Shape.LIST)
                want = Want.NOTHING if ref is None else Want.REPLY
                return (Event(alias, event, args, ref=as_ref(ref), want=want),)
            case _:
                raise ProtocolError("not a line of this protocol", code=4400)

    def send(self, frame: Frame) -> Sequence[Payload]:
        match frame:
            case Welcome():
                hello = line("hello", frame.session, frame.token, frame.resumed)
                if not frame.resumed:
                    return (hello,)
                self.received = frame.received
                self._acked = frame.acked
                return (hello, line("seq", frame.acked + 1))
            case Joined():
                return (line("joined", frame.ref, frame.alias, raw(frame.data)),)
            case Refusal():
                fields = (frame.ref, frame.alias, frame.code, frame.text, frame.event)
                return (line("refused", *fields),)
            case Leave():
                return (line("leave", frame.alias, frame.code, frame.text),)
            case Event():
                at = At(frame.alias, volatile=frame.volatile)
                return (LINES.event(frame.alias, frame.event, as_body(frame.args), at),)
            case Presence():
                return (LINES.presence(frame.alias, frame),)
            case Reply():
                data = raw(frame.data, Shape.LIST)
                return (line("reply", frame.ref, data, frame.code, frame.text),)
            case Ack():
                return (line("ack", frame.seq),)
            case Bye():
                return (line("bye", frame.code, frame.text, frame.retry),)
            case _:
                return ()

    def due(self) -> Sequence[Payload]:
        return self._counter.take_due()

    def deadline(self) -> float | None:
        silence = self._limits.beat + self._limits.beat_timeout
        return None if self._last is None else self._last + silence

    def tick(self, now: float) -> Sequence[Frame]:
        when = self.deadline()
        if when is None or now < when:
            return ()
        self._last = None
        return (Bye(4410, "nothing heard in time"),)


class Lines:
    name = "lines"
    reserved: frozenset[str] = frozenset()

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/lines", Carrier.WEBSOCKET),
            Route("POST", "/lines", Carrier.POST),
        )

    def open(self, hello: Hello) -> Opening | Answer:
        session, key = hello.query.get("session", ""), hello.query.get("key", "")
        if hello.carrier is Carrier.POST:
            uplink = Uplink(unpack=unpack, taken=Answer(status=202))
            if not (session and key):
                return Answer(status=400, body=b"whose lines are these?")
            return Opening(
                machine=None, session=session, role=Role.UPLINK, token=key, uplink=uplink
            )
        machine = LinesMachine(hello.limits)
        if session and key:
            return Opening(machine=machine, session=session, role=Role.RESUME, token=key)
        return Opening(machine=machine, session=hello.id(0))

    def refuse(self, hello: Hello, why: Why) -> Answer:
        text = why.text.encode()[:100].decode(errors="ignore")
        if why.reason is Reason.ORIGIN or hello.carrier is not Carrier.WEBSOCKET:
            return Answer(status=403, body=text.encode())
        return Answer.accepted(4401, text, payloads=[line("bye", 4401, text, None)])


class LinesClient:
    is_single = False

    def __init__(self) -> None:
        self.caps = CAPS
        self._limits = Limits()
        self._counter = Counter()
        self._session = self._key = ""
        self._acked = 0

    def opening(self) -> Request:
        query = {"session": self._session, "key": self._key} if self._key else {}
        return Request(query=query)

    def opened(self, subprotocol: str | None, now: float) -> Sequence[Frame]:
        self._counter.due.clear()
        return ()

    def heard(self, now: float) -> None:
        """Nothing to do: this client never asks."""

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        verb, fields = parse(message, self._limits)
        if not self._counter.is_new(verb):
            return ()
        match verb, fields:
            case "hello", [str(session), str() | None as key, bool(resumed)]:
                return (self._welcomed(session, key, resumed),)
            case "seq", [int(first)]:
                self._counter.repeats_from(first)
                return ()
            case "ack", [int(count)]:
                self._acked = count
                return (Ack(count),)
            case "joined", [ref, str(alias), _]:
                return (Joined(as_ref(ref), alias, argument(message, 3)),)
            case "refused", [
                ref,
                str() | None as alias,
                str(code),
                str(text),
                str() | None as event,
            ]:
                return (Refusal(as_ref(ref), alias, code, text, event=event),)
            case "leave", [str(alias), str(code), str(text)]:
                return (Leave(alias, code=code, text=text),)
            case "event", [str(alias), str(event), list(), None]:
                return (Event(alias, event, argument(message, 3, Shape.LIST)),)
            case "reply", [(int() | str()) as ref, _, str(code), str(text)]:
                data = argument(message, 2, Shape.LIST) if fields[1] is not None else None
                return (Reply(ref, "", data, code, text),)
            case "bye", [int(code), str(text), int() | float() | None as retry]:
                return (Bye(code, text, retry),)
            case _:
                raise ProtocolError("not a line of this protocol", code=4400)

    def send(self, frame: Frame) -> Sequence[Payload]:
        match frame:
            case Join():
                return (line("join", frame.ref, frame.alias, raw(frame.params)),)
            case Leave():
                return (line("leave", frame.alias),)
            case Event():
                ref = None if frame.want is Want.NOTHING else frame.ref
                args = raw(frame.args, Shape.LIST)
                return (line("event", frame.alias, frame.event, args, ref),)
            case Ack():
                return (line("ack", frame.seq),)
            case Beat():
                return (line("beat"),)
            case _:
                return ()

    def due(self) -> Sequence[Payload]:
        return self._counter.take_due()

    def deadline(self) -> float | None:
        return None

    def tick(self, now: float) -> Sequence[Frame]:
        return ()

    def _welcomed(self, session: str, key: str | None, resumed: bool) -> Welcome:
        self._session, self._key = session, key or ""
        if resumed:
            self._counter.due.insert(0, line("seq", self._acked + 1))
        else:
            self._acked = 0
            self._counter = Counter()
        return Welcome(session, key, 0.0, resumed=resumed, received=self._acked)


def unpack(body: bytes) -> Sequence[Message]:
    try:
        return [text for text in body.decode().split("\n") if text]
    except UnicodeDecodeError as error:
        raise ProtocolError("lines are UTF-8", code=1007) from error


def line(verb: str, *fields: object) -> Payload:
    data = b"\t".join([verb.encode(), *map(_json, fields)])
    return Payload(data, counted=verb not in UNCOUNTED)


def parse(message: Message, limits: Limits) -> tuple[str, list[Any]]:
    if not isinstance(message, str):
        raise ProtocolError("lines are text", code=1003)
    if len(message.encode(errors="replace")) > limits.message:
        raise ProtocolError("the line is too long", code=1009)
    if is_too_deep_json(message, limits.nesting + 1):
        raise ProtocolError("the line nests too deep", code=4400)
    verb, *fields = message.split("\t")
    try:
        return verb, [msgspec.json.decode(field) for field in fields]
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProtocolError("a field is not JSON", code=4400) from error


def argument(message: Message, index: int, shape: Shape = Shape.ONE) -> Args:
    assert isinstance(message, str)
    field = message.split("\t")[index]
    if shape is Shape.ONE and field == "null":
        return NO_ARGS
    return Args(msgspec.Raw(field), Form.JSON, shape)


def as_ref(ref: object) -> int | str | None:
    if ref is None or (isinstance(ref, int) and not isinstance(ref, bool) and abs(ref) < 2**63):
        return ref
    if isinstance(ref, str):
        return ref
    raise ProtocolError("a ref is an integer or a string", code=4400)


def as_body(data: Data) -> Body:
    return data if isinstance(data, Body) else data.body()


def raw(data: Data | None, shape: Shape = Shape.ONE) -> msgspec.Raw | None:
    if data is None:
        return None
    body = as_body(data)
    return msgspec.Raw(body.inline if shape is Shape.LIST else body.inline_one)
