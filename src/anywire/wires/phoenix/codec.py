"""How Phoenix Channels writes what a server says: broadcasts, pushes, replies.  HOT

`[null,null,"room:1","said",{"text":"hi"}]` is for all who are there; a push to one of them has the
ref of its join, a reply that of what it answers too. Bytes that are a whole payload are a binary
message of serializer 2.0.0; others, and all of serializer 1.0.0, are base64 text.
"""

from collections.abc import Callable

import msgspec

from anywire.body import Args, Body
from anywire.frames import At, Presence, Ref
from anywire.limits import Limits
from anywire.payload import Message, Payload
from anywire.wires.base import Cap
from anywire.wires.phoenix import presence
from anywire.wires.phoenix.messages import (
    CLOSE,
    DIFF,
    ERROR,
    JOIN,
    LEAVE,
    REPLY,
    STATE,
    Kind,
    Push,
    binary,
    first,
    read_first,
    read_second,
    second,
    unpacked,
)

RESERVED = frozenset((JOIN, LEAVE, REPLY, ERROR, CLOSE, STATE, DIFF, "error", "gap"))
"""Events that mean something to a client, and those that say that something went wrong."""
CAPS = Cap.REPLY | Cap.PRESENCE | Cap.MANY
EMPTY = b"{}"
"""The payload that says nothing; a client wants an object."""
OK, FAILED = "ok", "error"

_json = msgspec.json.Encoder().encode
Write = Callable[[Ref | None, Ref | None, str, str, bytes], bytes]
Read = Callable[[Message, Limits], Push]


class Asked(str):
    """The ref of a message as text, and what its answer has to have besides."""

    __slots__ = ("join_ref", "ref")

    join_ref: Ref | None
    """The ref of the join under which it was said."""
    ref: Ref | None
    """Its own, as it was written: text, an integer, or none."""

    @classmethod
    def of(cls, ref: Ref | None, join_ref: Ref | None) -> "Asked":
        """The ref of a message, and that of its join."""
        asked = cls("" if ref is None else ref)
        asked.ref, asked.join_ref = ref, join_ref
        return asked


class PhoenixCodec:
    """One serializer. `is_binary`: it has binary messages."""

    __slots__ = ("_is_binary", "_write", "caps", "name", "read")

    def __init__(self, name: str, write: Write, read: Read, *, is_binary: bool) -> None:
        self.name = name
        self.caps = CAPS
        self.read = read
        """How a client's messages are read."""
        self._write = write
        self._is_binary = is_binary

    def event(self, alias: str, event: str, body: Body, at: At) -> Payload:
        data = self._bytes(body)
        if data is not None:
            packed = binary(Kind.BROADCAST, (alias, event), data)
            if packed is not None:
                return Payload(packed, is_text=False, volatile=at.volatile)
        text = self._write(None, None, alias, event, payload_of(body))
        return Payload(text, volatile=at.volatile)

    def presence(self, alias: str, change: Presence) -> Payload:
        return self.present(None, alias, change)

    def present(self, join_ref: Ref | None, alias: str, change: Presence) -> Payload:
        """Who is here, or came and went; for one member with the ref of its join."""
        if change.whole:
            return self.say(join_ref, None, alias, STATE, presence.state(change))
        return self.say(join_ref, None, alias, DIFF, presence.diff(change))

    def push(
        self, join_ref: Ref | None, alias: str, event: str, body: Body, *, volatile: bool = False
    ) -> Payload:
        """An event for one member."""
        data = self._bytes(body)
        if data is not None:
            packed = binary(Kind.PUSH, (_text(join_ref), alias, event), data)
            if packed is not None:
                return Payload(packed, is_text=False, volatile=volatile)
        text = self._write(join_ref, None, alias, event, payload_of(body))
        return Payload(text, volatile=volatile)

    def reply(self, asked: Asked, alias: str, status: str, body: Body | None) -> Payload:
        """An answer: `{"status":"ok","response":{}}`."""
        data = None if body is None else self._bytes(body)
        if data is not None:
            texts = (_text(asked.join_ref), _text(asked.ref), alias, status)
            packed = binary(Kind.REPLY, texts, data)
            if packed is not None:
                return Payload(packed, is_text=False)
        response = EMPTY if body is None else payload_of(body)
        payload = b'{"status":%b,"response":%b}' % (_json(status), response)
        return self.say(asked.join_ref, asked.ref, alias, REPLY, payload)

    def say(
        self, join_ref: Ref | None, ref: Ref | None, alias: str, event: str, payload: bytes = EMPTY
    ) -> Payload:
        """Any message, its payload as JSON text."""
        return Payload(self._write(join_ref, ref, alias, event, payload))

    def _bytes(self, body: Body) -> bytes | None:
        return lone_bytes(body) if self._is_binary else None


SECOND = PhoenixCodec("phoenix.2", second, read_second, is_binary=True)
FIRST = PhoenixCodec("phoenix.1", first, read_first, is_binary=False)


def payload_of(body: Body) -> bytes:
    """The payload that stands for these arguments; nothing is an empty object."""
    one = body.inline_one
    return EMPTY if one == b"null" else one


def lone_bytes(body: Body) -> bytes | None:
    """The bytes that are all that is said."""
    if body.blobs and body.one[0] == b"null":
        return body.blobs[0][1]
    return None


def problem(code: str, text: str, data: Body | Args | None) -> Body:
    """A refusal as clients are told it: `{"reason":"busy","text":"later"}`, and its data."""
    about: dict[str, object] = {"reason": code}
    if text:
        about["text"] = text
    if data is not None:
        value = data.one_value
        about |= value if isinstance(value, dict) else {"data": value}
    return Body.of(about)


def as_text(message: bytes) -> bytes:
    """A server's binary message as text, for carriers of text: the bytes as base64.

    Raises ProtocolError for what is none.
    """
    if message[:1] == b"\x02":
        (topic, event), data = unpacked(message, Kind.BROADCAST, 2, _ANY)
        return second(None, None, topic, event, Body.of(data).inline_one)
    if message[:1] == b"\x00":
        (join_ref, topic, event), data = unpacked(message, Kind.PUSH, 3, _ANY)
        return second(join_ref or None, None, topic, event, Body.of(data).inline_one)
    (join_ref, ref, topic, status), data = unpacked(message, Kind.REPLY, 4, _ANY)
    payload = b'{"status":%b,"response":%b}' % (_json(status), Body.of(data).inline_one)
    return second(join_ref or None, ref or None, topic, REPLY, payload)


_ANY = Limits(message=1 << 62)


def _text(ref: Ref | None) -> str:
    return "" if ref is None else str(ref)
