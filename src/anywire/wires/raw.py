"""Raw: messages as they are, for clients and protocols of the application's own.

There is no protocol to speak of: a text or binary message is the event `message`, the path names
the address, joined at opening, and nothing is answered. Any other event travels as
`{"event": …, "data": …}`, both ways; a refusal that leaves it open is the event `error`.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET, UnsetType

from anywire.body import Body
from anywire.errors import ConfigurationError, close_reason
from anywire.frames import At, Beat, Bye, Event, Frame, Join, Presence
from anywire.limits import Deflate, Limits
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
from anywire.wires.nameless import (
    PART,
    RESERVED,
    event_of,
    join_at,
    message_of,
    named,
    presence_of,
    said,
)
from anywire.wires.pulse import Pulse
from anywire.wires.refusal import CODES, answer, chosen, foreign, words


class _Typed(msgspec.Struct, forbid_unknown_fields=True):
    type: str


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
        payload = message_of(event, body)
        payload.volatile = at.volatile
        return payload

    def presence(self, alias: str, change: Presence) -> Payload:
        return named("presence", presence_of(change))


RAW = RawCodec()


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
        return (event_of(self._alias, message, self._limits),)

    def send(self, frame: Frame) -> Sequence[Payload]:
        return said(frame, RAW)

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
    reserved = RESERVED

    def __init__(
        self,
        path: str | None = None,
        *,
        to: str = PART,
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
            self._paths.setdefault(path or f"/raw/{PART}", to)
        for known, address in self._paths.items():
            if PART in address and not known.endswith(PART):
                raise ConfigurationError(
                    f'Raw: the path "{known}" must end with {PART}, '
                    f'or name its address: Raw("{known}", to="echo")'
                )
        self.subprotocols = tuple(subprotocols)
        self.required = required
        self.heartbeat = heartbeat
        self.beat = beat
        self.mount = Mount.of(limits=limits, origins=origins, deflate=deflate)

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
        join = join_at(address, hello.query)
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

    def _address(self, hello: Hello) -> str | None:
        """The address that this request's path stands for; exact paths win."""
        if hello.path in self._paths:
            return self._paths[hello.path]
        if not hello.address:
            return None
        for path, address in self._paths.items():
            if path.endswith(PART) and hello.path.startswith(path[: -len(PART)]):
                return hello.address if address == PART else address.replace(PART, hello.address)
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
        return (event_of(self._alias, message, self._limits),)

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
