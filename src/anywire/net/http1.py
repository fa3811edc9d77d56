"""HTTP/1.1 without I/O: reads a connection's requests, or the answer to our client (RFC 9112).

Limits and framing are kept here, while bytes arrive: a head that never ends is refused before it is
whole, and requests are handed over one at a time. What a head says is `head.py`'s, how an answer is
written `response.py`'s; both are offered here too. It knows nothing of routes, sockets or clocks.
"""

import re
from collections.abc import Sequence
from enum import Enum, auto

import msgspec

from anywire.errors import ProtocolError
from anywire.limits import Limits
from anywire.net.head import (
    BadHead,
    Request,
    Response,
    header,
    parse_request,
    parse_response,
    tokens,
)
from anywire.net.response import CONTINUE, LAST_CHUNK, Headers, chunk, field, head, response

__all__ = [
    "CONTINUE",
    "LAST_CHUNK",
    "Data",
    "End",
    "Event",
    "Failure",
    "Headers",
    "Request",
    "RequestParser",
    "Response",
    "ResponseParser",
    "Upgraded",
    "chunk",
    "field",
    "head",
    "header",
    "response",
    "tokens",
]

_LIMITS = Limits()
_METHOD_BYTES = 32
_VERSION_BYTES = 16
_CHUNK_LINE = 256

_METHOD = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]*")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[\t ]*(?:;[\t -~\x80-\xff]*)?\r\n")
_TRAILERS = re.compile(rb"(?:[A-Za-z0-9!#$%&'*+.^_`|~-]+:[\t -~\x80-\xff]*\r\n)*\r\n")


class Data(msgspec.Struct, frozen=True):
    """A part of the body, never empty."""

    data: bytes


class End(msgspec.Struct, frozen=True):
    """The request is whole; the next one is read after `next_request`."""


class Upgraded(msgspec.Struct, frozen=True):
    """The socket is given away: `rest`, and what `receive` takes later, is the new owner's."""

    rest: bytes


class Failure(msgspec.Struct, frozen=True):
    """What came is refused: answer with `status`, close. `reason` is fit for the peer."""

    status: int
    reason: str


Event = Request | Data | End | Upgraded | Failure


class RequestParser:
    """Reads the requests of one connection, one at a time; it never raises on bad input.

    `receive` stops at the end of a request and keeps what the client sent ahead. Call
    `next_request` once the answer is written, and pause reading while `waiting` is not zero, for
    nothing else bounds what is kept.
    """

    __slots__ = ("_body", "_buffer", "_fields", "_is_begun", "_is_last", "_limits", "_state")

    def __init__(self, limits: Limits = _LIMITS) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._state = _State.HEAD
        self._fields: _Fields | None = None
        self._body: _Sized | _Chunked = _NOTHING
        self._is_begun = False
        self._is_last = False

    @property
    def waiting(self) -> int:
        """Bytes of later requests that came before the current one was answered."""
        return len(self._buffer) if self._state is _State.HELD else 0

    @property
    def is_idle(self) -> bool:
        """Between two requests, with no byte of the next one here."""
        return self._state is _State.HEAD and not self._buffer

    def receive(self, data: bytes) -> Sequence[Event]:
        """Takes what the socket gave; after a `Failure` or a last request it is ignored."""
        if self._state is _State.OVER:
            return ()
        if self._state is _State.UPGRADED:
            return (Upgraded(data),) if data else ()
        self._buffer += data
        return self._advance()

    def next_request(self) -> Sequence[Event]:
        """Goes on to what was kept, once the current request is both whole and answered."""
        if self._state is not _State.HELD:
            return ()
        self._state = _State.HEAD
        return self._advance()

    def _advance(self) -> list[Event]:
        events: list[Event] = []
        try:
            if self._state is _State.HEAD:
                self._read_head(events)
            if self._state is _State.BODY:
                self._read_body(events)
        except BadHead as bad:
            self._finish()
            events.append(Failure(bad.status, bad.reason))
        return events

    def _read_head(self, events: list[Event]) -> None:
        if not self._is_begun:
            # RFC 9112, 2.2: one empty line before the request line is ignored.
            if len(self._buffer) < 2 and self._buffer in b"\r":
                return
            self._is_begun = True
            if self._buffer.startswith(b"\r\n"):
                del self._buffer[:2]
        if self._fields is None:
            start = _request_line_end(self._buffer, self._limits.url)
            if not start:
                return
            self._fields = _Fields(self._limits, start)
        end = self._fields.end(self._buffer)
        if not end:
            return
        request = parse_request(bytes(self._buffer[:end]))
        del self._buffer[:end]
        self._fields = None
        self._is_begun = False
        events.append(request)
        if request.upgrade:
            events.append(Upgraded(bytes(self._buffer)))
            self._buffer.clear()
            self._state = _State.UPGRADED
            return
        self._body = _Chunked(self._limits) if request.length is None else _Sized(request.length)
        self._is_last = not request.keep_alive
        self._state = _State.BODY

    def _read_body(self, events: list[Event]) -> None:
        pieces: list[bytes] = []
        try:
            is_whole = self._body.read(self._buffer, pieces)
        finally:
            # What was good before a bad chunk is handed over first, however the bytes were split.
            if pieces:
                events.append(Data(b"".join(pieces)))
        if is_whole:
            events.append(End())
            self._body = _NOTHING
            self._state = _State.HELD
            if self._is_last:
                self._finish()

    def _finish(self) -> None:
        self._state = _State.OVER
        self._body = _NOTHING
        self._fields = None
        self._buffer.clear()


class ResponseParser:
    """Reads the head of one final response; informational ones (RFC 9110, 15.2) are skipped."""

    __slots__ = ("_buffer", "_fields", "_limits")

    def __init__(self, limits: Limits = _LIMITS) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._fields: _Fields | None = None

    def receive(self, data: bytes) -> Response | None:
        """None while more is needed; not to be called again after a response.

        Raises:
            ProtocolError: what came is no HTTP/1 response, or its head is over a limit.
        """
        self._buffer += data
        try:
            while (found := self._read()) is not None:
                if found.status == 101 or found.status >= 200:
                    return msgspec.structs.replace(found, rest=bytes(self._buffer))
        except BadHead as bad:
            raise ProtocolError(bad.reason) from None
        return None

    def _read(self) -> Response | None:
        if self._fields is None:
            stop = self._buffer.find(b"\n", 0, self._limits.url)
            if stop < 0:
                if len(self._buffer) >= self._limits.url:
                    raise BadHead(400, "the answer's status line is too long")
                return None
            self._fields = _Fields(self._limits, stop + 1)
        end = self._fields.end(self._buffer)
        if not end:
            return None
        whole = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._fields = None
        return parse_response(whole)


class _State(Enum):
    HEAD = auto()
    BODY = auto()
    HELD = auto()
    UPGRADED = auto()
    OVER = auto()


class _Fields:
    """Finds the end of a header or trailer section in a buffer that grows, and keeps its limits.

    What it says depends on the bytes alone, not on how they were split: whatever it refuses in a
    part of a line it would also refuse in the whole line, before all other reasons.
    """

    __slots__ = ("_count", "_limits", "_line", "_start")

    def __init__(self, limits: Limits, start: int) -> None:
        self._limits = limits
        self._start = self._line = start
        self._count = 0

    def end(self, buffer: bytearray) -> int:
        """The offset behind the empty line; 0 while it has not come."""
        while True:
            stop = buffer.find(b"\n", self._line)
            size = (len(buffer) if stop < 0 else stop + 1) - self._start
            if size > self._limits.header_bytes:
                raise BadHead(431, f"headers are over {self._limits.header_bytes} bytes")
            if stop < 0:
                return 0
            if stop == self._line or buffer[stop - 1] != 13:
                raise BadHead(400, "a header line ends with a bare LF")
            if stop == self._line + 1:
                return stop + 1
            if buffer[self._line] in b" \t":
                raise BadHead(400, "a header line is folded")
            self._count += 1
            if self._count > self._limits.headers:
                raise BadHead(431, f"more than {self._limits.headers} headers")
            self._line = stop + 1


class _Sized:
    """A body of known size."""

    __slots__ = ("_left",)

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, buffer: bytearray, pieces: list[bytes]) -> bool:
        """Moves what is here from `buffer` to `pieces`; True once the body is whole."""
        piece = bytes(buffer[: self._left])
        if piece:
            pieces.append(piece)
            del buffer[: len(piece)]
            self._left -= len(piece)
        return not self._left


_NOTHING = _Sized(0)


class _Chunked:
    """A body in chunks (RFC 9112, 7.1). Extensions and trailers are checked and dropped."""

    __slots__ = ("_is_closing", "_left", "_limits", "_trailers")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left = 0
        self._is_closing = False
        self._trailers: _Fields | None = None

    def read(self, buffer: bytearray, pieces: list[bytes]) -> bool:
        """Moves what is here from `buffer` to `pieces`; True once the body is whole."""
        if self._trailers is None:
            at = self._read_chunks(buffer, pieces)
            del buffer[:at]
            if self._trailers is None:
                return False
        end = self._trailers.end(buffer)
        if not end:
            return False
        if _TRAILERS.fullmatch(buffer, 0, end) is None:
            raise BadHead(400, "a trailer is malformed")
        del buffer[:end]
        return True

    def _read_chunks(self, buffer: bytearray, pieces: list[bytes]) -> int:
        at = 0
        while True:
            if self._left:
                piece = bytes(buffer[at : at + self._left])
                if not piece:
                    return at
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._is_closing = not self._left
            elif self._is_closing:
                mark = bytes(buffer[at : at + 2])
                if not b"\r\n".startswith(mark):
                    raise BadHead(400, "a chunk does not end where its size says")
                if len(mark) < 2:
                    return at
                at += 2
                self._is_closing = False
            else:
                stop = buffer.find(b"\n", at, at + _CHUNK_LINE) + 1
                if not stop and len(buffer) - at < _CHUNK_LINE:
                    return at
                size = _CHUNK.fullmatch(buffer, at, stop)
                if size is None:
                    raise BadHead(400, "a chunk's size is malformed")
                at = stop
                self._left = int(size[1], 16)
                if not self._left:
                    self._trailers = _Fields(self._limits, 0)
                    return at


def _request_line_end(buffer: bytearray, limit: int) -> int:
    """The offset behind the request line; 0 while it is not whole.

    A part of it is judged as the whole would be.
    """
    most = _METHOD_BYTES + limit + _VERSION_BYTES + 3
    stop = buffer.find(b"\n", 0, most)
    line = bytes(buffer[: most if stop < 0 else stop])
    method, _, rest = line.partition(b" ")
    if len(method) > _METHOD_BYTES or _METHOD.fullmatch(method) is None:
        raise BadHead(400, "this is not an HTTP request")
    target, _, version = rest.partition(b" ")
    if len(target) > limit:
        raise BadHead(414, f"the request target is over {limit} bytes")
    if len(version) > _VERSION_BYTES:
        raise BadHead(400, "the request line does not end with a version")
    return stop + 1
