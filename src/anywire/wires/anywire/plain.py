"""Plain connections: the anywire protocol for clients that know nothing of it, both ends.

docs/reference/protocol.md, Plain connections. A JSON object whose `type` is no message of ours is
the event of that name; the connection is plain until the client speaks the whole protocol.
"""

from collections.abc import Sequence

import msgspec

from anywire.body import NO_ARGS, Args, Body, Form, Shape
from anywire.errors import ProtocolError
from anywire.frames import (
    At,
    Beat,
    Bye,
    Event,
    Frame,
    Gap,
    Join,
    Presence,
    Ref,
    Refusal,
    Reply,
    Want,
    Welcome,
)
from anywire.limits import Limits
from anywire.payload import Message, Payload
from anywire.wires.anywire.codec import JSON, check_text
from anywire.wires.anywire.machine import OwnMachine, pong
from anywire.wires.anywire.message import PingSaid, broken, check_ref, is_given
from anywire.wires.anywire.message import Ref as AnyRef
from anywire.wires.base import Cap, Codec, Request
from anywire.wires.pulse import Pulse

Members = dict[str, msgspec.Raw]

_json = msgspec.json.Encoder().encode
_members = msgspec.json.Decoder(Members).decode
_any = msgspec.json.Decoder(msgspec.Raw).decode
_name = msgspec.json.Decoder(str).decode
_ref: "msgspec.json.Decoder[int | str]" = msgspec.json.Decoder(AnyRef)
_OURS = frozenset(
    f'"{name}"'.encode()
    for name in "auth join leave event call reply item end cancel past ack pong bye".split()
)
"""Words of a client with members they must have: one, complete, and the connection speaks the whole
protocol. `ping` and `beat` have none, so they prove nothing."""


class PlainCodec:
    """`{"type": event, …fields}` or `{"type": event, "data": value}`; the address is the home."""

    __slots__ = ()

    name = "anywire.plain"
    caps = Cap.REPLY

    def event(self, alias: str, event: str, body: Body, at: At) -> Payload:
        """`{"type":"said","by":"ana","text":"hi"}`"""
        data = b'{"type":%b%b}' % (_json(event), body.derived("anywire.plain", _event_fields))
        return Payload(data, volatile=at.volatile)

    def presence(self, alias: str, change: Presence) -> Payload:
        return Payload(
            _json(
                {
                    "type": "presence",
                    "joined": change.joined,
                    "left": change.left,
                    "whole": change.whole,
                }
            )
        )

    def say(self, frame: Frame, event: str | None = None) -> Sequence[Payload]:
        """The message for a frame; `event` is the name of the event that a reply answers."""
        match frame:
            case Event():
                at = At(frame.alias, volatile=frame.volatile)
                return (self.event(frame.alias, frame.event, frame.args.body(), at),)
            case Reply(code=""):
                members = b"" if frame.data is None else fields(frame.data.body(), _ANSWERED)
                return (Payload(b'{"type":"reply","id":%b%b}' % (_json(frame.ref), members)),)
            case Reply() | Refusal():
                return (_error(frame, event),)
            case Presence():
                return (self.presence(frame.alias, frame),)
            case Gap():
                return (Payload(_json({"type": "gap", "lost": frame.lost})),)
            case _:
                return ()


_TOLD = frozenset({"type"})
_ANSWERED = frozenset({"type", "id"})
"""Names that are taken: in an event from the server; in an answer, and in what asks for one."""

PLAIN = PlainCodec()


class PlainMachine:
    """The server's end: a member at `home`, until the client speaks the whole protocol."""

    __slots__ = (
        "_asked",
        "_due",
        "_full",
        "_home",
        "_limits",
        "_pulse",
        "_session",
        "_wall",
        "caps",
        "codec",
        "received",
    )

    is_single = False

    def __init__(
        self, home: str | None, limits: Limits, pulse: Pulse, *, wall: float, session: str
    ) -> None:
        self.codec: Codec = PLAIN
        self.caps = PLAIN.caps
        self.received = 0
        self._home = home
        self._limits = limits
        self._pulse = pulse
        self._wall = wall
        self._session = session
        self._asked: dict[Ref, str] = {}
        """Names of events that wait for a reply: an error tells which one it was."""
        self._due: list[Payload] = []
        self._full: OwnMachine | None = None

    def opened(self, now: float) -> Sequence[Frame]:
        self._pulse.heard(now)
        if self._home is None:
            return ()
        return (Join(ref=None, address=self._home, alias=self._home),)

    def heard(self, now: float) -> None:
        self._pulse.heard(now)

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        if self._full is not None:
            return self._full.receive(message, now)
        self._pulse.heard(now)
        text = check_text(message, self._limits)
        if text.lstrip()[:1] not in ("{", "["):
            return self._event("message", Args(text, Form.TEXT), None)
        try:
            members = _members(text) if text.lstrip()[0] == "{" else None
            value = _any(text) if members is None else msgspec.Raw(text)
            kind = None if members is None else _kind(members)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise broken(f"neither JSON nor plain text: {error}") from error
        if members is None or kind is None:
            return self._event("message", Args(value), None)
        if kind == "ping":
            self._due.append(
                pong(JSON, PingSaid(members.get("echo", msgspec.Raw())), now + self._wall)
            )
            return ()
        if bytes(members["type"]) in _OURS and (frames := self._switch(text, now)):
            return frames
        del members["type"]
        ref = _id(members)
        if list(members) == ["data"]:
            args = Args(members["data"])
        else:
            args = Args(msgspec.Raw(_json(members))) if members else NO_ARGS
        return self._event(kind, args, ref)

    def send(self, frame: Frame) -> Sequence[Payload]:
        if self._full is not None:
            return self._full.send(frame)
        event = None
        if isinstance(frame, Reply | Refusal) and frame.ref is not None:
            event = self._asked.pop(frame.ref, None)
        return PLAIN.say(frame, event)

    def due(self) -> Sequence[Payload]:
        due, self._due = self._due, []
        if self._full is not None:
            due += self._full.due()
        return due

    def deadline(self) -> float | None:
        return self._pulse.deadline()

    def tick(self, now: float) -> Sequence[Frame]:
        return self._pulse.tick(now)

    def _event(self, name: str, args: Args, ref: Ref | None) -> Sequence[Frame]:
        home = self._home
        if home is None:
            text = "no address is home here: join one"
            self._due.append(_error(Refusal(ref, None, "unknown_address", text), name))
            return ()
        if ref is None:
            return (Event(home, name, args),)
        if len(self._asked) >= self._limits.calls:
            del self._asked[next(iter(self._asked))]
        self._asked[ref] = name
        return (Event(home, name, args, ref=ref, want=Want.REPLY),)

    def _switch(self, text: str, now: float) -> Sequence[Frame]:
        """Frames of the first message of ours, with all its members; nothing if it is not."""
        full = OwnMachine(JSON, self._limits, self._pulse, wall=self._wall)
        full.caps = JSON.caps & ~Cap.RESUME
        try:
            frames = full.receive(text, now)
        except ProtocolError:
            return ()
        self._full = full
        self.codec = JSON
        self.caps = full.caps
        welcome = Welcome(self._session, None, self._pulse.beat, limits=told(self._limits))
        self._due += full.send(welcome)
        return frames


class PlainClient:
    """The other end, for tests and for people with a terminal: events, calls, `ping`."""

    __slots__ = ("_due", "_home", "_limits", "_pulse", "caps")

    is_single = True

    def __init__(
        self,
        home: str = "",
        *,
        beat: float = 0.0,
        beat_timeout: float = 10.0,
        limits: Limits | None = None,
    ) -> None:
        self.caps = PLAIN.caps
        self._home = home
        self._limits = limits or Limits()
        self._pulse = Pulse(beat, beat_timeout)
        self._due: list[Payload] = []

    def opening(self) -> Request:
        return Request()

    def opened(self, subprotocol: str | None, now: float) -> Sequence[Frame]:
        if subprotocol is not None:
            raise broken("a plain connection has no subprotocol")
        self._pulse.heard(now)
        return ()

    def heard(self, now: float) -> None:
        self._pulse.heard(now)

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        self._pulse.heard(now)
        text = check_text(message, self._limits)
        try:
            members = _members(text)
            kind = _kind(members)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise broken(f"not a message to a plain client: {error}") from error
        if kind is None:
            raise broken("a message to a plain client has a type")
        del members["type"]
        if kind == "pong":
            return (Beat(is_answer=True),)
        if kind == "error":
            return (_refusal(members, self._home),)
        ref = _id(members) if kind == "reply" else None
        if list(members) == ["data"]:
            args = Args(members["data"])
        else:
            args = Args(msgspec.Raw(_json(members))) if members else NO_ARGS
        if kind == "reply":
            if ref is None:
                raise broken("a reply has an id")
            return (Reply(ref, self._home, args),)
        return (Event(self._home, kind, args),)

    def send(self, frame: Frame) -> Sequence[Payload]:
        if isinstance(frame, Beat):
            return () if frame.is_answer else (Payload(b'{"type":"ping"}', counted=False),)
        if not isinstance(frame, Event):
            return ()
        members = fields(frame.args.body(), _ANSWERED)
        if frame.want is not Want.NOTHING:
            members = b',"id":%b%b' % (_json(frame.ref), members)
        return (Payload(b'{"type":%b%b}' % (_json(frame.event), members)),)

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


def _event_fields(body: Body) -> bytes:
    return fields(body, _TOLD)


def fields(body: Body, taken: frozenset[str]) -> bytes:
    """The members that carry these arguments beside those that are taken: an object's own, or
    `data`.
    """
    if not body.count:
        return b""
    one = body.inline_one
    if one[:1] == b"{" and len(one) > 2:
        names = _members(one).keys()
        if taken.isdisjoint(names) and names != {"data"}:
            return b"," + one[1:-1]
    return b',"data":' + one


def told(limits: Limits) -> dict[str, float]:
    """What a client must know of the limits."""
    return {"message": limits.message, "resume": 0}


def _kind(members: Members) -> str | None:
    """The `type`, if it is a string. Raises DecodeError."""
    raw = members.get("type")
    return None if raw is None or memoryview(raw)[0] != 0x22 else _name(raw)


def _id(members: Members) -> Ref | None:
    """The `id`, taken out. Raises ProtocolError for one that no answer could name."""
    raw = members.pop("id", msgspec.Raw())
    if not is_given(raw, Form.JSON):
        return None
    try:
        return check_ref(_ref.decode(raw))
    except (msgspec.DecodeError, UnicodeError) as error:
        raise broken("an id is an integer or a string of at most 64 bytes") from error


def _error(frame: Reply | Refusal, event: str | None) -> Payload:
    if isinstance(frame, Refusal) and frame.event is not None:
        event = frame.event
    members: dict[str, object] = {"type": "error"}
    if event is not None:
        members["event"] = event
    members |= {"code": frame.code, "text": frame.text}
    if frame.data is not None:
        members["data"] = msgspec.Raw(frame.data.body().inline_one)
    if frame.ref is not None:
        members["id"] = frame.ref
    return Payload(_json(members))


class _Error(msgspec.Struct):
    code: str
    text: str = ""
    event: str | None = None
    id: AnyRef | None = None
    data: msgspec.Raw = msgspec.Raw()


def _refusal(members: Members, home: str) -> Refusal:
    try:
        error = msgspec.json.decode(_json(members), type=_Error)
    except (msgspec.DecodeError, UnicodeError) as broke:
        raise broken(f"not an error: {broke}") from broke
    data = Args(error.data, Form.JSON, Shape.ONE) if len(error.data) else None
    return Refusal(error.id, home, error.code, error.text, data, error.event)
