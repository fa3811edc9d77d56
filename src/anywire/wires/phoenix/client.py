"""The client's end of a Phoenix conversation, over a WebSocket.

Serializer 2.0.0. An alias is a topic. As the official client does, it says under which join each
message is, and hears nothing that was said under an earlier one.
"""

import re
from collections.abc import Sequence

import msgspec

from anywire.body import Args, Body, Form
from anywire.errors import ProtocolError
from anywire.frames import (
    Beat,
    Bye,
    Event,
    Frame,
    Gap,
    Join,
    Joined,
    Leave,
    Ref,
    Refusal,
    Reply,
    Want,
    Welcome,
)
from anywire.limits import Limits
from anywire.payload import Message, Payload
from anywire.wires.base import Request
from anywire.wires.phoenix import presence
from anywire.wires.phoenix.codec import CAPS, EMPTY, OK, lone_bytes, payload_of
from anywire.wires.phoenix.messages import (
    CLOSE,
    DIFF,
    ERROR,
    HEARTBEAT,
    HOME,
    JOIN,
    LEAVE,
    REPLY,
    STATE,
    Kind,
    binary,
    read_second,
    second,
    unpacked,
)

EVERY = 30.0
"""Seconds between two heartbeats, as with the official client; an answer comes before the next."""
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_TEXTS = {Kind.PUSH: 3, Kind.REPLY: 4, Kind.BROADCAST: 2}


class _Answer(msgspec.Struct):
    status: str
    response: msgspec.Raw = msgspec.Raw(EMPTY)


class _Lost(msgspec.Struct, forbid_unknown_fields=True):
    lost: int


class _Refused(msgspec.Struct, forbid_unknown_fields=True):
    event: str
    code: str
    text: str = ""
    data: msgspec.Raw = msgspec.Raw()


_answer = msgspec.json.Decoder(_Answer).decode
_lost = msgspec.json.Decoder(_Lost).decode
_refused = msgspec.json.Decoder(_Refused).decode


class PhoenixClient:
    """Says a heartbeat every `EVERY` seconds."""

    __slots__ = ("_asked", "_due", "_limits", "_next", "_topics")

    caps = CAPS
    is_single = False

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._topics: dict[str, str] = {}
        """The ref of the last join of each topic that is joined, or asked for."""
        self._due: list[Payload] = []
        self._next: float | None = None
        self._asked = False
        """A heartbeat waits for its answer."""

    def opening(self) -> Request:
        return Request(query={"vsn": "2.0.0"})

    def opened(self, subprotocol: str | None, now: float) -> Sequence[Frame]:
        self._topics.clear()
        self._asked = False
        self._next = now + EVERY
        return (Welcome("", None, EVERY),)  # it has no session of its own to tell of

    def heard(self, now: float) -> None:
        """Only the answer to a heartbeat counts; after the end one begins anew."""
        if self._next is None:
            self._next = now + EVERY

    def receive(self, message: Message, now: float) -> Sequence[Frame]:
        if isinstance(message, bytes):
            return self._binary(message)
        said = read_second(message, self._limits)
        topic, event = said.topic, said.event
        if topic == HOME and event == REPLY:
            self._asked = False
            return (Beat(is_answer=True),)
        if self._is_outdated(topic, said.join_ref):
            return ()
        raw = said.args.raw
        if event == REPLY:
            try:
                answer = _answer(raw)
            except (msgspec.DecodeError, RecursionError) as error:
                raise ProtocolError(f"not a reply: {error}"[:120]) from error
            return self._answered(topic, said.ref, answer.status, Args(answer.response))
        if event == CLOSE or event == ERROR:
            self._topics.pop(topic, None)
            return (Leave(topic, code="internal" if event == ERROR else ""),)
        if event == STATE:
            return (presence.whole_of(topic, raw),)
        if event == DIFF:
            return (presence.change_of(topic, raw),)
        return (_own(topic, event, raw) or Event(topic, event, said.args),)

    def send(self, frame: Frame) -> Sequence[Payload]:
        match frame:
            case Event(alias=alias):
                is_call = frame.want is not Want.NOTHING and frame.ref is not None
                ref = _text(frame.ref) if is_call else None
                body = frame.args.body()
                return (self._push(ref, alias, frame.event, body, volatile=frame.volatile),)
            case Join(alias=alias):
                ref = self._topics[alias] = "join" if frame.ref is None else _text(frame.ref)
                return (self._push(ref, alias, JOIN, frame.params.body()),)
            case Leave(alias=alias):
                said = self._push(LEAVE, alias, LEAVE, Body.of())
                self._topics.pop(alias, None)
                return (said,)
            case _:
                return ()

    def due(self) -> Sequence[Payload]:
        due, self._due = self._due, []
        return due

    def deadline(self) -> float | None:
        return self._next

    def tick(self, now: float) -> Sequence[Frame]:
        if self._next is None or now < self._next:
            return ()
        if self._asked:
            self._next = None
            return (Bye(4410, "no answer to a heartbeat came in time"),)
        self._asked = True
        self._next = now + EVERY
        self._due.append(Payload(second(None, HEARTBEAT, HOME, HEARTBEAT, EMPTY), counted=False))
        return ()

    # --- inside ---------------------------------------------------------------------------------

    def _push(
        self, ref: str | None, alias: str, event: str, body: Body, *, volatile: bool = False
    ) -> Payload:
        join_ref = self._topics.get(alias)
        data = lone_bytes(body)
        if data is not None:
            packed = binary(Kind.PUSH, (join_ref or "", ref or "", alias, event), data)
            if packed is not None:
                return Payload(packed, is_text=False, volatile=volatile)
        return Payload(second(join_ref, ref, alias, event, payload_of(body)), volatile=volatile)

    def _binary(self, message: bytes) -> Sequence[Frame]:
        """Frames of a binary message: an event for all or for us, an answer."""
        kind = Kind(message[0]) if message and message[0] in _TEXTS else Kind.PUSH
        texts, data = unpacked(message, kind, _TEXTS[kind], self._limits)
        args = Args(data, Form.BYTES)
        if kind is Kind.BROADCAST:
            topic, event = texts
            return (Event(topic, event, args),)
        if kind is Kind.PUSH:
            join_ref, topic, event = texts
            return () if self._is_outdated(topic, join_ref) else (Event(topic, event, args),)
        join_ref, ref, topic, status = texts
        if self._is_outdated(topic, join_ref):
            return ()
        return self._answered(topic, ref, status, args)

    def _is_outdated(self, topic: str, join_ref: Ref | None) -> bool:
        """Whether it was said under an earlier join of the topic."""
        known = self._topics.get(topic)
        return known is not None and _text(join_ref) not in ("", known)

    def _answered(self, topic: str, ref: Ref | None, status: str, data: Args) -> Sequence[Frame]:
        text = _text(ref)
        if text in ("", LEAVE):
            return ()  # nobody waits for it, or its end follows
        found, is_join = _ref(text), text == self._topics.get(topic)
        if status == OK:
            return (Joined(found, topic, data) if is_join else Reply(found, topic, data),)
        code, why, about = _problem(data)
        if is_join:
            return (Refusal(found, topic, code, why, about),)
        return (Reply(found, topic, about, code, why),)


def _own(topic: str, event: str, raw: Message | msgspec.Raw) -> Frame | None:
    """What our servers say by themselves; an event of that name may be an application's own."""
    try:
        if event == "gap":
            return Gap(topic, _lost(raw).lost)
        if event == "error":
            error = _refused(raw)
            data = Args(error.data) if len(error.data) else None
            return Refusal(None, topic, error.code, error.text, data, error.event)
    except (msgspec.DecodeError, RecursionError):
        pass
    return None


def _problem(data: Args) -> tuple[str, str, Args | None]:
    """Code, text and data of an error's response, as `codec.problem` writes it."""
    try:
        value = data.one_value
    except ValueError as error:
        raise ProtocolError(f"not a response: {error}"[:120]) from error
    if not isinstance(value, dict) or not isinstance(value.get("reason"), str):
        return "refused", "", data
    rest = {name: each for name, each in value.items() if name != "reason"}
    text = rest.pop("text", "")
    if not isinstance(text, str):
        rest["text"], text = text, ""
    if rest.keys() == {"data"} and not isinstance(rest["data"], dict):
        about = rest["data"]
    elif rest:
        about = rest
    else:
        return value["reason"], text, None
    return value["reason"], text, Args(msgspec.json.encode(about))


def _text(ref: Ref | None) -> str:
    return "" if ref is None else str(ref)


def _ref(text: str) -> Ref:
    """The ref that was written as this text: the number, where it is one's."""
    return int(text) if _NUMBER.fullmatch(text) else text
