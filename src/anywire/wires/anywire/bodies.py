"""The anywire protocol over HTTP requests: docs/reference/protocol.md, Over HTTP.

A body holds whole messages: JSON texts with U+001E between them (no JSON text holds that
character), or MessagePack messages, each behind its length (four bytes, big-endian; the first byte
is 0, which no JSON text begins with). A stream is a body without an end, in which U+001E stands
behind each text; an event stream (WHATWG HTML, 9.2) has a text a record.
"""

from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote

from anywire.errors import ProtocolError
from anywire.payload import UNFRAMED, Carrier, Framing, Message, Payload
from anywire.wires.base import Answer, Downlink, Headers

SEPARATOR = b"\x1e"
FAREWELL = "X-Anywire-Close"
"""Header of the last poll's answer: the close code and, percent-encoded, the reason."""
CODE = "X-Anywire-Code"
"""Header of a refusal: its code."""
GOODBYE = b"!"
"""What the last text of a stream begins with, which no JSON text does."""
PADDING = 2048
"""Bytes that a stream begins with: some proxies pass nothing on before they have as many."""
_PREFIX = 4
_LONGEST = 2**24 - 1
_COMMON = (
    ("Cache-Control", "no-store, no-transform"),
    ("Access-Control-Expose-Headers", f"{FAREWELL}, {CODE}"),
)
_TYPES = {
    Carrier.POLL: "application/octet-stream",
    Carrier.STREAM: "application/octet-stream",
    Carrier.EVENTS: "text/event-stream",
}

TAKEN = Answer(status=204, headers=_COMMON)
"""All messages of a POST were taken."""


class Texts:
    """JSON texts, U+001E behind each."""

    __slots__ = ()

    key = ("anywire.stream", 0)

    def frame(self, payload: Payload) -> bytes:
        """The texts of one payload."""
        if not payload.rest:
            return payload.data + SEPARATOR
        return b"".join([part.data + SEPARATOR for part in payload.parts()])


class Lengths:
    """MessagePack, each message behind its length."""

    __slots__ = ()

    key = ("anywire.stream.msgpack", 0)

    def frame(self, payload: Payload) -> bytes:
        """The messages of one payload."""
        parts = payload.parts()
        return b"".join([len(part.data).to_bytes(_PREFIX, "big") + part.data for part in parts])


class Records:
    """Records of an event stream; JSON is written without line breaks."""

    __slots__ = ()

    key = ("anywire.events", 0)

    def frame(self, payload: Payload) -> bytes:
        """The records of one payload."""
        if not payload.rest:
            return b"data: %b\n\n" % payload.data
        return b"".join([b"data: %b\n\n" % part.data for part in payload.parts()])


TEXTS, LENGTHS, RECORDS = Texts(), Lengths(), Records()


@lru_cache(maxsize=64)
def downlink(carrier: Carrier, *, is_binary: bool, wait: float, gap: float) -> Downlink:
    """How a request for what a session says is answered; `wait` and `gap` in seconds."""
    headers = (("Content-Type", _TYPES[carrier]), *_COMMON)
    if carrier is Carrier.POLL:
        return Downlink(
            framing=UNFRAMED,
            headers=headers,
            pack=lambda payloads: (pack(payloads), len(payloads)),
            wait=wait,
            gap=gap,
            farewell=_in_header,
        )
    framing: Framing
    if carrier is Carrier.EVENTS:
        framing, prelude, farewell = RECORDS, b":%b\n\n" % (b" " * PADDING), _in_record
    elif is_binary:
        framing, prelude, farewell = LENGTHS, bytes(PADDING), _in_length
    else:
        framing, prelude, farewell = TEXTS, b" " * PADDING + SEPARATOR, _in_text
    return Downlink(framing=framing, headers=headers, prelude=prelude, gap=gap, farewell=farewell)


def pack(payloads: Sequence[Payload]) -> bytes:
    """Messages as one body."""
    parts = [one for payload in payloads for one in payload.parts()]
    if parts and not parts[0].is_text:
        return b"".join([len(part.data).to_bytes(_PREFIX, "big") + part.data for part in parts])
    return SEPARATOR.join([part.data for part in parts])


def unpack(body: bytes) -> Sequence[Message]:
    """The messages of a body. Raises ProtocolError (1007) for what is cut or no text."""
    if not body:
        return ()
    if body[0] == 0:
        return _binary(body)
    try:
        return body.decode().split(SEPARATOR.decode())
    except UnicodeDecodeError as error:
        raise ProtocolError("the body is no UTF-8", code=1007) from error


def _binary(body: bytes) -> Sequence[Message]:
    messages: list[Message] = []
    at = 0
    while at < len(body):
        size = int.from_bytes(body[at : at + _PREFIX], "big")
        at += _PREFIX
        if size > _LONGEST or at + size > len(body):
            raise ProtocolError("the body ends in the middle of a message", code=1007)
        messages.append(body[at : at + size])
        at += size
    return messages


def _told(code: int, reason: str) -> str:
    return f"{code} {quote(reason)}".rstrip()


def _in_header(code: int, reason: str) -> tuple[Headers, bytes]:
    return ((FAREWELL, _told(code, reason)),), b""


def _in_record(code: int, reason: str) -> tuple[Headers, bytes]:
    return (), f"event: close\ndata: {_told(code, reason)}\n\n".encode()


def _in_text(code: int, reason: str) -> tuple[Headers, bytes]:
    return (), GOODBYE + _told(code, reason).encode() + SEPARATOR


def _in_length(code: int, reason: str) -> tuple[Headers, bytes]:
    said = GOODBYE + _told(code, reason).encode()
    return (), (len(said) | 1 << 24).to_bytes(_PREFIX, "big") + said
