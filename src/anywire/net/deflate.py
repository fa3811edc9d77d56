"""permessage-deflate (RFC 7692): negotiation for both roles, inflating under a limit, deflating.

Windows are not kept from message to message unless an option says so: a connection then owns
nothing while it is idle, and a payload has one compressed form for all who hear it. Knows no
frames; see `rfc6455`.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from anywire.errors import ProtocolError
from anywire.limits import Deflate

NAME = "permessage-deflate"
SMALLEST = 256
"""Payloads below this many bytes are sent as they are: deflating them costs more than it saves."""

_TAIL = b"\x00\x00\xff\xff"
_LARGEST_WINDOW = 15
# zlib deflates raw data with a window of 2^9 at least; it inflates smaller ones with that window
# too.
_SMALLEST_WINDOW = 9
_WINDOWS = {str(bits): bits for bits in range(8, 16)}
# A message that ends several deflate streams is odd but legal; each end costs a copy of what
# follows it.
_MOST_ENDS = 8

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_BLANK = r"[ \t]*+"
# Possessive repeats: no backtracking, so the time is linear in the header's length.
_PIECE = re.compile(
    rf'{_BLANK}({_TOKEN}){_BLANK}(?:(=){_BLANK}(?:({_TOKEN})|"((?:[^"\\]|\\.)*+)"){_BLANK})?([;,]|\Z)'
)
_EMPTY_PIECE = re.compile(rf"{_BLANK}(?:,|\Z)")
_WHOLE_TOKEN = re.compile(_TOKEN)
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Extension:
    """One element of Sec-WebSocket-Extensions: `permessage-deflate; client_max_window_bits=10`."""

    name: str
    params: tuple[tuple[str, str | None], ...] = ()


def parse_extensions(header: str) -> list[Extension]:
    """The elements of a Sec-WebSocket-Extensions header (RFC 6455, 9.1).

    The caller joins several lines of it with commas.
    Raises ProtocolError when it is malformed: a server then answers 400 (RFC 7692, 5.1).
    """
    found: list[Extension] = []
    name: str | None = None
    params: list[tuple[str, str | None]] = []
    at, end = 0, len(header)
    while at < end or name is not None:
        piece = _PIECE.match(header, at)
        if piece is None:
            # RFC 7230, 7: a list may hold empty elements; a parameter may not be empty.
            empty = _EMPTY_PIECE.match(header, at) if name is None else None
            if empty is None:
                raise ProtocolError("the extensions header is malformed")
            at = empty.end()
            continue
        word, equals, value, quoted, stop = piece.groups()
        at = piece.end()
        if quoted is not None:
            value = _ESCAPE.sub(r"\1", quoted)
            if not _WHOLE_TOKEN.fullmatch(value):
                raise ProtocolError("a quoted extension parameter is not a token")
        if name is not None:
            params.append((word, value))
        elif equals:
            raise ProtocolError("an extension's name has no value")
        else:
            name = word
        if stop != ";":
            found.append(Extension(name, tuple(params)))
            name, params = None, []
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PerMessageDeflate:
    """What was agreed, as one end sees it; holds no state, so many connections share one."""

    send_bits: int = _LARGEST_WINDOW
    """Our window, 9 to 15; 0: we never compress."""
    receive_bits: int = _LARGEST_WINDOW
    keep_sent: bool = False
    """Our window is kept from message to message: 256 KiB per connection that sent something."""
    keep_received: bool = False
    """The peer's window is kept: up to 40 KiB per connection that received something compressed."""


def answer_offers(
    deflate: Deflate, offers: Sequence[Extension]
) -> tuple[str | None, PerMessageDeflate | None]:
    """A server's answer: the response header's value and what was agreed, or (None, None).

    Takes the first offer it can meet; one with an unknown, repeated or wrong parameter is declined
    (RFC 7692, 7), and so is one that limits our window to 8 bits, which zlib cannot produce.

    >>> answer_offers(Deflate(), parse_extensions("permessage-deflate; client_max_window_bits"))[0]
    'permessage-deflate; server_no_context_takeover; client_no_context_takeover'
    """
    for offer in offers:
        if offer.name == NAME and (terms := _terms(offer, is_offer=True)) is not None:
            offered = terms.get("server_max_window_bits", _LARGEST_WINDOW)
            if offered >= _SMALLEST_WINDOW:
                return _agree(deflate, terms, min(offered, deflate.server_bits))
    return None, None


def _agree(
    deflate: Deflate, terms: dict[str, int], send_bits: int
) -> tuple[str, PerMessageDeflate]:
    keep_sent = deflate.keep_server and "server_no_context_takeover" not in terms
    keep_received = deflate.keep_client and "client_no_context_takeover" not in terms
    answer = [NAME]
    if not keep_sent:
        answer.append("server_no_context_takeover")
    if not keep_received:
        answer.append("client_no_context_takeover")
    if send_bits < _LARGEST_WINDOW or "server_max_window_bits" in terms:
        answer.append(f"server_max_window_bits={send_bits}")
    receive_bits = _LARGEST_WINDOW
    # RFC 7692, 7.1.2.2: we may limit the client's window only when it offered that. Told 8, a
    # client that uses zlib could not obey; its own offer binds it anyway, so an offer of 8 is
    # answered with nothing.
    if "client_max_window_bits" in terms:
        offered = terms["client_max_window_bits"] or _LARGEST_WINDOW
        receive_bits = min(deflate.client_bits, max(offered, _SMALLEST_WINDOW))
        if _SMALLEST_WINDOW <= offered and receive_bits < _LARGEST_WINDOW:
            answer.append(f"client_max_window_bits={receive_bits}")
    return "; ".join(answer), PerMessageDeflate(
        send_bits=send_bits,
        receive_bits=receive_bits,
        keep_sent=keep_sent,
        keep_received=keep_received,
    )


def write_offer(deflate: Deflate) -> str:
    """The value of a client's Sec-WebSocket-Extensions header."""
    offer = [NAME]
    if not deflate.keep_server:
        offer.append("server_no_context_takeover")
    if not deflate.keep_client:
        offer.append("client_no_context_takeover")
    if deflate.server_bits < _LARGEST_WINDOW:
        offer.append(f"server_max_window_bits={deflate.server_bits}")
    limit = f"={deflate.client_bits}" if deflate.client_bits < _LARGEST_WINDOW else ""
    offer.append(f"client_max_window_bits{limit}")
    return "; ".join(offer)


def read_answer(deflate: Deflate, header: str | None) -> PerMessageDeflate | None:
    """What a server agreed to in its response to `write_offer`; None when it took no extension.

    Raises ProtocolError when the response does not fit the offer: the client then fails the
    connection.
    """
    extensions = parse_extensions(header or "")
    if not extensions:
        return None
    if len(extensions) > 1 or extensions[0].name != NAME:
        raise ProtocolError("the server answered with an extension that was not offered")
    terms = _terms(extensions[0], is_offer=False)
    if terms is None:
        raise ProtocolError("the server's permessage-deflate parameters are wrong")
    if not deflate.keep_server and "server_no_context_takeover" not in terms:
        raise ProtocolError("the server would keep its deflate window, which was ruled out")
    receive_bits = terms.get("server_max_window_bits", _LARGEST_WINDOW)
    if receive_bits > deflate.server_bits:
        raise ProtocolError("the server's deflate window is larger than what was offered")
    # A limit of 8 bits, legal in an answer to an offer without a value, is one zlib cannot
    # keep: we then send everything as it is, which is always allowed.
    told = terms.get("client_max_window_bits", _LARGEST_WINDOW)
    if told > deflate.client_bits and "client_max_window_bits" in terms:
        raise ProtocolError("the client's deflate window is larger than what was offered")
    return PerMessageDeflate(
        send_bits=min(told, deflate.client_bits) if told >= _SMALLEST_WINDOW else 0,
        receive_bits=max(receive_bits, _SMALLEST_WINDOW),
        keep_sent=deflate.keep_client and "client_no_context_takeover" not in terms,
        keep_received="server_no_context_takeover" not in terms,
    )


def _terms(extension: Extension, *, is_offer: bool) -> dict[str, int] | None:
    """Parameters by name, with their window bits (0: without a value); None when any is wrong."""
    terms: dict[str, int] = {}
    for name, value in extension.params:
        if name in terms:
            return None
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            is_right, bits = value is None, 0
        elif name == "client_max_window_bits" and value is None:
            is_right, bits = is_offer, 0
        elif name in ("server_max_window_bits", "client_max_window_bits"):
            is_right, bits = value in _WINDOWS, _WINDOWS.get(value or "", 0)
        else:
            return None
        if not is_right:
            return None
        terms[name] = bits
    return terms


class Inflater:
    """Inflates messages of one peer; keeps a window between messages only when `keep` says so."""

    __slots__ = ("_bits", "_ends", "_keep", "_stream")

    def __init__(self, bits: int, *, keep: bool) -> None:
        self._bits = bits
        self._keep = keep
        self._stream: zlib._Decompress | None = None
        self._ends = 0

    def inflate(self, data: bytes, *, limit: int, is_last: bool) -> bytes:
        """The content of one frame's payload, at most `limit` bytes; `is_last` ends the message.

        Raises ProtocolError 1009 as soon as `limit` is passed, without inflating the rest, and 1002
        for what is no deflate stream.
        """
        if is_last:
            data += _TAIL  # RFC 7692, 7.2.2
        stream = self._stream or zlib.decompressobj(-self._bits)
        try:
            content = stream.decompress(data, limit + 1)
            # A block with BFINAL set ends the stream, not the message (RFC 7692, 7.2.3.4): the next
            # one begins.
            while stream.eof and len(content) <= limit:
                self._ends += 1
                if self._ends > _MOST_ENDS:
                    raise ProtocolError("the compressed message ends too many deflate streams")
                rest = stream.unused_data
                stream = zlib.decompressobj(-self._bits)
                content += stream.decompress(rest, limit + 1 - len(content))
        except zlib.error:
            raise ProtocolError("the compressed message is not a deflate stream") from None
        if len(content) > limit:
            raise ProtocolError("the message is too big when inflated", code=1009)
        if is_last:
            self._ends = 0
        self._stream = stream if self._keep or not is_last else None
        return content


class Deflater:
    """Deflates messages of a connection whose window is kept: each builds on those before it."""

    __slots__ = ("_stream",)

    def __init__(self, bits: int) -> None:
        self._stream = zlib.compressobj(wbits=-bits)

    def deflate(self, data: bytes) -> bytes:
        """The payload of one message; it must be sent, in this order, even where it grew."""
        return (self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


# One idle compressor per window size serves the process: a full flush makes it forget each payload.
# Taking it out while it works keeps event loops in other threads from mixing theirs in.
_idle: "dict[int, list[zlib._Compress]]" = {bits: [] for bits in range(9, 16)}


def deflate_alone(data: bytes, bits: int) -> bytes | None:
    """A message that any peer with such a window can read; None: it would not get smaller."""
    if len(data) < SMALLEST:
        return None
    idle = _idle[bits]
    try:
        stream = idle.pop()
    except IndexError:
        stream = zlib.compressobj(wbits=-bits)
    packed = (stream.compress(data) + stream.flush(zlib.Z_FULL_FLUSH))[:-4]
    idle.append(stream)
    return packed if len(packed) < len(data) else None
