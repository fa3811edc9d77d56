"""Messages of Phoenix Channels: what both ends write, and how a server reads its clients'.  HOT

Serializer 2.0.0: `[join_ref,ref,topic,event,payload]`, or, where the payload is bytes, a binary
message: its kind, the lengths of its texts, a byte each, the texts, the bytes. Serializer 1.0.0:
`{"topic":…,"event":…,"payload":…,"ref":…}`, and nothing binary. Payloads stay as they were written,
for the binder to read.
"""

from collections.abc import Sequence
from enum import IntEnum

import msgspec

from anywire.body import Args, Form
from anywire.errors import ProtocolError
from anywire.frames import Ref
from anywire.limits import Limits, is_too_long
from anywire.nesting import is_too_deep_json
from anywire.payload import Message
from anywire.wires.surrogates import whole

JOIN, LEAVE, REPLY, ERROR, CLOSE = "phx_join", "phx_leave", "phx_reply", "phx_error", "phx_close"
STATE, DIFF = "presence_state", "presence_diff"
HOME, HEARTBEAT = "phoenix", "heartbeat"
"""The topic and the event of the heartbeat."""
TEXT = 255
"""Bytes of a ref, and of each text in a binary message."""

_INTEGERS = range(-(2**63), 2**63)


class Kind(IntEnum):
    """What a binary message is."""

    PUSH = 0
    REPLY = 1
    BROADCAST = 2


class Push(msgspec.Struct):
    """One message; `args` is its payload."""

    join_ref: Ref | None
    """The ref of the join under which it is said; None: under any."""
    ref: Ref | None
    topic: str
    event: str
    args: Args


class _Second(msgspec.Struct, array_like=True):
    join_ref: Ref | None
    ref: Ref | None
    topic: str
    event: str
    payload: msgspec.Raw


class _First(msgspec.Struct):
    topic: str
    event: str
    payload: msgspec.Raw
    ref: Ref | None = None
    join_ref: Ref | None = None


_second = msgspec.json.Decoder(_Second).decode
_first = msgspec.json.Decoder(_First).decode
_json = msgspec.json.Encoder().encode


# --- what is said ---------------------------------------------------------------------------------


def second(join_ref: Ref | None, ref: Ref | None, topic: str, event: str, payload: bytes) -> bytes:
    """A message of serializer 2.0.0; `payload` is JSON text."""
    texts = (_json(join_ref), _json(ref), _json(topic), _json(event), payload)
    return b"[%b,%b,%b,%b,%b]" % texts


def first(join_ref: Ref | None, ref: Ref | None, topic: str, event: str, payload: bytes) -> bytes:
    """A message of serializer 1.0.0, which does not tell the join's ref."""
    texts = (_json(topic), _json(event), payload, _json(ref))
    return b'{"topic":%b,"event":%b,"payload":%b,"ref":%b}' % texts


def binary(kind: Kind, texts: Sequence[str], data: bytes) -> bytes | None:
    """A binary message; None where one of the texts is too long for one."""
    encoded = [text.encode() for text in texts]
    if any(len(text) > TEXT for text in encoded):
        return None
    return b"".join([bytes((kind, *map(len, encoded))), *encoded, data])


# --- what is heard --------------------------------------------------------------------------------


def read_second(message: Message, limits: Limits) -> Push:
    """A client's message of serializer 2.0.0. Raises ProtocolError."""
    if isinstance(message, bytes):
        (join_ref, ref, topic, event), data = unpacked(message, Kind.PUSH, 4, limits)
        return Push(join_ref or None, ref or None, topic, event, Args(data, Form.BYTES))
    _check(message, limits)
    try:
        said = _second(message)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        mended = whole(message)
        if mended is not None:
            return read_second(mended, limits)
        raise _wrong("no message of Phoenix, serializer 2.0.0") from error
    return _push(said)


def read_first(message: Message, limits: Limits) -> Push:
    """A client's message of serializer 1.0.0. Raises ProtocolError."""
    if isinstance(message, bytes):
        raise ProtocolError("serializer 1.0.0 has no binary messages", code=1003)
    _check(message, limits)
    try:
        said = _first(message)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        mended = whole(message)
        if mended is not None:
            return read_first(mended, limits)
        raise _wrong("no message of Phoenix, serializer 1.0.0") from error
    return _push(said)


def unpacked(data: bytes, kind: Kind, count: int, limits: Limits) -> tuple[list[str], bytes]:
    """The texts of a binary message, and its bytes. Raises ProtocolError."""
    if len(data) > limits.message:
        raise _too_large(limits)
    start = 1 + count
    if len(data) < start or data[0] != kind or len(data) < start + sum(data[1:start]):
        raise _wrong("no binary message of Phoenix that is said here")
    texts: list[str] = []
    for size in data[1:start]:
        try:
            texts.append(data[start : start + size].decode())
        except UnicodeDecodeError as error:
            raise ProtocolError("a binary message's texts are UTF-8", code=1007) from error
        start += size
    return texts, data[start:]


def _push(said: _Second | _First) -> Push:
    for ref in (said.join_ref, said.ref):
        if ref is not None and (
            is_too_long(ref, TEXT) if isinstance(ref, str) else ref not in _INTEGERS
        ):
            raise _wrong(f"a ref has at most {TEXT} bytes, or is an integer of 64 bits")
    return Push(said.join_ref, said.ref, said.topic, said.event, Args(said.payload))


def _check(message: str, limits: Limits) -> None:
    if len(message) > limits.message or (
        not message.isascii() and len(message.encode(errors="replace")) > limits.message
    ):
        raise _too_large(limits)
    if is_too_deep_json(message, limits.nesting + 1):
        raise _wrong(f"a payload nests at most {limits.nesting} deep")


def _too_large(limits: Limits) -> ProtocolError:
    return ProtocolError(f"a message has at most {limits.message} bytes", code=1009)


def _wrong(what: str) -> ProtocolError:
    return ProtocolError(what, code=4400)
