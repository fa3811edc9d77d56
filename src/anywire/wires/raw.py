"""Raw: messages as they are, for clients and protocols of the application's own.

There is no protocol to speak of: a text or binary message is the event `message`, the path names
the address, joined at opening, and nothing is answered. Any other event travels as
`{"event": …, "data": …}`, both ways; a refusal that leaves it open is the event `error`.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET, UnsetType

from anywire.body import NO_ARGS, Args, Body, Form
from anywire.errors import ConfigurationError, ProtocolError, close_reason
from anywire.frames import (
    At,
    Beat,
    Bye,
    Event,
    Frame,
    Gap,
    Join,
    Position,
    Presence,
    Refusal,
    Since,
)
from anywire.limits import Deflate, Limits
from anywire.nesting import is_too_deep_json
from anywire.payload import Carrier, Message, Payload
from anywire.wires.base import (
    SESSION_ID,
    Answer,
    Cap,
    Codec,
    Hello,
    Mount,
    Opening,
    Reason,
    Request,
    Route,
    Why,
)
from anywire.wires.pulse import Pulse
from anywire.wires.refusal import CODES, answer, chosen, count, foreign, no_route, words

_PART = "{address}"
_POSITION = ("offset", "epoch", "last")

_json = msgspec.json.Encoder().encode


class _Named(msgspec.Struct, forbid_unknown_fields=True):
    event: str
    data: msgspec.Raw = msgspec.Raw()


class _Typed(msgspec.Struct, forbid_unknown_fields=True):
    type: str


_named = msgspec.json.Decoder(_Named).decode
_typed = msgspec.json.Decoder(_Typed).decode


class RawCodec:
    """`message` bare; `{"event":"said","data":{"text":"hi"}}` for any other event."""

    __slots__ = ()

    name = "raw"
    caps = Cap.NONE

    def event(self, alias: str, event: str, body: Body, at: At) -> Payload:
        lone = body.lone
        if lone is not None and event == "message":
            if isinstance(lone, str):
                return Payload(lone.encode(), volatile=at.volatile)
            return Payload(lone, is_text=False, volatile=at.volatile)
        bare = body.bare if event == "message" else None
        if bare is None or _would_be_named(bare, body):
            payload = _named_payload(event, body)
        else:
            payload = Payload.of(bare)
        payload.volatile = at.volatile
        return payload

    def presence(self, alias: str, change: Presence) -> Payload:
        about = {"joined": change.joined, "left": change.left, "whole": change.whole}
        return _named_payload("presence", Body.of(about))


RAW = RawCodec()
_STEADY, _VOLATILE = At(""), At("", volatile=True)
"""All that this codec asks of where an event stands."""


class RawMachine:
    """The server's end: joins at opening, then every message is an event."""

    __slots__ = ("_alias", "_beats", "_due", "_join", "_limits", "_pulse", "_wall", "received")

    codec: Codec = RAW
    caps = RAW.caps
    is_single = True

    def __init__(
        self, join: Join, limits: Limits, pulse: Pulse, *, wall: float, beats: bool
    ) -> None:
        self.received = 0
        self._alias = join.alias
        self._join: Join | None = join
        self._limits = limits
        self._pulse = pulse
        self._wall = wall
        self._beats = beats
        self._due: list[Payload] | None = None

    def opened(self, now: float) -> Sequence[Frame]:
        self._pulse.heard(now)
        join, self._join = self._join, None
        assert join is not None  # a transport stands once
        return (join,)

    def heard(self, now: float) -> None:
        self._pulse.heard(now)

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        self._pulse.heard(now)
        if self._beats and _is_ping(message):
            pong = Payload(b'{"type":"pong","timestamp":%d}' % (now + self._wall))
            self._due = [*(self._due or ()), pong]
            return ()
        return (_event(self._alias, message, self._limits),)

    def send(self, frame: Frame) -> Sequence[Payload]:
        match frame:
            case Event():
                at = _VOLATILE if frame.volatile else _STEADY
                return (RAW.event(frame.alias, frame.event, frame.args.body(), at),)
            case Presence():
                return (RAW.presence(frame.alias, frame),)
            case Gap():
                return (_named_payload("gap", Body.of({"lost": frame.lost})),)
            case Refusal(event=str()):
                error: dict[str, object] = {
                    "event": frame.event,
                    "code": frame.code,
                    "text": frame.text,
                }
                if frame.data is not None:
                    error["data"] = frame.data.body().one_value
                return (_named_payload("error", Body.of(error)),)
            case _:
                return ()

    def due(self) -> Sequence[Payload]:
        if self._due is None:
            return ()
        due, self._due = self._due, None
        return due

    def deadline(self) -> float | None:
        return self._pulse.deadline()

    def tick(self, now: float) -> Sequence[Frame]:
        return self._pulse.tick(now)


class Raw:
    """Raw conversations at `path`, or at several: `paths` maps each to its address.

    `to`: the address of a `path` that does not name one. `limits`, `origins` and `deflate` are for
    these paths alone, instead of the app's: see `Mount`.

    `subprotocols`: the first of a client's offers that stands here is chosen; an offer of unknown
    ones goes on without (RFC 6455, 4.2.2), or is refused with 400 when one is `required`.
    `heartbeat`: answer `{"type":"ping"}`. `beat`: seconds of silence before the carrier's probe;
    None: `Limits.beat`.

    >>> wire = Raw("/feeds/{address}", paths={"/echo": "echo"}, subprotocols=["graphql-ws"])
    >>> [route.path for route in wire.routes()]
    ['/echo', '/feeds/{address}']
    """

    __slots__ = ("_paths", "beat", "heartbeat", "mount", "required", "subprotocols")

    name = "raw"
    reserved = frozenset({"error", "gap"})
    idle: Payload | None = None

    def __init__(
        self,
        path: str | None = None,
        *,
        to: str = _PART,
        paths: Mapping[str, str] | None = None,
        subprotocols: Sequence[str] = (),
        required: bool = False,
        heartbeat: bool = False,
        beat: float | None = None,
        limits: Limits | None = None,
        origins: Sequence[str] | str | None = None,
        deflate: Deflate | UnsetType | None = UNSET,
    ) -> None:
        self._paths = dict(paths or {})
        if path is not None or paths is None:
            self._paths.setdefault(path or f"/raw/{_PART}", to)
        for known, address in self._paths.items():
            if _PART in address and not known.endswith(_PART):
                raise ConfigurationError(
                    f'Raw: the path "{known}" must end with {_PART}, '
                    f'or name its address: Raw("{known}", to="echo")'
                )
        self.subprotocols = tuple(subprotocols)
        self.required = required
        self.heartbeat = heartbeat
        self.beat = beat
        pages = (origins,) if isinstance(origins, str) else origins
        self.mount = Mount(
            limits=limits, origins=None if pages is None else tuple(pages), deflate=deflate
        )

    def routes(self) -> Sequence[Route]:
        return [Route("GET", path, Carrier.WEBSOCKET, self.mount) for path in self._paths]

    def open(self, hello: Hello) -> Opening | Answer:
        address = self._address(hello)
        if address is None:
            return answer(404, f"no address at this path; known: {', '.join(self._paths)}")
        subprotocol = chosen(hello, self.subprotocols)
        if subprotocol is None and self.required:
            return answer(
                400, f"a subprotocol is required here; known: {', '.join(self.subprotocols)}"
            )
        limits = hello.limits
        since, query = _since(address, hello.query)
        join = Join(
            ref=None,
            address=address,
            alias=address,
            params=Args(msgspec.Raw(_json(query))) if query else NO_ARGS,
            since=since,
        )
        pulse = Pulse(limits.beat if self.beat is None else self.beat, limits.beat_timeout)
        machine = RawMachine(join, limits, pulse, wall=hello.clock, beats=self.heartbeat)
        return Opening(machine=machine, session=hello.id(SESSION_ID), subprotocol=subprotocol)

    def refuse(self, hello: Hello, why: Why) -> Answer:
        """An upgrade and a close, as browsers see no HTTP status; a foreign origin gets none."""
        if why.reason is Reason.ORIGIN:
            return foreign(why)
        reason = close_reason(words(why))
        return Answer.accepted(
            CODES[why.reason], reason, subprotocol=chosen(hello, self.subprotocols)
        )

    def pack(self, carrier: Carrier, payloads: Sequence[Payload]) -> bytes:
        raise no_route(self.name, carrier)

    def unpack(self, carrier: Carrier, body: bytes) -> Sequence[Message]:
        raise no_route(self.name, carrier)

    def _address(self, hello: Hello) -> str | None:
        """The address that this request's path stands for; exact paths win."""
        if hello.path in self._paths:
            return self._paths[hello.path]
        if not hello.address:
            return None
        for path, address in self._paths.items():
            if path.endswith(_PART) and hello.path.startswith(path[: -len(_PART)]):
                return hello.address if address == _PART else address.replace(_PART, hello.address)
        return None


class RawClient:
    """The other end, for tests and for people with a terminal.

    `beat`: seconds of silence before a ping, for servers with `Raw(heartbeat=True)`.
    """

    __slots__ = ("_alias", "_due", "_limits", "_pulse", "subprotocols")

    caps = RAW.caps
    is_single = True

    def __init__(
        self,
        alias: str = "",
        *,
        subprotocols: Sequence[str] = (),
        beat: float = 0.0,
        beat_timeout: float = 10.0,
        limits: Limits | None = None,
    ) -> None:
        self._alias = alias
        self._limits = limits or Limits()
        self._pulse = Pulse(beat, beat_timeout)
        self._due: list[Payload] = []
        self.subprotocols = subprotocols

    def opening(self) -> Request:
        return Request(subprotocols=self.subprotocols)

    def opened(self, subprotocol: str | None, now: float) -> Sequence[Frame]:
        self._pulse.heard(now)
        return ()

    def heard(self, now: float) -> None:
        self._pulse.heard(now)

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        self._pulse.heard(now)
        if self._pulse.beat > 0 and _is_pong(message):
            return (Beat(is_answer=True),)
        return (_event(self._alias, message, self._limits),)

    def send(self, frame: Frame) -> Sequence[Payload]:
        if isinstance(frame, Event):
            at = At(frame.alias, volatile=frame.volatile)
            return (RAW.event(frame.alias, frame.event, frame.args.body(), at),)
        if isinstance(frame, Beat) and not frame.is_answer:
            return (Payload(b'{"type":"ping"}'),)
        return ()

    def due(self) -> Sequence[Payload]:
        due, self._due = self._due, []
        return due

    def deadline(self) -> float | None:
        return self._pulse.deadline()

    def tick(self, now: float) -> Sequence[Frame]:
        frames = self._pulse.tick(now)
        if not frames or isinstance(frames[0], Bye):
            return frames
        self._due += self.send(Beat())
        return ()


def _event(alias: str, message: Message, limits: Limits) -> Event:
    """A message as an event: one with a name, if it is written as we write those.

    Raises ProtocolError for one that is too large.
    """
    size = len(message)
    if isinstance(message, bytes):
        if size > limits.message:
            raise _too_large(limits)
        return Event(alias, "message", Args(message, Form.BYTES))
    if 4 * size > limits.message and len(message.encode(errors="replace")) > limits.message:
        raise _too_large(limits)
    if message[:1] == "{" and '"event"' in message:
        if not is_too_deep_json(message, limits.nesting + 1):
            try:
                named = _named(message)
            except (msgspec.DecodeError, UnicodeError):
                pass  # an object of the application's own
            else:
                return Event(alias, named.event, Args(named.data) if len(named.data) else NO_ARGS)
    return Event(alias, "message", Args(message, Form.TEXT))


def _too_large(limits: Limits) -> ProtocolError:
    return ProtocolError(f"a message has at most {limits.message} bytes", code=1009)


def _would_be_named(bare: Message, body: Body) -> bool:
    """Whether an object would be taken for an event; text stays text, whatever it looks like."""
    if not isinstance(bare, str) or bare[:1] != "{" or body.one[0][:1] != b"{":
        return False
    try:
        _named(bare)
    except msgspec.DecodeError:
        return False
    return True


def _named_payload(event: str, body: Body) -> Payload:
    data = b',"data":' + body.inline_one if body.count else b""
    return Payload(b'{"event":%b%b}' % (_json(event), data))


def _is_ping(message: Message) -> bool:
    return _is_typed(message, "ping")


def _is_pong(message: Message) -> bool:
    return isinstance(message, str) and message.startswith('{"type":"pong"')


def _is_typed(message: Message, kind: str) -> bool:
    """Whether a message is exactly `{"type": kind}`, however it is spaced."""
    if not isinstance(message, str) or len(message) > 64 or kind not in message:
        return False
    try:
        return _typed(message).type == kind
    except (msgspec.DecodeError, UnicodeError):
        return False


def _since(address: str, query: Mapping[str, str]) -> tuple[Since | None, Mapping[str, str]]:
    """A position in the query (`offset` and `epoch`, or `last`), and the query without it."""
    offset, last = (count(query.get(name, "")) for name in ("offset", "last"))
    epoch = query.get("epoch")
    if offset is not None and epoch:
        since = Since({address: Position(offset, epoch)})
    elif last is not None:
        since = Since(last=last)
    else:
        return None, query
    return since, {name: value for name, value in query.items() if name not in _POSITION}
