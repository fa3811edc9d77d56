"""WebSocket frames (RFC 6455): headers, masks, close codes, framings for many. HOT

Both ends use it; what order frames may come in is `connection`'s business.
"""

import base64
import hashlib
import struct
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from anywire.errors import ProtocolError
from anywire.net.deflate import deflate_alone
from anywire.payload import Payload

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN, RSV1, MASKED = 0x80, 0x40, 0x80
LARGEST_CONTROL = 125
"""Bytes of a control frame's payload (RFC 6455, 5.5)."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class State(Enum):
    """Where a connection is in its life (RFC 6455, 7.1)."""

    OPEN = "open"
    CLOSING = "closing"
    """We sent a close frame and wait for the peer's."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Ping:
    """A ping of the peer; its pong is written already."""

    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Pong:
    """A pong of the peer."""

    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Close:
    """The end, told once and last.

    `clean`: both ends sent a close frame and broke no rule. `by_peer`: the peer began it, by a
    frame or by leaving. The code is the peer's (1005: it gave none), ours when the peer broke a
    rule, or 1006 when the connection was lost.
    """

    code: int
    reason: str = ""
    clean: bool = False
    by_peer: bool = False


Event: TypeAlias = str | bytes | Ping | Pong | Close


def accept_key(key: str) -> str:
    """Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455, 4.2.2).

    >>> accept_key("dGhlIHNhbXBsZSBub25jZQ==")
    's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
    """
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


# Headers of whole, unmasked frames below 126 bytes, by size.
_SMALL = {
    FIN | opcode: [bytes((FIN | opcode, size)) for size in range(126)]
    for opcode in (TEXT, BINARY, CLOSE, PING, PONG)
}
_SMALL_TEXT, _SMALL_BINARY = _SMALL[FIN | TEXT], _SMALL[FIN | BINARY]
_TEXT, _BINARY = FIN | TEXT, FIN | BINARY
_pack_middle = struct.Struct("!BBH").pack
_pack_large = struct.Struct("!BBQ").pack


def header(first: int, size: int, masked: int = 0) -> bytes:
    """A frame header: `first` byte (FIN, RSV1, opcode), payload size; `masked` is 0 or MASKED."""
    if size < 126:
        return bytes((first, masked | size))
    if size < 65536:
        return _pack_middle(first, masked | 126, size)
    return _pack_large(first, masked | 127, size)


def check_head(
    first: int, second: int, *, from_client: bool, is_inside: bool, can_inflate: bool
) -> None:
    """Refuse what a frame's first two bytes break, before any more is here (RFC 6455, 5.2 to 5.5).

    `is_inside`: a message has begun and not ended; `can_inflate`: permessage-deflate was agreed.
    """
    opcode = first & 0x0F
    if first & 0x70:
        if first & 0x30 or not can_inflate:
            raise ProtocolError("a reserved bit is set that no extension defines")
        if opcode not in (TEXT, BINARY):
            # RFC 7692, 6: only the first frame of a message tells whether it is compressed.
            raise ProtocolError("the compressed bit is set on a frame that may not have it")
    if opcode >= CLOSE:
        if opcode > PONG:
            raise ProtocolError(f"opcode {opcode} is reserved")
        if not first & FIN:
            raise ProtocolError("a control frame is fragmented")
        if second & 0x7F > LARGEST_CONTROL:
            raise ProtocolError("a control frame has more than 125 bytes")
    elif opcode > BINARY:
        raise ProtocolError(f"opcode {opcode} is reserved")
    elif opcode == CONTINUATION:
        if not is_inside:
            raise ProtocolError("a continuation frame continues nothing")
    elif is_inside:
        raise ProtocolError("a new message begins before the last one ended")
    if from_client and not second & MASKED:
        raise ProtocolError("a frame from the client is not masked")
    if not from_client and second & MASKED:
        raise ProtocolError("a frame from the server is masked")


# Which is quickest was measured: one large integer up to 512 bytes (128 bytes: 0.7 µs, a table per
# byte of the mask 1.2 µs), the tables above that (64 KiB: 92 µs, one integer 220 µs).
_AS_INTEGER = 512
REPEAT = [sum(1 << 32 * word for word in range(words)) for words in range(_AS_INTEGER // 4 + 1)]
"""REPEAT[n] times a mask is the mask n times over."""
_XOR = [bytes(byte ^ key for byte in range(256)) for key in range(256)]


def apply_mask(data: bytes, mask: bytes) -> bytes:
    """The payload masked or unmasked (RFC 6455, 5.3); `mask` is 4 bytes."""
    size = len(data)
    if size <= _AS_INTEGER:
        words = size + 3 >> 2
        masks = int.from_bytes(mask, "little") * REPEAT[words]
        return (int.from_bytes(data, "little") ^ masks).to_bytes(words << 2, "little")[:size]
    lanes = bytearray(data)
    for lane, key in enumerate(mask):
        lanes[lane::4] = lanes[lane::4].translate(_XOR[key])
    return bytes(lanes)


def is_close_code(code: int) -> bool:
    """Whether a close frame may carry this code (RFC 6455, 7.4, and the registry it founded)."""
    return 3000 <= code <= 4999 or (1000 <= code <= 1014 and code not in (1004, 1005, 1006))


def pack_close(code: int, reason: str = "") -> bytes:
    """The payload of a close frame; raises ValueError for a code or reason that may not be sent."""
    if not is_close_code(code):
        raise ValueError(f"close code {code} may not be sent; right: 1000, 1001, 3000 to 4999 …")
    text = reason.encode()
    if len(text) > LARGEST_CONTROL - 2:
        raise ValueError(f"a close reason has at most 123 bytes of UTF-8, not {len(text)}")
    return code.to_bytes(2, "big") + text


def read_close(payload: bytes) -> tuple[int, str]:
    """Code and reason of a peer's close frame; an empty one is 1005 (RFC 6455, 7.1.5)."""
    if not payload:
        return 1005, ""
    if len(payload) == 1:
        raise ProtocolError("a close frame with a payload begins with a code of two bytes")
    code = payload[0] << 8 | payload[1]
    try:
        reason = payload[2:].decode()
    except UnicodeDecodeError:
        raise ProtocolError("the close reason is not UTF-8", code=1007) from None
    if not is_close_code(code):
        raise ProtocolError(f"close code {code} may not be sent")
    return code, reason


class Plain:
    """Whole, uncompressed frames from a server."""

    __slots__ = ()
    key = ("ws", 0)

    def frame(self, payload: Payload) -> bytes:
        """The frame of the payload and of each message that travels with it."""
        data = payload.data
        size = len(data)
        if size < 126:
            framed = (_SMALL_TEXT if payload.is_text else _SMALL_BINARY)[size] + data
        elif size < 65536:
            framed = _pack_middle(_TEXT if payload.is_text else _BINARY, 126, size) + data
        else:
            framed = header(FIN | (TEXT if payload.is_text else BINARY), size) + data
        if payload.rest:
            return framed + b"".join([self.frame(part) for part in payload.rest])
        return framed


class Deflated:
    """Frames from a server that agreed to permessage-deflate and keeps no window."""

    __slots__ = ("_bits", "key")

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self.key = ("ws", bits)

    def frame(self, payload: Payload) -> bytes:
        """The frames of the payload and of what travels with it, compressed where that helps."""
        packed = deflate_alone(payload.data, self._bits)
        first = FIN | (TEXT if payload.is_text else BINARY)
        if packed is None:
            framed = header(first, len(payload.data)) + payload.data
        else:
            framed = header(first | RSV1, len(packed)) + packed
        if payload.rest:
            return framed + b"".join([self.frame(part) for part in payload.rest])
        return framed


PLAIN = Plain()
DEFLATED = {bits: Deflated(bits) for bits in range(9, 16)}
"""Framings by the window bits that were agreed for what the server sends."""
