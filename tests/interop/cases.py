"""The cases of RFC 6455 and RFC 7692 that are played in both directions over real sockets.

Each names the section it comes from; tests/docs/test_conformance.py holds them against the table in
docs/reference/conformance.md.
"""

import zlib
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any

from anywire.limits import Deflate
from anywire.net.rfc6455 import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    MASKED,
    PING,
    PONG,
    RSV1,
    TEXT,
    apply_mask,
    header,
)

MASK = b"\x37\xfa\x21\x3d"
LARGEST = 1024 * 1024
"""Limit of messages where the cases need one."""
EDGES = (0, 1, 125, 126, 127, 255, 256, 65_535, 65_536, 65_537)
"""Sizes at which the length's form (5.2) changes, or our mind about compressing."""
CLOSES = [(1000, ""), (1000, "bye"), (3000, "grüße"), (4999, "x" * 123)]
PROBES = [b"", b"\x00\xff", b"p" * 125]


def content(size: int, *, is_text: bool) -> str | bytes:
    """A message of so many bytes, not all of them ASCII, that compresses well."""
    if not is_text:
        return (b"\x00\xfe\xff\x80" * (size // 4 + 1))[:size]
    return "é" * (size // 2 % 2) + "x" * (size - 2 * (size // 2 % 2))


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame, right or wrong: `size` is what its header claims, `is_masked_wrongly` for 5.1."""

    first: int
    payload: bytes = b""
    size: int | None = None
    is_masked_wrongly: bool = False

    def sent(self, *, by_client: bool) -> bytes:
        """Its bytes, as this end would have to mask them."""
        size = len(self.payload) if self.size is None else self.size
        if by_client is self.is_masked_wrongly:
            return header(self.first, size) + self.payload
        return header(self.first, size, MASKED) + MASK + apply_mask(self.payload, MASK)


@dataclass(frozen=True, slots=True)
class Fault:
    """Frames that break a rule, and the close code that has to answer them."""

    rfc: int
    section: str
    name: str
    code: int
    frames: tuple[Frame, ...]
    deflate: bool = False

    @property
    def id(self) -> str:
        return f"{self.rfc}-{self.section}-{self.name}"

    def sent(self, *, by_client: bool) -> list[bytes]:
        return [frame.sent(by_client=by_client) for frame in self.frames]


def deflated(data: bytes) -> bytes:
    """The payload of a compressed message (RFC 7692, 7.2.1)."""
    stream = zlib.compressobj(wbits=-15)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def _close(code: int, reason: bytes = b"") -> Frame:
    return Frame(FIN | CLOSE, code.to_bytes(2, "big") + reason)


_BOMB = deflated(bytes(LARGEST + 1))
_INVALID_TEXT = {
    "overlong": b"\xc0\xaf",
    "surrogate": b"\xed\xa0\x80",
    "past-the-last": b"\xf4\x90\x80\x80",
    "cut-short": b"\xe2\x82",
    "no-first-byte": b"\x80",
}

FAULTS = [
    Fault(6455, "5.1", "masking", 1002, (Frame(FIN | TEXT, b"hi", is_masked_wrongly=True),)),
    *(
        Fault(6455, "5.2", f"rsv{bit}", 1002, (Frame(FIN | TEXT | 0x80 >> bit, b"hi"),))
        for bit in (1, 2, 3)
    ),
    *(
        Fault(6455, "5.2", f"opcode-{opcode}", 1002, (Frame(FIN | opcode),))
        for opcode in (*range(3, 8), *range(11, 16))
    ),
    Fault(6455, "5.2", "length-over-63-bits", 1002, (Frame(FIN | BINARY, size=1 << 63),)),
    Fault(6455, "5.4", "continues-nothing", 1002, (Frame(FIN | CONTINUATION, b"hi"),)),
    Fault(6455, "5.4", "begins-inside", 1002, (Frame(TEXT, b"a"), Frame(FIN | TEXT, b"b"))),
    Fault(6455, "5.5", "fragmented-ping", 1002, (Frame(PING, b"hi"),)),
    Fault(6455, "5.5", "fragmented-close", 1002, (Frame(CLOSE),)),
    Fault(6455, "5.5", "long-ping", 1002, (Frame(FIN | PING, bytes(126)),)),
    Fault(6455, "5.5", "long-pong", 1002, (Frame(FIN | PONG, bytes(126)),)),
    Fault(6455, "5.5.1", "one-byte", 1002, (Frame(FIN | CLOSE, b"\x03"),)),
    Fault(6455, "5.5.1", "reason-not-utf8", 1007, (_close(1000, b"\xff"),)),
    *(
        Fault(6455, "7.4", f"close-{code}", 1002, (_close(code),))
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535)
    ),
    *(
        Fault(6455, "8.1", f"{name}-{way}", 1007, frames)
        for name, text in _INVALID_TEXT.items()
        for way, frames in {
            "whole": (Frame(FIN | TEXT, text),),
            "split": (Frame(TEXT, text[:1]), Frame(FIN | CONTINUATION, text[1:])),
        }.items()
    ),
    Fault(6455, "10.4", "announced", 1009, (Frame(FIN | BINARY, size=LARGEST + 1),)),
    Fault(
        *(6455, "10.4", "adding-up", 1009),
        (Frame(BINARY, bytes(LARGEST)), Frame(FIN | CONTINUATION, b"1")),
    ),
    Fault(6455, "10.4", "fragments", 1009, (Frame(BINARY), *[Frame(CONTINUATION)] * 1024)),
    Fault(
        *(7692, "6", "rsv1-on-continuation", 1002),
        (Frame(TEXT, b"a"), Frame(FIN | RSV1 | CONTINUATION, b"b")),
        deflate=True,
    ),
    Fault(7692, "6", "rsv1-on-ping", 1002, (Frame(FIN | RSV1 | PING),), deflate=True),
    Fault(7692, "6", "rsv2", 1002, (Frame(FIN | 0x20 | TEXT, b"hi"),), deflate=True),
    Fault(7692, "6", "rsv3", 1002, (Frame(FIN | 0x10 | TEXT, b"hi"),), deflate=True),
    Fault(
        *(7692, "7.2.2", "no-stream", 1002), (Frame(FIN | RSV1 | TEXT, b"\xff" * 9),), deflate=True
    ),
    Fault(
        *(7692, "7.2.2", "text-not-utf8", 1007),
        (Frame(FIN | RSV1 | TEXT, deflated(b"\xff")),),
        deflate=True,
    ),
    Fault(7692, "8", "bomb", 1009, (Frame(FIN | RSV1 | BINARY, _BOMB),), deflate=True),
    Fault(
        *(7692, "8", "bomb-in-pieces", 1009),
        (Frame(RSV1 | BINARY, _BOMB[:9]), Frame(FIN | CONTINUATION, _BOMB[9:])),
        deflate=True,
    ),
]


@dataclass(frozen=True, slots=True)
class Terms:
    """Options of permessage-deflate that ws is given (7692, 7.1), and ours."""

    ws: dict[str, Any]
    ours: Deflate

    @property
    def id(self) -> str:
        def short(name: str) -> str:
            return "".join(letter for letter in name if letter.isupper() or name[0] == letter)

        theirs = ",".join(f"{short(name)}={value}" for name, value in self.ws.items())
        ours = self.ours
        keeps = "S" * ours.keep_server + "C" * ours.keep_client
        return f"{theirs or 'plain'}-ours{keeps}{ours.server_bits},{ours.client_bits}"


OURS = [
    Deflate(),
    Deflate(keep_server=True, keep_client=True),
    Deflate(keep_client=True, server_bits=10, client_bits=10),
]


_REFERS_FAR = Random(7692).randbytes(1500) * 3
"""Each part repeats what is further back than a small window reaches."""
TALK: list[str | bytes] = [
    content(255, is_text=True),
    content(256, is_text=True),
    _REFERS_FAR,
    content(5000, is_text=True),
    content(5000, is_text=True),
    b"",
]
"""What is said under each of the terms: small, large, repeated, empty."""


def _terms() -> list[Terms]:
    flags = (None, True)
    server_bits = (None, 8, 9, 15)
    client_bits = (None, False, 8, 9, 15)
    found = []
    for ours, server_alone, client_alone, server, client in product(
        OURS, flags, flags, server_bits, client_bits
    ):
        asked = {
            "serverNoContextTakeover": server_alone,
            "clientNoContextTakeover": client_alone,
            "serverMaxWindowBits": server,
            "clientMaxWindowBits": client,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        found.append(Terms(given, ours))
    return found


TERMS = _terms()
"""Every combination that ws can be given, against each of ours."""
