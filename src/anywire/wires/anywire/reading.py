"""How a client reads the answers to its requests: docs/reference/protocol.md, Over HTTP.

A reader is fed an answer as it comes, cut anywhere, and gives whole messages. What is behind the
last whole message of a stream that broke is dropped: the server says it again. How a server writes
all this is in `bodies`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol
from urllib.parse import unquote

from anywire.errors import ProtocolError
from anywire.payload import Carrier, Message
from anywire.wires.anywire.bodies import GOODBYE, PADDING, SEPARATOR, unpack

_ABNORMAL = 1006
_PREFIX = 4
_SAID, _FAREWELL = 0, 1
"""First byte of a length."""


class Farewell(NamedTuple):
    """How the server ended the connection; the last that it says."""

    code: int
    reason: str

    @classmethod
    def of(cls, text: str) -> "Farewell":
        """What this says, as in a header.

        >>> Farewell.of("4003 thrown%20out")
        Farewell(code=4003, reason='thrown out')
        """
        code, _, reason = text.partition(" ")
        return cls(int(code) if code.isascii() and code.isdigit() else _ABNORMAL, unquote(reason))


Said = Message | Farewell


class Reader(Protocol):
    """Reads one answer. Raises ProtocolError: 1009 for what is too large, 1007 for what is none."""

    def feed(self, data: bytes) -> Sequence[Said]:
        """What is whole now."""
        ...

    def end(self) -> Sequence[Said]:
        """What is whole, now that the answer is."""
        ...


def reader(carrier: Carrier, *, is_binary: bool, largest: int) -> Reader:
    """A reader for one answer; `largest`: bytes of the largest message, or of a poll's answer."""
    if carrier is Carrier.POLL:
        return _Body(largest)
    if carrier is Carrier.EVENTS:
        return _Parts(b"\n\n", _record, largest)
    return _Lengths(largest) if is_binary else _Parts(SEPARATOR, _text, largest)


class _Body:
    """The answer to a poll: its messages count when all of it came."""

    __slots__ = ("_data", "_largest")

    def __init__(self, largest: int) -> None:
        self._data = bytearray()
        self._largest = largest

    def feed(self, data: bytes) -> Sequence[Said]:
        self._data += data
        if len(self._data) > self._largest:
            raise _too_large("an answer", self._largest)
        return ()

    def end(self) -> Sequence[Said]:
        return unpack(bytes(self._data))


class _Parts:
    """A stream of parts with `separator` behind each; `read` says what one is, None for padding."""

    __slots__ = ("_data", "_largest", "_read", "_searched", "_separator")

    def __init__(
        self, separator: bytes, read: Callable[[bytes], Said | None], largest: int
    ) -> None:
        self._separator = separator
        self._read = read
        self._largest = largest
        self._data = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> Sequence[Said]:
        self._data += data
        said: list[Said] = []
        begin = 0
        while (end := self._data.find(self._separator, self._searched)) >= 0:
            part = bytes(self._data[begin:end])
            self._bound(part)
            one = self._read(part)
            if one is not None:
                said.append(one)
            begin = self._searched = end + len(self._separator)
        del self._data[:begin]
        self._bound(self._data)
        self._searched = max(0, len(self._data) - len(self._separator) + 1)
        return said

    def end(self) -> Sequence[Said]:
        return ()

    def _bound(self, part: bytes | bytearray) -> None:
        if len(part) > self._largest and (len(part) > 2 * PADDING or part.strip(b" :\r\n")):
            raise _too_large("a message", self._largest)


class _Lengths:
    """MessagePack, each message behind its length."""

    __slots__ = ("_data", "_largest")

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._data = bytearray()

    def feed(self, data: bytes) -> Sequence[Said]:
        self._data += data
        said: list[Said] = []
        at = 0
        while len(self._data) - at >= _PREFIX:
            kind = self._data[at]
            size = int.from_bytes(self._data[at + 1 : at + _PREFIX], "big")
            if kind not in (_SAID, _FAREWELL):
                raise ProtocolError(f"a length that begins with {kind}, not 0 or 1", code=1007)
            if size > self._largest:
                raise _too_large("a message", self._largest)
            begin, end = at + _PREFIX, at + _PREFIX + size
            if end > len(self._data):
                break
            part = bytes(self._data[begin:end])
            if kind == _FAREWELL:
                said.append(Farewell.of(_decoded(part.removeprefix(GOODBYE))))
            elif size:  # a length of 0 is padding
                said.append(part)
            at = end
        del self._data[:at]
        return said

    def end(self) -> Sequence[Said]:
        return ()


def _text(part: bytes) -> Said | None:
    """A JSON text, or the farewell."""
    text = _decoded(part)
    if not text or text.isspace():
        return None
    return Farewell.of(text[len(GOODBYE) :]) if part.startswith(GOODBYE) else text


def _record(part: bytes) -> Said | None:
    """A record of an event stream (WHATWG HTML, 9.2); lines end in U+000A."""
    event, data = "", []
    for line in _decoded(part).split("\n"):
        name, _, value = line.partition(":")
        if name == "data":
            data.append(value.removeprefix(" "))
        elif name == "event":
            event = value.removeprefix(" ")
    if not data:
        return None
    return Farewell.of(data[0]) if event == "close" else "\n".join(data)


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("the stream is no UTF-8", code=1007) from error


def _too_large(what: str, largest: int) -> ProtocolError:
    return ProtocolError(f"{what} of over {largest} bytes", code=1009)
