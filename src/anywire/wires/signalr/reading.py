"""How SignalR's messages are read, in both encodings.

SignalR HubProtocol, from "Invocation" to "Sequence". What holds the application's data stays as it
was written: the binder decodes it once, into the handler's types. Members that nobody knows are
ignored, as headers are, and so are messages of a type that nobody knows.
"""

from collections.abc import Callable, Sequence

import msgspec

from anywire.body import NO_ARGS, Args, Form, Shape
from anywire.errors import ProtocolError, close_reason
from anywire.limits import Limits
from anywire.nesting import is_too_deep_json, is_too_deep_msgpack
from anywire.wires.signalr.codec import (
    ACK,
    CANCEL_INVOCATION,
    CLOSE,
    COMPLETION,
    INVOCATION,
    SEQUENCE,
    STREAM_INVOCATION,
    STREAM_ITEM,
)
from anywire.wires.surrogates import whole

ENVELOPE = 2
"""What a message adds to the nesting of its payload: itself, and the list of arguments."""
_ID_BYTES = 64
_ABSENT = msgspec.Raw()
_FAILED, _RESULT = 1, 3
_KNOWN = range(INVOCATION, SEQUENCE + 1)
_CALLS = (INVOCATION, STREAM_INVOCATION)
_NAMED = (STREAM_ITEM, COMPLETION, STREAM_INVOCATION, CANCEL_INVOCATION)
"""Types that mean nothing without an id."""


class Said(msgspec.Struct, rename="camel"):
    """A message of any type; what it does not have is absent."""

    type: int
    target: str | None = None
    invocation_id: str | None = None
    arguments: msgspec.Raw = _ABSENT
    stream_ids: list[str] | None = None
    item: msgspec.Raw = _ABSENT
    result: msgspec.Raw = _ABSENT
    error: str | None = None
    sequence_id: int | None = None
    allow_reconnect: bool | None = None


class _Typed(msgspec.Struct):
    type: int


Read = Callable[[bytes, Limits], Said | None]
_said = msgspec.json.Decoder(Said).decode
_typed = msgspec.json.Decoder(_Typed).decode
_items = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_int = msgspec.msgpack.Decoder(int).decode
_text = msgspec.msgpack.Decoder(str | None).decode
_texts = msgspec.msgpack.Decoder(list[str] | None).decode
_flag = msgspec.msgpack.Decoder(bool | None).decode


def broken(reason: str) -> ProtocolError:
    """The error for a message that breaks the rules."""
    return ProtocolError(close_reason(reason), code=4400)


def read_json(text: bytes, limits: Limits) -> Said | None:
    """One JSON message; None for one of an unknown type. Raises ProtocolError."""
    if is_too_deep_json(text, limits.nesting + ENVELOPE):
        raise broken(f"a message nests at most {limits.nesting} deep")
    try:
        said = _said(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        if _is_unknown(text):
            return None
        mended = whole(text.decode(errors="replace"))
        if mended is not None:
            return read_json(mended.encode(), limits)
        raise broken(f"not a message of the hub protocol: {error}") from error
    if said.type in _CALLS and bytes(memoryview(said.arguments)[:1]) != b"[":
        raise broken("the arguments of an invocation are a list")
    if said.type == COMPLETION and said.error is not None and _is_given(said.result):
        raise broken("a completion has a result or an error, not both")
    return _checked(said, limits)


def read_msgpack(data: bytes, limits: Limits) -> Said | None:
    """One MessagePack message; None for one of an unknown type. Raises ProtocolError."""
    if is_too_deep_msgpack(data, limits.nesting + ENVELOPE):
        raise broken(f"a message nests at most {limits.nesting} deep")
    try:
        items = _items(data)
        said = _named(_int(items[0]), items)
    except IndexError as error:
        raise broken("a message of the hub protocol has too few members") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise broken(f"not a message of the hub protocol: {error}") from error
    return _checked(said, limits)


def arguments(said: Said, form: Form) -> Args:
    """What an invocation carries."""
    return Args(said.arguments, form, Shape.LIST)


def value(raw: msgspec.Raw, form: Form) -> Args | None:
    """An item or a result; None where it is absent."""
    return Args(raw, form, Shape.ONE) if len(raw) else None


def result(said: Said, form: Form) -> Args:
    """What a completion without an error carries."""
    return value(said.result, form) or NO_ARGS


def _named(kind: int, items: Sequence[msgspec.Raw]) -> Said:
    """The members of a MessagePack message by their names; behind the last known one more may
    stand. Raises IndexError, DecodeError.
    """
    said = Said(kind)
    if kind in (INVOCATION, STREAM_INVOCATION):
        said.invocation_id = _text(items[2])
        said.target = _text(items[3])
        said.arguments = items[4]
        if memoryview(said.arguments)[0] not in _LISTS:
            raise broken("the arguments of an invocation are a list")
        said.stream_ids = _texts(items[5]) if len(items) > 5 else None
    elif kind == STREAM_ITEM:
        said.invocation_id = _text(items[2])
        said.item = items[3]
    elif kind == COMPLETION:
        said.invocation_id = _text(items[2])
        how = _int(items[3])
        if how == _FAILED:
            said.error = _text(items[4]) or "failed"
        elif how == _RESULT:
            said.result = items[4]
    elif kind == CANCEL_INVOCATION:
        said.invocation_id = _text(items[2])
    elif kind == CLOSE:
        said.error = _text(items[1])
        said.allow_reconnect = _flag(items[2]) if len(items) > 2 else None
    elif kind in (ACK, SEQUENCE):
        said.sequence_id = _int(items[1])
    return said


_LISTS = frozenset((*range(0x90, 0xA0), 0xDC, 0xDD))


def _checked(said: Said, limits: Limits) -> Said | None:
    """The message, if what it must have is there. Raises ProtocolError."""
    kind = said.type
    if kind not in _KNOWN:
        return None
    if kind in _CALLS and said.target is None:
        raise broken("an invocation has a target")
    if kind in _NAMED and said.invocation_id is None:
        raise broken("a message of this type has an invocationId")
    if kind in (ACK, SEQUENCE) and (said.sequence_id is None or said.sequence_id < 0):
        raise broken("sequenceId is a count")
    ids = said.stream_ids or ()
    if len(ids) > limits.streams:
        raise broken(f"an invocation has at most {limits.streams} streams")
    for id in (said.invocation_id or "", *ids):
        if len(id) > _ID_BYTES:
            raise broken(f"an id has at most {_ID_BYTES} characters")
    return said


def _is_unknown(text: bytes) -> bool:
    """Whether it is of a type that nobody knows: what its members mean, nobody knows either."""
    try:
        return _typed(text).type not in _KNOWN
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False


def _is_given(raw: msgspec.Raw) -> bool:
    return len(raw) > 0 and bytes(raw) != b"null"
