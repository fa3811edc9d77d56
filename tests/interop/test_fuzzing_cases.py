"""Right and wrong frames of each kind against `/ws/echo` of the conformance app, as a process of
its own: the ground that public suites of fuzzing cases cover (RFC 6455, RFC 7692).

The client here is bytes and zlib alone: nothing of ours judges what the server says.
"""

import asyncio
import base64
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.cli.commands import serving

pytestmark = [pytest.mark.slow, pytest.mark.net, pytest.mark.asyncio(loop_scope="module")]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEBIBYTE, MEBIBYTE = 1024, 1024 * 1024
LARGEST = 16 * MEBIBYTE
MASK = b"\x9d\x01\xfe\x40"
TIMEOUT = 8.0


def masked(data: bytes) -> bytes:
    """The payload as a client must send it (5.3)."""
    size = len(data)
    key = int.from_bytes((MASK * (size // 4 + 1))[:size], "little")
    return (int.from_bytes(data, "little") ^ key).to_bytes(size, "little")


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, reserved: int = 0) -> bytes:
    """A client's frame (5.2); `reserved` are its three bits, 4 the first."""
    size = len(data)
    first = bytes([fin << 7 | reserved << 4 | opcode])
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65_536:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return first + length + MASK + masked(data)


def fragments(opcode: int, pieces: list[bytes], *, reserved: int = 0) -> Iterator[bytes]:
    """One message in these pieces (5.4)."""
    for number, piece in enumerate(pieces):
        yield frame(
            CONTINUATION if number else opcode,
            piece,
            fin=number == len(pieces) - 1,
            reserved=0 if number else reserved,
        )


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)] or [b""]


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


@dataclass(frozen=True, slots=True)
class Said:
    """A frame of the server."""

    opcode: int
    data: bytes
    is_packed: bool = False


class Fuzzer:
    """A client that sends any bytes and reads frames."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, extensions: str
    ) -> None:
        self.extensions = extensions
        self._reader = reader
        self._writer = writer

    @classmethod
    async def dial(cls, url: str, offer: str = "") -> Self:
        """Shake hands, with this line of extensions."""
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=MEBIBYTE)
        lines = [
            "GET /ws/echo HTTP/1.1",
            f"Host: {parts.netloc}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Origin: https://anywhere.example",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
            *([f"Sec-WebSocket-Extensions: {offer}"] if offer else []),
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        status, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        assert status.split()[1] == "101"
        headers = dict(line.lower().split(": ", 1) for line in fields if line)
        assert "sec-websocket-protocol" not in headers
        return cls(reader, writer, headers.get("sec-websocket-extensions", ""))

    def send(self, *data: bytes) -> None:
        """Write these bytes as one."""
        self._writer.write(b"".join(data))

    async def trickle(self, data: bytes, size: int = 1) -> None:
        """Write in chops of this size, each on its way before the next."""
        for chop in cut(data, size):
            self._writer.write(chop)
            await self._writer.drain()

    async def next(self) -> Said:
        """The next frame, which the server neither masks nor cuts."""
        async with asyncio.timeout(TIMEOUT):
            first, size = await self._reader.readexactly(2)
            assert first & 0xB0 == 0x80 and size < 128, (first, size)
            if size >= 126:
                size = int.from_bytes(
                    await self._reader.readexactly(2 if size == 126 else 8), "big"
                )
            return Said(first & 0x0F, await self._reader.readexactly(size), bool(first & 0x40))

    async def hears(self, opcode: int, data: bytes) -> None:
        """The next frame must be this one."""
        said = await self.next()
        assert (said.opcode, said.data) == (opcode, data)

    async def is_closed(self, code: int | None, reason: bytes | None = None) -> None:
        """The next frame must be a close with this code, and the server hangs up after it."""
        said = await self.next()
        assert said.opcode == CLOSE, said
        assert said.data[:2] == (b"" if code is None else code.to_bytes(2, "big"))
        if reason is not None:
            assert said.data[2:] == reason
        async with asyncio.timeout(TIMEOUT):
            assert await self._reader.read() == b""

    async def ends_well(self) -> None:
        """Nothing more is said; close, hear it answered, and the server hangs up first."""
        self.send(closing(1000))
        await self.is_closed(1000, b"")

    def leave(self) -> None:
        self._writer.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url() -> AsyncIterator[str]:
    """The conformance app, served as its users serve it."""
    async with serving("serve", "conformance.app:app", "--port", "0") as (_, url):
        yield url


@asynccontextmanager
async def fuzzing(url: str, offer: str = "") -> AsyncIterator[Fuzzer]:
    fuzzer = await Fuzzer.dial(url, offer)
    try:
        yield fuzzer
    finally:
        fuzzer.leave()


@pytest_asyncio.fixture(loop_scope="module")
async def fuzzer(url: str) -> AsyncIterator[Fuzzer]:
    """A plain connection, nothing offered."""
    async with fuzzing(url) as fuzzer:
        yield fuzzer


async def http(url: str, path: str) -> bytes:
    """The status line of a GET."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode()
    )
    status = await reader.readline()
    writer.close()
    return status


async def test_the_health_path_answers_200_and_others_404(url: str) -> None:
    assert (await http(url, "/health")).split()[1] == b"200"
    assert (await http(url, "/elsewhere")).split()[1] == b"404"


# --- framing (5.2) ------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["text", "binary"])
async def test_a_message_of_any_length_comes_back(fuzzer: Fuzzer, opcode: int) -> None:
    for size in (0, 1, 125, 126, 127, 128, 65_535, 65_536):
        data = b"*" * size if opcode == TEXT else (b"\xfe\x00" * size)[:size]
        fuzzer.send(frame(opcode, data))
        await fuzzer.hears(opcode, data)
    await fuzzer.ends_well()


@pytest.mark.parametrize(("size", "chop"), [(125, 1), (65_536, 997)])
async def test_a_frame_that_arrives_in_chops_comes_back(
    fuzzer: Fuzzer, size: int, chop: int
) -> None:
    await fuzzer.trickle(frame(BINARY, b"\xfe" * size), chop)
    await fuzzer.hears(BINARY, b"\xfe" * size)
    await fuzzer.ends_well()


async def test_a_length_in_a_longer_form_than_it_needs_is_read(fuzzer: Fuzzer) -> None:
    fuzzer.send(b"\x82\xfe\x00\x03" + MASK + masked(b"abc"))
    fuzzer.send(b"\x82\xff" + (3).to_bytes(8, "big") + MASK + masked(b"def"))
    await fuzzer.hears(BINARY, b"abc")
    await fuzzer.hears(BINARY, b"def")


async def test_a_length_with_its_first_bit_set_is_1002(fuzzer: Fuzzer) -> None:
    fuzzer.send(b"\x82\xff" + (1 << 63).to_bytes(8, "big") + MASK)
    await fuzzer.is_closed(1002)


async def test_an_unmasked_frame_is_1002(fuzzer: Fuzzer) -> None:
    fuzzer.send(b"\x81\x02hi")
    await fuzzer.is_closed(1002)


# --- pings and pongs (5.5.2, 5.5.3) -------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"hello", b"\x00\xff\xfe", b"\xfe" * 125])
@pytest.mark.parametrize("chop", [None, 1], ids=["whole", "chopped"])
async def test_a_ping_comes_back_as_its_pong(fuzzer: Fuzzer, data: bytes, chop: int | None) -> None:
    await fuzzer.trickle(frame(PING, data), chop or 200)
    await fuzzer.hears(PONG, data)
    await fuzzer.ends_well()


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
async def test_a_control_frame_of_126_bytes_is_1002(fuzzer: Fuzzer, opcode: int) -> None:
    fuzzer.send(frame(opcode, b"\x03\xe8" + b"\xfe" * 124))
    await fuzzer.is_closed(1002)


@pytest.mark.parametrize("data", [b"", b"unasked"])
async def test_a_pong_nobody_asked_for_is_ignored(fuzzer: Fuzzer, data: bytes) -> None:
    fuzzer.send(frame(PONG, data), frame(PING, b"asked"), frame(PONG, data))
    await fuzzer.hears(PONG, b"asked")
    await fuzzer.ends_well()


@pytest.mark.parametrize("chop", [None, 1], ids=["at-once", "chopped"])
async def test_each_of_ten_pings_is_answered_in_order(fuzzer: Fuzzer, chop: int | None) -> None:
    data = [b"ping %d" % number for number in range(10)]
    await fuzzer.trickle(b"".join(frame(PING, each) for each in data), chop or 1000)
    for each in data:
        await fuzzer.hears(PONG, each)
    await fuzzer.ends_well()


@pytest.mark.parametrize("at", range(4))
async def test_a_ping_at_any_place_among_fragments_is_answered_at_once(
    fuzzer: Fuzzer, at: int
) -> None:
    frames = list(fragments(TEXT, [b"one ", b"", b"two ", b"three"]))
    for number, piece in enumerate([*frames[:at], frame(PING, b"now"), *frames[at:]]):
        fuzzer.send(piece)
        if number == at:
            await fuzzer.hears(PONG, b"now")
    await fuzzer.hears(TEXT, b"one two three")
    await fuzzer.ends_well()


# --- reserved bits and opcodes (5.2) ------------------------------------------------------------


@pytest.mark.parametrize("reserved", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
async def test_a_reserved_bit_is_1002(fuzzer: Fuzzer, reserved: int, opcode: int) -> None:
    fuzzer.send(frame(TEXT, b"right"))
    await fuzzer.hears(TEXT, b"right")
    fuzzer.send(frame(opcode, b"\x03\xe8", reserved=reserved), frame(PING))
    await fuzzer.is_closed(1002)


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("data", [b"", b"payload"])
async def test_a_reserved_opcode_is_1002(fuzzer: Fuzzer, opcode: int, data: bytes) -> None:
    fuzzer.send(frame(BINARY, b"right"))
    await fuzzer.hears(BINARY, b"right")
    await fuzzer.trickle(frame(opcode, data) + frame(PING), 3)
    await fuzzer.is_closed(1002)


# --- fragments (5.4) ----------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
async def test_a_control_frame_in_fragments_is_1002(fuzzer: Fuzzer, opcode: int) -> None:
    fuzzer.send(*fragments(opcode, [b"\x03\xe8", b"x"]))
    await fuzzer.is_closed(1002)


@pytest.mark.parametrize(
    "frames",
    [
        [frame(CONTINUATION, b"nothing before me")],
        [frame(CONTINUATION, b"nothing before me", fin=False), frame(TEXT, b"a")],
        [frame(TEXT, b"a", fin=False), frame(TEXT, b"b")],
        [frame(TEXT, b"a", fin=False), frame(BINARY, b"b", fin=False)],
        [*fragments(TEXT, [b"a", b"b"]), frame(CONTINUATION, b"c")],
        [*fragments(TEXT, [b"a", b"b"]), frame(CONTINUATION, b"c", fin=False)],
    ],
)
@pytest.mark.parametrize("chop", [1, 1000], ids=["chopped", "whole"])
async def test_fragments_out_of_order_are_1002(
    fuzzer: Fuzzer, frames: list[bytes], chop: int
) -> None:
    await fuzzer.trickle(b"".join(frames), chop)
    said = await fuzzer.next()
    if said.opcode == TEXT:  # what was whole before the fault may come back first
        assert said.data == b"ab"
        said = await fuzzer.next()
    assert (said.opcode, said.data[:2]) == (CLOSE, b"\x03\xea")


@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["text", "binary"])
@pytest.mark.parametrize("chop", [1, 7, 100_000])
async def test_fragments_with_pings_between_them_come_back_as_one(
    fuzzer: Fuzzer, opcode: int, chop: int
) -> None:
    pieces = [b"fragment %d " % number for number in range(5)]
    frames = list(fragments(opcode, pieces))
    pinged = [between for each in frames for between in (frame(PING, b"between"), each)]
    await fuzzer.trickle(b"".join(pinged), chop)
    for _ in pieces:
        await fuzzer.hears(PONG, b"between")
    await fuzzer.hears(opcode, b"".join(pieces))
    await fuzzer.ends_well()


async def test_empty_fragments_make_an_empty_message(fuzzer: Fuzzer) -> None:
    fuzzer.send(*fragments(TEXT, [b"", b"", b""]))
    await fuzzer.hears(TEXT, b"")
    fuzzer.send(*fragments(TEXT, [b"", b"middle", b""]))
    await fuzzer.hears(TEXT, b"middle")


# --- UTF-8 (8.1) --------------------------------------------------------------------------------

VALID = [
    "Grüße, κόσμε, 世界, 👋".encode(),
    *(character.encode() for character in "\0\x7f\x80\u07ff\u0800\ud7ff\ue000\ufffd\uffff"),
    *(character.encode() for character in "\ufeff\ufdd0\U00010000\U0001fffe\U0010ffff"),
]
INVALID = {
    "lone continuation": b"\x80",
    "many continuations": bytes(range(0x80, 0xC0)),
    "lone start of two": b"\xc3 ",
    "lone start of three": b"\xe2\x82 ",
    "lone start of four": b"\xf0\x9f\x91 ",
    "starts of five and six": b"\xf8\x88\x80\x80\x80",
    "start of six": b"\xfc\x84\x80\x80\x80\x80",
    "impossible fe": b"\xfe",
    "impossible ff": b"\xff",
    "overlong of two": b"\xc1\xbf",
    "overlong of three": b"\xe0\x9f\xbf",
    "overlong of four": b"\xf0\x8f\xbf\xbf",
    "overlong nul": b"\xc0\x80",
    "first surrogate": b"\xed\xa0\x80",
    "last surrogate": b"\xed\xbf\xbf",
    "pair of surrogates": b"\xed\xa0\x80\xed\xb0\x80",
    "past the last": b"\xf4\x90\x80\x80",
    "far past the last": b"\xf7\xbf\xbf\xbf",
}
CUT_SHORT = [b"\xce", b"\xe1\xbd", b"\xf0\x9f\x91", b"right \xe1\xbd"]


async def test_valid_text_comes_back_whole_and_split_anywhere(fuzzer: Fuzzer) -> None:
    for text in VALID:
        fuzzer.send(frame(TEXT, text))
        await fuzzer.hears(TEXT, text)
        for at in range(1, len(text)):
            fuzzer.send(*fragments(TEXT, [text[:at], text[at:]]))
            await fuzzer.hears(TEXT, text)
        fuzzer.send(*fragments(TEXT, cut(text, 1)))
        await fuzzer.hears(TEXT, text)
    await fuzzer.ends_well()


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
async def test_invalid_text_is_1007_whole_and_split_anywhere(url: str, text: bytes) -> None:
    whole = "κόσμε".encode() + text + b"edited"
    for pieces in ([whole], cut(whole, 1), cut(whole, 3), ["κόσμε".encode(), text, b"edited"]):
        async with fuzzing(url) as fuzzer:
            fuzzer.send(*fragments(TEXT, pieces))
            await fuzzer.is_closed(1007)


@pytest.mark.parametrize("text", CUT_SHORT)
async def test_text_that_ends_inside_a_character_is_1007(url: str, text: bytes) -> None:
    for pieces in ([text], cut(text, 1), [text, b""]):
        async with fuzzing(url) as fuzzer:
            fuzzer.send(*fragments(TEXT, pieces))
            await fuzzer.is_closed(1007)


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
async def test_invalid_text_is_refused_before_its_message_ends(fuzzer: Fuzzer, text: bytes) -> None:
    fuzzer.send(frame(TEXT, "κόσμε".encode(), fin=False), frame(PING))
    await fuzzer.hears(PONG, b"")
    fuzzer.send(frame(CONTINUATION, text, fin=False))
    await fuzzer.is_closed(1007)


async def test_binary_may_hold_what_text_may_not(fuzzer: Fuzzer) -> None:
    for data in (*INVALID.values(), *CUT_SHORT):
        fuzzer.send(frame(BINARY, data))
        await fuzzer.hears(BINARY, data)


# --- the close handshake (5.5.1, 7) -------------------------------------------------------------


async def test_a_close_without_a_payload_is_answered_without_one(fuzzer: Fuzzer) -> None:
    fuzzer.send(frame(CLOSE))
    await fuzzer.is_closed(None)


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]
)
@pytest.mark.parametrize("reason", [b"", "grüße".encode(), b"*" * 123])
async def test_a_valid_close_is_answered_with_its_code(
    fuzzer: Fuzzer, code: int, reason: bytes
) -> None:
    fuzzer.send(closing(code, reason))
    await fuzzer.is_closed(code, b"")


@pytest.mark.parametrize(
    "code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535]
)
async def test_a_close_code_that_may_not_be_sent_is_1002(fuzzer: Fuzzer, code: int) -> None:
    fuzzer.send(closing(code))
    await fuzzer.is_closed(1002)


async def test_a_close_payload_of_one_byte_is_1002(fuzzer: Fuzzer) -> None:
    fuzzer.send(frame(CLOSE, b"\x03"))
    await fuzzer.is_closed(1002)


async def test_a_close_reason_that_is_not_utf8_is_1007(fuzzer: Fuzzer) -> None:
    fuzzer.send(closing(1000, "κόσμε".encode() + b"\xed\xa0\x80edited"))
    await fuzzer.is_closed(1007)


@pytest.mark.parametrize(
    "later",
    [closing(1001), frame(PING, b"late"), frame(TEXT, b"late"), frame(CONTINUATION, b"late")],
    ids=["close", "ping", "text", "continuation"],
)
@pytest.mark.parametrize("is_inside", [False, True], ids=["between", "inside"])
async def test_nothing_after_a_close_frame_is_heard(
    fuzzer: Fuzzer, later: bytes, is_inside: bool
) -> None:
    begun = frame(TEXT, b"begun", fin=False) if is_inside else b""
    fuzzer.send(begun, closing(1000), later)
    await fuzzer.is_closed(1000, b"")


async def test_a_large_message_and_a_close_behind_it_end_cleanly(fuzzer: Fuzzer) -> None:
    fuzzer.send(frame(TEXT, b"*" * 256 * KEBIBYTE), closing(1000), frame(PING))
    said = await fuzzer.next()
    if said.opcode == TEXT:
        assert said.data == b"*" * 256 * KEBIBYTE
        said = await fuzzer.next()
    assert said == Said(CLOSE, b"\x03\xe8")


# --- size (10.4) --------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["text", "binary"])
@pytest.mark.parametrize(
    "size", [64 * KEBIBYTE, 256 * KEBIBYTE, MEBIBYTE, 4 * MEBIBYTE, 8 * MEBIBYTE, LARGEST]
)
async def test_messages_up_to_16_mebibytes_come_back(
    fuzzer: Fuzzer, size: int, opcode: int
) -> None:
    data = b"BAsd7&jh" * (size // 8)
    fuzzer.send(frame(opcode, data))
    await fuzzer.hears(opcode, data)


async def test_a_message_past_16_mebibytes_is_1009_by_its_header(fuzzer: Fuzzer) -> None:
    fuzzer.send(b"\x82\xff" + (LARGEST + 1).to_bytes(8, "big") + MASK)
    await fuzzer.is_closed(1009)


@pytest.mark.parametrize("size", [64, 256, KEBIBYTE, 4 * KEBIBYTE, 64 * KEBIBYTE, MEBIBYTE])
async def test_4_mebibytes_in_fragments_of_any_size_come_back(fuzzer: Fuzzer, size: int) -> None:
    data = "é".encode() * (2 * MEBIBYTE)
    fuzzer.send(*fragments(TEXT, cut(data, size)))
    await fuzzer.hears(TEXT, data)


@pytest.mark.parametrize("chop", [64, 128, 256, 512, KEBIBYTE, 2 * KEBIBYTE])
async def test_a_mebibyte_in_chops_of_any_size_comes_back(fuzzer: Fuzzer, chop: int) -> None:
    await fuzzer.trickle(frame(BINARY, b"\xfe" * MEBIBYTE), chop)
    await fuzzer.hears(BINARY, b"\xfe" * MEBIBYTE)


@pytest.mark.parametrize("size", [0, 16, 64, 256, KEBIBYTE, 4 * KEBIBYTE])
async def test_a_thousand_messages_come_back_in_order(fuzzer: Fuzzer, size: int) -> None:
    messages = [(b"%03d" % number * (size // 3 + 1))[:size] for number in range(1000)]
    fuzzer.send(*(frame(TEXT, message) for message in messages))
    for message in messages:
        await fuzzer.hears(TEXT, message)
    await fuzzer.ends_well()


# --- permessage-deflate (RFC 7692) --------------------------------------------------------------

WINDOWS = [None, *range(9, 16)]
SIZES = (0, 16, 64, 256, KEBIBYTE, 8 * KEBIBYTE, 32 * KEBIBYTE)


@dataclass(frozen=True, slots=True)
class Terms:
    """One combination of the four parameters (7.1); True: `client_max_window_bits` alone."""

    server_alone: bool
    client_alone: bool
    server_bits: int | None
    client_bits: int | bool | None

    @property
    def offer(self) -> str:
        parts = ["permessage-deflate"]
        if self.server_alone:
            parts.append("server_no_context_takeover")
        if self.client_alone:
            parts.append("client_no_context_takeover")
        if self.server_bits:
            parts.append(f"server_max_window_bits={self.server_bits}")
        if self.client_bits is True:
            parts.append("client_max_window_bits")
        elif self.client_bits:
            parts.append(f"client_max_window_bits={self.client_bits}")
        return "; ".join(parts)


class Packing:
    """zlib as both ends must use it under these terms (7.2)."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        bits = terms.client_bits
        self._sent = 15 if bits is None or bits is True else int(bits)
        self._heard = terms.server_bits or 15
        self._deflater = zlib.compressobj(wbits=-self._sent)
        self._inflater = zlib.decompressobj(-self._heard)

    def packed(self, data: bytes) -> bytes:
        if self._terms.client_alone:
            self._deflater = zlib.compressobj(wbits=-self._sent)
        return (self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def content(self, said: Said) -> bytes:
        if not said.is_packed:
            return said.data
        if self._terms.server_alone:
            self._inflater = zlib.decompressobj(-self._heard)
        return self._inflater.decompress(said.data + b"\x00\x00\xff\xff")


def talk() -> list[bytes]:
    """Messages of each size; each repeats, from afar, what was in those before it."""
    book = b"".join(b'{"id":%d,"name":"anywire %x"},' % (n, n * 7919 % 65_521) for n in range(1500))
    return [book[:size] for size in (*SIZES, *reversed(SIZES))]


@pytest.mark.parametrize("server_bits", WINDOWS)
@pytest.mark.parametrize("server_alone", [False, True], ids=["kept", "alone"])
@pytest.mark.parametrize("client_alone", [False, True], ids=["kept", "alone"])
async def test_all_parameters_of_deflate_are_agreed_and_kept(
    url: str, server_alone: bool, client_alone: bool, server_bits: int | None
) -> None:
    for client_bits in (*WINDOWS, True):
        terms = Terms(server_alone, client_alone, server_bits, client_bits)
        async with fuzzing(url, terms.offer) as fuzzer:
            agreed = set(fuzzer.extensions.split("; "))
            asked = set(terms.offer.split("; "))
            # A client's own bound of 15, or one that it leaves to us, needs no answer.
            asked -= {"client_max_window_bits", "client_max_window_bits=15"}
            assert agreed == asked
            packing = Packing(terms)
            costs = []
            for data in talk():
                fuzzer.send(frame(TEXT, packing.packed(data), reserved=4))
                said = await fuzzer.next()
                assert packing.content(said) == data
                assert said.is_packed is (len(data) >= 256)
                costs += [len(said.data)] if len(data) == KEBIBYTE else []
            if server_alone:
                assert costs[0] == costs[1]
            elif server_bits in (None, 15):  # it still knows what it said 8 KiB ago
                assert costs[1] < costs[0] / 4
            await fuzzer.ends_well()


@pytest.mark.parametrize("size", [1, 7, 256, 4 * KEBIBYTE])
async def test_compressed_fragments_of_any_size_come_back(url: str, size: int) -> None:
    terms = Terms(False, False, None, True)
    async with fuzzing(url, terms.offer) as fuzzer:
        packing = Packing(terms)
        for data in talk():
            fuzzer.send(*fragments(BINARY, cut(packing.packed(data), size), reserved=4))
            assert packing.content(await fuzzer.next()) == data
        await fuzzer.ends_well()


async def test_the_first_offer_that_can_be_met_is_taken(url: str) -> None:
    offer = "x-other, permessage-deflate; server_max_window_bits=8, permessage-deflate; what=1, "
    async with fuzzing(url, offer + "permessage-deflate; server_max_window_bits=10") as fuzzer:
        assert fuzzer.extensions == "permessage-deflate; server_max_window_bits=10"
    async with fuzzing(url, "permessage-deflate; server_max_window_bits=16") as fuzzer:
        assert fuzzer.extensions == ""


async def test_16_mebibytes_come_back_compressed(url: str) -> None:
    terms = Terms(False, False, None, None)
    async with fuzzing(url, terms.offer) as fuzzer:
        packing = Packing(terms)
        fuzzer.send(frame(BINARY, packing.packed(bytes(LARGEST)), reserved=4))
        assert packing.content(await fuzzer.next()) == bytes(LARGEST)
        fuzzer.send(frame(BINARY, packing.packed(bytes(LARGEST + 1)), reserved=4))
        await fuzzer.is_closed(1009)
