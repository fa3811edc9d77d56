"""Script: what a typed or piped line says. Pure.

>>> event_line('say {"text": "hi"}').values
({'text': 'hi'},)
>>> event_line("say hi there").values
('hi there',)
>>> raw_line('{"type": "binary", "data": "AAE="}', is_json=True)
b'\\x00\\x01'
"""

import base64
import binascii
from typing import TypeVar

import msgspec

from anywire.payload import Message

T = TypeVar("T")


class EventLine(msgspec.Struct, frozen=True):
    """An event to say; several `values` are positional arguments, `address` None is the usual one.

    `stream`: its answer is a stream, so ask for the items.
    """

    event: str
    values: tuple[object, ...] = ()
    address: str | None = None
    stream: bool = False

    @property
    def one_value(self) -> object:
        """The values as one: the lone one, nothing for none, else the list."""
        if not self.values:
            return msgspec.UNSET
        return self.values[0] if len(self.values) == 1 else list(self.values)


class _RawObject(msgspec.Struct):
    data: object
    type: str = "text"


class _EventObject(msgspec.Struct):
    event: str
    data: object = msgspec.UNSET
    address: str | None = None
    stream: bool = False


def raw_line(line: str, *, is_json: bool = False) -> Message:
    """The message of a line: the line itself, or of `{"data": …, "type": "text" or "binary"}`.

    `data` of a text may be any value, and travels as JSON if it is no string; that of a binary is
    base64. Raises ValueError, in words for the user.
    """
    if not is_json:
        return line
    said = _decoded(line, _RawObject, '{"type": "text", "data": "hi"}')
    if said.type == "text":
        return said.data if isinstance(said.data, str) else msgspec.json.encode(said.data).decode()
    if said.type != "binary":
        raise ValueError(f'a message is of type "text" or "binary", not "{said.type}"')
    if not isinstance(said.data, str):
        raise ValueError("the data of a binary message is base64 text")
    try:
        return base64.b64decode(said.data, validate=True)
    except binascii.Error as error:
        raise ValueError(f"the data of a binary message is base64 text: {error}") from None


def event_line(line: str, *, is_json: bool = False) -> EventLine:
    """The event of a line: `NAME`, `NAME VALUE`, or an object with `event` and its like.

    VALUE is JSON, or else text as it is; a list is positional arguments. The object may have
    `data`, `address` and `stream`. Raises ValueError, in words for the user.
    """
    text = line.strip()
    if is_json or text.startswith("{"):
        said = _decoded(text, _EventObject, '{"event": "say", "data": {"text": "hi"}}')
        if not said.event:
            raise ValueError('the "event" needs a name')
        return EventLine(said.event, _arguments(said.data), said.address, said.stream)
    event, _, rest = text.partition(" ")
    if not event:
        raise ValueError("an event needs a name: NAME, or NAME VALUE")
    rest = rest.strip()
    if not rest:
        return EventLine(event)
    try:
        value: object = msgspec.json.decode(rest)
    except (msgspec.DecodeError, RecursionError):
        value = rest
    return EventLine(event, _arguments(value))


def _arguments(value: object) -> tuple[object, ...]:
    if value is msgspec.UNSET:
        return ()
    return tuple(value) if isinstance(value, list) else (value,)


def _decoded(text: str, kind: type[T], right: str) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise ValueError(f"this line is not what it should be ({error}); right: {right}") from None
