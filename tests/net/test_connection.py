"""One WebSocket connection, both ends of it, against rules, tables and an oracle (RFC 6455, 7692).

The oracle is the sans-I/O protocol of `websockets`, fed the same bytes. Where we differ on purpose
stands in `oracle`.
"""

import itertools
import struct
import tracemalloc
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from sys import getsizeof

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate as TheirDeflate
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import CLIENT as CLIENT_SIDE
from websockets.protocol import SERVER as SERVER_SIDE
from websockets.protocol import Protocol

from anywire.net.connection import Close, Connection, Event, Ping, Pong, State
from anywire.net.deflate import PerMessageDeflate
from anywire.net.rfc6455 import DEFLATED, PLAIN
from anywire.payload import UNFRAMED, Payload

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10
KEY = b"\x37\xfa\x21\x3d"
ALONE = PerMessageDeflate()
KEPT = PerMessageDeflate(keep_sent=True, keep_received=True)


def wire(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = KEY,
    size: int | None = None,
) -> bytes:
    """A frame, right or wrong, made without the code under test; a client's unless mask is None."""
    size = len(payload) if size is None else size
    first, bit = (0x80 if fin else 0) | reserved | opcode, 0 if mask is None else 0x80
    if size < 126:
        head = bytes((first, bit | size))
    elif size < 65536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def closing(code: int, reason: bytes = b"", *, mask: bytes | None = KEY) -> bytes:
    return wire(CLOSE, code.to_bytes(2, "big") + reason, mask=mask)


def deflated(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Peer:
    """One end under test, with what it wrote."""

    def __init__(
        self,
        *,
        client: bool = False,
        max_size: int = 65536,
        max_fragments: int = 1024,
        deflate: PerMessageDeflate | None = None,
    ) -> None:
        self.written: list[bytes] = []
        counter = itertools.count(0x01020304)
        self.connection = Connection(
            write=self.written.append,
            client=client,
            max_size=max_size,
            max_fragments=max_fragments,
            deflate=deflate,
            mask=lambda: next(counter).to_bytes(4, "big"),
        )
        self.mask = None if client else KEY

    def receive(self, *pieces: bytes) -> list[Event]:
        return [event for piece in pieces for event in self.connection.receive(piece)]

    def frames(self) -> list[tuple[int, bytes]]:
        """Opcode and payload of each frame written so far, read by the oracle's parser."""
        return list(parsed(b"".join(self.written), is_masked=self.mask is None))


def parsed(data: bytes, *, is_masked: bool) -> Iterator[tuple[int, bytes]]:
    at = 0

    def read(size: int) -> Generator[None, None, bytes]:
        nonlocal at
        at += size
        assert at <= len(data)
        yield from ()
        return data[at - size : at]

    while at < len(data):
        reading = Frame.parse(read, mask=is_masked)
        try:
            next(reading)
        except StopIteration as end:
            yield end.value.opcode, bytes(end.value.data)


BOTH = pytest.mark.parametrize("client", [False, True], ids=["server", "client"])


# Messages (RFC 6455, 5.6), their lengths (5.2) and masks (5.3)


def test_the_examples_of_the_specification_are_read() -> None:
    server = Peer(deflate=ALONE)
    assert server.receive(bytes.fromhex("818537fa213d7f9f4d5158")) == ["Hello"]
    client = Peer(client=True, deflate=ALONE)
    assert client.receive(bytes.fromhex("810548656c6c6f")) == ["Hello"]
    assert client.receive(bytes.fromhex("010348656c"), bytes.fromhex("80026c6f")) == ["Hello"]
    assert client.receive(bytes.fromhex("890548656c6c6f")) == [Ping(b"Hello")]
    # RFC 7692, 7.2.3.1: one frame, then the same message in two.
    assert client.receive(bytes.fromhex("c107f248cdc9c90700")) == ["Hello"]
    assert client.receive(bytes.fromhex("4103f248cd8004c9c90700")) == ["Hello"]


@BOTH
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 125, 126, 127, 512, 513, 65535, 65536])
def test_a_message_of_any_length_is_read(size: int, client: bool) -> None:
    peer = Peer(client=client)
    data = bytes(i % 128 for i in range(size))
    frames = wire(TEXT, data, mask=peer.mask) + wire(BINARY, data, mask=peer.mask)
    assert peer.receive(frames) == [data.decode(), data]
    assert not peer.written


@BOTH
def test_a_length_that_could_be_shorter_is_read(client: bool) -> None:
    # The sender breaks a rule (RFC 6455, 5.2) that hurts nobody; the oracle and browsers agree.
    peer = Peer(client=client)
    for head in (b"\x81\x7e\x00\x02", b"\x81\x7f" + bytes(7) + b"\x02"):
        if client:
            assert peer.receive(head + b"hi") == ["hi"]
        else:
            masked = bytes((head[0], head[1] | 0x80)) + head[2:] + bytes(4)
            assert peer.receive(masked + b"hi") == ["hi"]


def test_sixteen_messages_in_one_piece_are_read_in_order() -> None:
    texts = [f"message {number}" for number in range(16)]
    frames = b"".join(wire(TEXT, text.encode()) for text in texts)
    assert Peer().receive(frames) == texts
    assert Peer().receive(frames + b"\x81", b"\x80" + KEY) == [*texts, ""]


@BOTH
@pytest.mark.parametrize("size", [0, 100, 200, 600, 70_000])
def test_a_message_may_come_byte_by_byte(size: int, client: bool) -> None:
    peer = Peer(client=client, max_size=70_000)
    frame = wire(TEXT, b"x" * size, mask=peer.mask)
    for at in range(len(frame) - 1):
        assert peer.receive(frame[at : at + 1]) == []
    assert peer.receive(frame[-1:], b"") == ["x" * size]


def test_many_messages_in_one_piece_cost_time_in_line_with_their_number() -> None:
    """Copying the rest for each would copy 140 GB, far past the time limit of every test."""
    frames = wire(TEXT, b"x") * 200_000
    assert len(Peer().receive(frames)) == 200_000


# Fragments (RFC 6455, 5.4)


@BOTH
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("deflate", [None, ALONE, KEPT])
def test_a_fragmented_message_is_joined(
    deflate: PerMessageDeflate | None, opcode: int, client: bool
) -> None:
    peer = Peer(client=client, deflate=deflate)
    frames = [
        wire(opcode, b"", fin=False, mask=peer.mask),
        wire(CONT, b"one ", fin=False, mask=peer.mask),
        wire(CONT, b"", fin=False, mask=peer.mask),
        wire(CONT, b"two", fin=True, mask=peer.mask),
        wire(TEXT, b"three", mask=peer.mask),
    ]
    first: Event = "one two" if opcode == TEXT else b"one two"
    assert peer.receive(*frames) == [first, "three"]


@BOTH
def test_control_frames_may_stand_between_fragments(client: bool) -> None:
    peer = Peer(client=client)
    assert peer.receive(
        wire(TEXT, b"a", fin=False, mask=peer.mask),
        wire(PING, b"1", mask=peer.mask),
        wire(PONG, b"2", mask=peer.mask),
        wire(CONT, b"b", mask=peer.mask),
    ) == [Ping(b"1"), Pong(b"2"), "ab"]
    assert peer.frames() == [(PONG, b"1")]


@BOTH
def test_a_close_frame_between_fragments_ends_the_connection_cleanly(client: bool) -> None:
    peer = Peer(client=client)
    frames = wire(TEXT, b"a", fin=False, mask=peer.mask) + closing(1001, mask=peer.mask)
    assert peer.receive(frames) == [Close(1001, "", clean=True, by_peer=True)]


@BOTH
def test_a_message_has_at_most_max_fragments(client: bool) -> None:
    peer = Peer(client=client, max_fragments=3)
    more = wire(CONT, b"x", fin=False, mask=peer.mask)
    last = wire(CONT, b"x", mask=peer.mask)
    begin = wire(BINARY, b"x", fin=False, mask=peer.mask)
    assert peer.receive(begin + more + last) == [b"xxx"]
    failed = refused(peer, begin + more + more + last, 1009)
    assert failed.reason == "the message has too many fragments"


def test_a_million_tiny_fragments_are_refused_at_the_limit() -> None:
    peer = Peer()
    more = wire(CONT, b"", fin=False)
    refused(peer, wire(TEXT, b"", fin=False) + more * 1_000_000, 1009)


# Broken rules: each ends in one close frame and one Close, and nothing is read after it.


def refused(peer: Peer, data: bytes, code: int, before: Sequence[Event] = ()) -> Close:
    *events, close = peer.receive(data)
    assert events == list(before)
    assert isinstance(close, Close)
    assert (close.code, close.clean, close.by_peer) == (code, False, False)
    assert close.reason
    assert peer.connection.state is State.CLOSED
    assert peer.frames()[-1] == (CLOSE, code.to_bytes(2, "big") + close.reason.encode())
    assert peer.receive(wire(TEXT, b"more", mask=peer.mask)) == []
    assert peer.connection.eof() == ()
    return close


BROKEN = {
    "RSV1 without agreement": wire(TEXT, b"x", reserved=RSV1),
    "RSV2": wire(TEXT, b"x", reserved=RSV2),
    "RSV3": wire(BINARY, b"x", reserved=RSV3),
    "all reserved bits": wire(PING, b"", reserved=RSV1 | RSV2 | RSV3),
    "RSV1 on a ping": wire(PING, b"", reserved=RSV1),
    **{f"opcode {opcode}": wire(opcode) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "a ping of 126 bytes": wire(PING, b"x" * 126),
    "a pong of 126 bytes": wire(PONG, b"x" * 126),
    "a close of 126 bytes": closing(1000, b"x" * 124),
    "a ping of 64-bit length": wire(PING, b"", size=1 << 20),
    "a fragmented ping": wire(PING, b"", fin=False),
    "a fragmented pong": wire(PONG, b"", fin=False),
    "a fragmented close": wire(CLOSE, b"", fin=False),
    "a continuation of nothing": wire(CONT, b"x"),
    "a continuation of nothing that goes on": wire(CONT, b"x", fin=False),
    "a text inside a text": wire(TEXT, b"", fin=False) + wire(TEXT),
    "a long text inside a text": wire(TEXT, b"", fin=False) + wire(TEXT, b"x" * 1000),
    "a binary inside a text": wire(TEXT, b"", fin=False) + wire(BINARY, fin=False),
    "a length with its first bit set": wire(BINARY, b"", size=1 << 63),
    "the largest length": wire(BINARY, b"", size=(1 << 64) - 1),
    "a close payload of one byte": wire(CLOSE, b"\x03"),
    **{
        f"close code {code}": closing(code)
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
}


def unmasked(frames: bytes) -> bytes:
    """The same frames as a server would send them."""
    data = bytearray()
    at = 0
    while at < len(frames):
        size = frames[at + 1] & 0x7F
        long = {126: 2, 127: 8}.get(size, 0)
        begin = at + 2 + long
        if long:
            size = int.from_bytes(frames[at + 2 : begin], "big")
        data += bytes((frames[at], frames[at + 1] & 0x7F)) + frames[at + 2 : begin]
        mask, begin = frames[begin : begin + 4], begin + 4
        data += bytes(b ^ mask[i % 4] for i, b in enumerate(frames[begin : begin + size]))
        at = begin + size
    return bytes(data)


@BOTH
@pytest.mark.parametrize("frames", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_rule_closes_with_1002(frames: bytes, client: bool) -> None:
    if client:
        frames = unmasked(frames)
    peer = Peer(client=client)
    refused(peer, wire(TEXT, b"fine", mask=peer.mask) + frames, 1002, ["fine"])


@BOTH
@pytest.mark.parametrize("frames", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_rule_is_told_alike_when_it_comes_byte_by_byte(
    frames: bytes, client: bool
) -> None:
    if client:
        frames = unmasked(frames)
    peer = Peer(client=client)
    events = peer.receive(*(frames[at : at + 1] for at in range(len(frames))))
    assert [event.code for event in events if isinstance(event, Close)] == [1002]


@BOTH
def test_a_continuation_after_the_last_frame_is_refused(client: bool) -> None:
    peer = Peer(client=client)
    begin, last = wire(TEXT, b"a", fin=False, mask=peer.mask), wire(CONT, b"b", mask=peer.mask)
    refused(peer, begin + last + last, 1002, ["ab"])


@pytest.mark.parametrize("size", [0, 125, 126, 600, 65536])
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING])
def test_a_client_masks_and_a_server_does_not(opcode: int, size: int) -> None:
    refused(Peer(), wire(opcode, b"x" * size, mask=None), 1002)
    refused(Peer(client=True), wire(opcode, b"x" * size, mask=KEY), 1002)


def test_two_bytes_are_enough_to_refuse_a_frame() -> None:
    refused(Peer(), b"\x83\x80", 1002)
    refused(Peer(), b"\x81\x05", 1002)


# Limits while reading


@BOTH
@pytest.mark.parametrize("size", [1001, 70_000, 1 << 32, (1 << 63) - 1])
def test_a_message_past_max_size_is_refused_by_its_header(size: int, client: bool) -> None:
    peer = Peer(client=client, max_size=1000)
    head = wire(TEXT, b"", mask=peer.mask, size=size)
    if not client:
        head = head[:-4]
    refused(peer, head, 1009)


@BOTH
@pytest.mark.parametrize("limit", [0, 1, 125, 126, 512, 513, 1000])
def test_a_message_of_max_size_is_read_and_one_byte_more_refused(limit: int, client: bool) -> None:
    peer = Peer(client=client, max_size=limit)
    assert peer.receive(wire(BINARY, b"x" * limit, mask=peer.mask)) == [b"x" * limit]
    refused(peer, wire(BINARY, b"x" * (limit + 1), mask=peer.mask), 1009)


@BOTH
def test_fragments_are_refused_when_they_add_up_past_max_size(client: bool) -> None:
    peer = Peer(client=client, max_size=1000)
    begin = wire(BINARY, b"x" * 600, fin=False, mask=peer.mask)
    assert peer.receive(begin + wire(CONT, b"x" * 400, mask=peer.mask)) == [b"x" * 1000]
    refused(peer, begin + wire(CONT, b"x" * 401, mask=peer.mask)[:8], 1009)


def test_a_message_announced_and_never_sent_costs_no_memory() -> None:
    peer = Peer(max_size=1 << 30)
    tracemalloc.start()
    assert peer.receive(wire(BINARY, b"", size=1 << 30)) == []
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 4096


# Text (RFC 6455, 5.6 and 8.1)

VALID = [
    *("", "ascii", "κόσμε", "Hello-µ@ßöäüàá-UTF-8!!", "\x00", "\x7f", "\x80", "\u07ff", "\u0800"),
    *("\ud7ff", "\ue000", "\ufdd0", "\ufffd", "\ufffe", "\uffff", "\U00010000", "\U0001ffff"),
    "\U0010ffff",
]
INVALID = [
    *("80", "bf", "8080", "c0", "c1bf", "c080", "c0af", "c3", "c328", "e0", "e080af", "e09fbf"),
    *("e28281"[:4], "e28228", "eda080", "edadbf", "edbfbf", "eda080edb080", "f0808080", "f08fbfbf"),
    *("f09f98", "f4908080", "f5", "f5808080", "f8888080", "fc8080808080", "fe", "ff", "feff"),
    "cebae1bdb9cf83cebcceb5eda080656469746564",
]


@BOTH
@pytest.mark.parametrize("padding", [0, 600])
@pytest.mark.parametrize("text", VALID)
def test_valid_text_is_read_whole_and_in_pieces(text: str, padding: int, client: bool) -> None:
    peer = Peer(client=client, deflate=ALONE)
    text = "x" * padding + text
    data = text.encode()
    assert peer.receive(wire(TEXT, data, mask=peer.mask)) == [text]
    packed = wire(TEXT, deflated(data), reserved=RSV1, mask=peer.mask)
    assert peer.receive(packed) == [text]
    for cut in range(padding, len(data)):
        begin = wire(TEXT, data[:cut], fin=False, mask=peer.mask)
        assert peer.receive(begin, wire(CONT, data[cut:], mask=peer.mask)) == [text]


@BOTH
@pytest.mark.parametrize("padding", [0, 600])
@pytest.mark.parametrize("text", INVALID)
def test_invalid_text_closes_with_1007(text: str, padding: int, client: bool) -> None:
    data = b"x" * padding + bytes.fromhex(text)
    mask = None if client else KEY
    refused(Peer(client=client), wire(TEXT, data, mask=mask), 1007)
    packed = wire(TEXT, deflated(data), reserved=RSV1, mask=mask)
    refused(Peer(client=client, deflate=ALONE), packed, 1007)
    for cut in range(padding, len(data)):
        peer = Peer(client=client)
        *_, close = peer.receive(
            wire(TEXT, data[:cut], fin=False, mask=mask), wire(CONT, data[cut:], mask=mask)
        )
        assert isinstance(close, Close)
        assert close.code == 1007


@pytest.mark.parametrize("text", ["ff", "c328", "eda0", "f490", "f08f", "e09f", "c0"])
@pytest.mark.parametrize("deflate", [None, ALONE])
def test_an_invalid_byte_is_refused_before_the_message_ends(
    text: str, deflate: PerMessageDeflate | None
) -> None:
    data = b"fine" + bytes.fromhex(text)
    if deflate is None:
        refused(Peer(), wire(TEXT, data, fin=False), 1007)
    else:
        stream = zlib.compressobj(wbits=-15)
        data = stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)
        refused(Peer(deflate=deflate), wire(TEXT, data, fin=False, reserved=RSV1), 1007)


def test_binary_messages_hold_any_bytes() -> None:
    peer = Peer()
    data = bytes(range(256))
    assert peer.receive(wire(BINARY, data)) == [data]
    assert peer.receive(wire(BINARY, data, fin=False), wire(CONT, data)) == [data * 2]


# Pings and pongs (RFC 6455, 5.5.2 and 5.5.3)


@BOTH
@pytest.mark.parametrize("data", [b"", b"x", b"\xff\x00", b"x" * 125])
def test_a_ping_is_answered_with_its_payload(data: bytes, client: bool) -> None:
    peer = Peer(client=client)
    assert peer.receive(wire(PING, data, mask=peer.mask)) == [Ping(data)]
    assert peer.frames() == [(PONG, data)]


@BOTH
def test_a_pong_nobody_asked_for_is_told_and_not_answered(client: bool) -> None:
    peer = Peer(client=client)
    assert peer.receive(wire(PONG, b"x", mask=peer.mask)) == [Pong(b"x")]
    assert peer.frames() == []


def test_each_of_many_pings_in_one_piece_is_answered_and_all_pongs_are_written_as_one() -> None:
    written: list[bytes] = []
    connection = Connection(write=written.append)
    numbers = [b"%d" % number for number in range(10_000)]
    pings = b"".join(wire(PING, number) for number in numbers)
    events = connection.receive(wire(TEXT, b"a") + pings + wire(TEXT, b"b"))
    assert events == ["a", *map(Ping, numbers), "b"]
    assert written == [b"".join(wire(PONG, number, mask=None) for number in numbers)]


def test_a_ping_after_our_close_frame_is_told_and_not_answered() -> None:
    peer = Peer()
    peer.connection.close()
    assert peer.receive(wire(PING, b"x")) == [Ping(b"x")]
    assert peer.frames() == [(CLOSE, b"\x03\xe8")]


def test_a_ping_before_a_close_in_one_piece_is_answered_first() -> None:
    peer = Peer()
    assert peer.receive(wire(PING, b"x") + wire(PONG) + closing(1000)) == [
        Ping(b"x"),
        Pong(b""),
        Close(1000, "", clean=True, by_peer=True),
    ]
    assert peer.frames() == [(PONG, b"x"), (CLOSE, b"\x03\xe8")]


@BOTH
def test_pings_and_pongs_are_sent_up_to_125_bytes(client: bool) -> None:
    peer = Peer(client=client)
    peer.connection.ping()
    peer.connection.ping(b"x" * 125)
    peer.connection.pong(b"y")
    assert peer.frames() == [(PING, b""), (PING, b"x" * 125), (PONG, b"y")]
    for probe in (peer.connection.ping, peer.connection.pong):
        with pytest.raises(ValueError, match="at most 125 bytes, not 126"):
            probe(b"x" * 126)


# The close handshake (RFC 6455, 5.5.1 and 7)


@BOTH
@pytest.mark.parametrize(
    ("payload", "code", "reason", "answer"),
    [
        (b"", 1005, "", b""),
        (b"\x03\xe8", 1000, "", b"\x03\xe8"),
        (b"\x03\xe9going", 1001, "going", b"\x03\xe9"),
        (b"\x13\x87" + "ä".encode() * 61, 4999, "ä" * 61, b"\x13\x87"),
        (b"\x03\xf3" + b"x" * 123, 1011, "x" * 123, b"\x03\xf3"),
    ],
)
def test_a_close_frame_is_answered_with_its_code(
    payload: bytes, code: int, reason: str, answer: bytes, client: bool
) -> None:
    peer = Peer(client=client)
    frames = wire(CLOSE, payload, mask=peer.mask) + wire(TEXT, b"late", mask=peer.mask)
    assert peer.receive(frames) == [Close(code, reason, clean=True, by_peer=True)]
    assert peer.frames() == [(CLOSE, answer)]
    assert peer.connection.state is State.CLOSED
    assert peer.receive(wire(PING, mask=peer.mask)) == []
    assert peer.connection.eof() == ()


@BOTH
def test_a_close_reason_that_is_not_utf8_closes_with_1007(client: bool) -> None:
    peer = Peer(client=client)
    refused(peer, closing(1000, b"\xff", mask=peer.mask), 1007)


@BOTH
def test_our_close_waits_for_the_answer_and_still_reads(client: bool) -> None:
    peer = Peer(client=client)
    peer.connection.close(4000, "enough")
    assert peer.connection.state.name == "CLOSING"
    frames = wire(TEXT, b"late", mask=peer.mask) + wire(PING, b"x", mask=peer.mask)
    assert peer.receive(frames) == ["late", Ping(b"x")]
    assert peer.receive(closing(4000, mask=peer.mask)) == [Close(4000, "", clean=True)]
    assert peer.frames() == [(CLOSE, b"\x0f\xa0enough")]
    assert peer.connection.state is State.CLOSED


@BOTH
def test_nothing_is_sent_after_a_close_frame(client: bool) -> None:
    peer = Peer(client=client)
    peer.connection.close()
    peer.connection.send("x")
    peer.connection.send(b"x")
    peer.connection.write_framed([b"x"])
    peer.connection.ping()
    peer.connection.pong()
    peer.connection.close(1001)
    assert peer.frames() == [(CLOSE, b"\x03\xe8")]


@BOTH
def test_a_broken_rule_after_our_close_frame_sends_no_second_one(client: bool) -> None:
    peer = Peer(client=client)
    peer.connection.close()
    (close,) = peer.receive(wire(3, mask=peer.mask))
    assert isinstance(close, Close)
    assert (close.code, close.clean) == (1002, False)
    assert len(peer.written) == 1


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_a_wrong_close_is_the_callers_error_and_sends_nothing(code: int) -> None:
    peer = Peer()
    with pytest.raises(ValueError, match="may not be sent"):
        peer.connection.close(code)
    with pytest.raises(ValueError, match="at most 123 bytes"):
        peer.connection.close(1000, "x" * 124)
    assert peer.connection.state is State.OPEN
    assert not peer.written


@BOTH
@pytest.mark.parametrize("data", [b"", b"\x81", b"\x81\x05hel"])
def test_an_end_without_close_frame_is_1006(data: bytes, client: bool) -> None:
    peer = Peer(client=client)
    if client:
        assert peer.receive(data) == []
    assert peer.connection.eof() == (Close(1006, "", by_peer=True),)
    assert peer.connection.eof() == ()
    assert peer.receive(b"\x81") == []
    assert not peer.written


def test_an_end_while_we_wait_for_the_close_frame_is_1006() -> None:
    peer = Peer()
    peer.connection.close()
    assert peer.connection.eof() == (Close(1006),)


# Sending


@BOTH
@pytest.mark.parametrize("deflate", [None, ALONE, KEPT, PerMessageDeflate(send_bits=0)])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 255, 256, 600, 65535, 65536])
def test_what_one_end_sends_the_other_reads(
    size: int, deflate: PerMessageDeflate | None, client: bool
) -> None:
    sender, reader = Peer(client=client, deflate=deflate), Peer(client=not client, deflate=deflate)
    messages: list[str | bytes] = ["x" * size, bytes(i * i % 251 for i in range(size)), "ä" * 300]
    for message in messages:
        sender.connection.send(message)
    assert len(sender.written) == 3
    assert reader.receive(*sender.written) == messages
    is_packed = deflate is not None and deflate.send_bits > 0 and size >= 256
    assert bool(sender.written[0][0] & RSV1) is is_packed


def test_a_client_draws_a_fresh_mask_for_each_frame() -> None:
    client = Peer(client=True)
    client.connection.send(b"\x00" * 4)
    client.connection.ping(b"\x00" * 4)
    assert [frame[2:] for frame in client.written] == [
        b"\x01\x02\x03\x04" * 2,
        b"\x01\x02\x03\x05" * 2,
    ]


def test_a_client_without_masks_is_not_made() -> None:
    with pytest.raises(ValueError, match="pass mask="):
        Connection(write=bytearray().extend, client=True)


def test_what_does_not_shrink_is_sent_as_it_is() -> None:
    data = bytes(range(256))
    server = Peer(deflate=ALONE)
    server.connection.send(data)
    assert server.written == [wire(BINARY, data, mask=None)]


def test_framed_payloads_are_written_as_one() -> None:
    peer = Peer()
    framed = [PLAIN.frame(Payload(b"a")), PLAIN.frame(Payload(b"b"))]
    peer.connection.write_framed(framed)
    peer.connection.write_framed(framed[:1])
    assert peer.written == [b"\x81\x01a\x81\x01b", b"\x81\x01a"]


@pytest.mark.parametrize(
    ("client", "deflate", "framing"),
    [
        (False, None, PLAIN),
        (False, ALONE, DEFLATED[15]),
        (False, PerMessageDeflate(send_bits=9, keep_received=True), DEFLATED[9]),
        (False, PerMessageDeflate(send_bits=0), PLAIN),
        (False, KEPT, UNFRAMED),
        (True, None, UNFRAMED),
        (True, ALONE, UNFRAMED),
    ],
)
def test_a_connection_has_the_framing_that_it_shares_with_others(
    client: bool, deflate: PerMessageDeflate | None, framing: object
) -> None:
    connection = Peer(client=client, deflate=deflate).connection
    assert connection.framing is framing
    if framing is not UNFRAMED:
        payload = Payload(b"x" * 300, rest=(Payload(b"y", is_text=False),))
        assert connection.frame(payload) == connection.framing.frame(payload)


@pytest.mark.parametrize("deflate", [None, ALONE, KEPT])
@BOTH
def test_a_payload_is_framed_for_one_connection_with_all_that_travels_with_it(
    client: bool, deflate: PerMessageDeflate | None
) -> None:
    sender, reader = Peer(client=client, deflate=deflate), Peer(client=not client, deflate=deflate)
    inner = Payload(b"c" * 300, is_text=False)
    payload = Payload(b"a" * 300, rest=(Payload(b"b", is_text=False, rest=(inner,)), Payload(b"d")))
    framed = [sender.connection.frame(payload) for _ in range(3)]
    assert not sender.written
    assert reader.receive(*framed) == list(payload.messages()) * 3


def test_a_kept_window_makes_later_messages_smaller() -> None:
    server = Peer(deflate=KEPT)
    data = bytes(i * i % 251 for i in range(300))
    server.connection.send(data)
    server.connection.send(data)
    assert len(server.written[1]) < len(server.written[0]) / 4


# Compressed messages (RFC 7692)


@BOTH
def test_a_compressed_message_may_be_empty_or_fragmented_anywhere(client: bool) -> None:
    peer = Peer(client=client, deflate=ALONE)
    for packed in (b"", b"\x00"):
        assert peer.receive(wire(TEXT, packed, reserved=RSV1, mask=peer.mask)) == [""]
    text = "hello, hello, hello " * 3
    packed = deflated(text.encode())
    for cut in range(len(packed) + 1):
        begin = wire(TEXT, packed[:cut], fin=False, reserved=RSV1, mask=peer.mask)
        between = wire(CONT, b"", fin=False, mask=peer.mask) + wire(PING, mask=peer.mask)
        end = wire(CONT, packed[cut:], mask=peer.mask)
        assert peer.receive(begin + between + end) == [Ping(b""), text]


@BOTH
@pytest.mark.parametrize("where", ["continuation", "ping", "pong", "close"])
def test_the_compressed_bit_is_refused_where_it_has_no_place(where: str, client: bool) -> None:
    peer = Peer(client=client, deflate=ALONE)
    mask = peer.mask
    frames = {
        "continuation": wire(TEXT, b"\x00", fin=False, reserved=RSV1, mask=mask)
        + wire(CONT, b"\x00", reserved=RSV1, mask=mask),
        "ping": wire(PING, b"", reserved=RSV1, mask=mask),
        "pong": wire(PONG, b"", reserved=RSV1, mask=mask),
        "close": wire(CLOSE, b"", reserved=RSV1, mask=mask),
    }
    refused(peer, frames[where], 1002)


@BOTH
@pytest.mark.parametrize("bit", [RSV2, RSV3, RSV1 | RSV2])
def test_the_other_reserved_bits_stay_reserved_with_deflate(bit: int, client: bool) -> None:
    peer = Peer(client=client, deflate=ALONE)
    refused(peer, wire(TEXT, b"\x00", reserved=bit, mask=peer.mask), 1002)


@BOTH
def test_what_is_no_deflate_stream_closes_with_1002(client: bool) -> None:
    peer = Peer(client=client, deflate=ALONE)
    refused(peer, wire(TEXT, b"\xff\xff", reserved=RSV1, mask=peer.mask), 1002)


@BOTH
@pytest.mark.parametrize("cut", [0, 10, 1000])
def test_a_bomb_closes_with_1009_also_over_fragments(cut: int, client: bool) -> None:
    peer = Peer(client=client, deflate=ALONE)
    bomb = deflated(bytes(10 << 20))
    begin = wire(BINARY, bomb[:cut], fin=False, reserved=RSV1, mask=peer.mask)
    tracemalloc.start()
    refused(peer, begin + wire(CONT, bomb[cut:], mask=peer.mask), 1009)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 65536 + 8 * len(bomb) + (40 << 10)


@BOTH
def test_a_message_of_max_size_that_grew_when_compressed_is_read(client: bool) -> None:
    data = bytes(i * i * i % 257 % 256 for i in range(1000))
    packed = zlib.compressobj(0, wbits=-15)
    stored = (packed.compress(data) + packed.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert len(stored) > 1000
    peer = Peer(client=client, max_size=1000, deflate=ALONE)
    assert peer.receive(wire(BINARY, stored, reserved=RSV1, mask=peer.mask)) == [data]
    head = wire(BINARY, b"", size=1190, reserved=RSV1, mask=peer.mask)
    refused(peer, head, 1009)


@BOTH
def test_compressed_fragments_are_bounded_before_and_after_inflating(client: bool) -> None:
    peer = Peer(client=client, max_size=1000, deflate=ALONE)
    nothing = b"\x00\x00\x00\xff\xff" * 100  # empty stored blocks
    begin = wire(BINARY, nothing, fin=False, reserved=RSV1, mask=peer.mask)
    more = wire(CONT, nothing, fin=False, mask=peer.mask)
    refused(peer, begin + more + more, 1009)


def test_a_kept_window_is_read_over_many_messages_between_plain_ones() -> None:
    server = Peer(deflate=KEPT)
    stream = zlib.compressobj(wbits=-15)
    for number in range(5):
        data = b"the same words again and again"
        packed = (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]
        frames = wire(TEXT, packed, reserved=RSV1) + wire(TEXT, b"plain")
        assert server.receive(frames) == [data.decode(), "plain"], number


# Memory: an idle connection owns its attributes and nothing else.


def held(connection: Connection) -> dict[str, object]:
    return {
        name: value
        for name in Connection.__slots__
        if isinstance(value := getattr(connection, name), bytes | bytearray | list | dict)
    }


@BOTH
def test_an_idle_connection_owns_no_buffer(client: bool) -> None:
    peer = Peer(client=client, deflate=ALONE)
    connection, mask = peer.connection, peer.mask
    small, large = wire(TEXT, b"x" * 99, mask=mask), wire(BINARY, b"x" * 60_000, mask=mask)
    packed = wire(TEXT, deflated(b"x" * 60_000), reserved=RSV1, mask=mask)
    idle = [getattr(connection, name) for name in Connection.__slots__]
    assert not held(connection)
    for frames in (small, large, packed, wire(PING, b"xy", mask=mask), small * 20):
        assert peer.receive(frames[:3]) == []
        assert held(connection)
        assert peer.receive(frames[3:])
        assert not held(connection)
    connection.send("x" * 1000)
    connection._need = 0
    assert [getattr(connection, name) for name in Connection.__slots__] == idle
    assert not hasattr(connection, "__dict__")
    assert getsizeof(connection) <= 16 + 16 + 8 * len(Connection.__slots__)


@pytest.mark.parametrize("end", ["broken", "closed", "lost"])
def test_a_closed_connection_keeps_nothing(end: str) -> None:
    peer = Peer(deflate=KEPT)
    connection = peer.connection
    connection.send("x" * 1000)
    peer.receive(wire(TEXT, deflated(b"x"), reserved=RSV1) + wire(TEXT, b"x", fin=False) + b"\x80")
    if end == "lost":
        connection.eof()
    else:
        peer.receive(b"\x80" + KEY + {"broken": wire(CONT), "closed": closing(1000)}[end] + b"x")
    assert connection.state is State.CLOSED
    assert not held(connection)
    kept = [connection._tail, connection._fragments, connection._inflater, connection._deflater]
    assert kept == [None] * 4


# The oracle


def oracle(
    data: bytes, *, client: bool, deflate: PerMessageDeflate | None, max_size: int
) -> tuple[list[str | bytes], int | None]:
    """Messages and close code by `websockets`' sans-I/O protocol; code None: still open.

    We differ on purpose: text is validated here, where the oracle leaves it to a higher layer; a
    close frame inside a fragmented message is legal (RFC 6455, 5.4); a length whose first bit is
    set, and a long control frame, is malformed (5.2, 5.5), whatever limit it passes besides.
    """
    protocol = Protocol(CLIENT_SIDE if client else SERVER_SIDE, max_size=max_size)
    if deflate is not None:
        protocol.extensions = [
            TheirDeflate(
                remote_no_context_takeover=not deflate.keep_received,
                local_no_context_takeover=not deflate.keep_sent,
                remote_max_window_bits=deflate.receive_bits,
                local_max_window_bits=deflate.send_bits,
            )
        ]
    protocol.receive_data(data)
    messages: list[str | bytes] = []
    parts: list[bytes] = []
    is_text = False
    for frame in protocol.events_received():
        assert isinstance(frame, Frame)
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if frame.opcode is not Opcode.CONT:
                is_text = frame.opcode is Opcode.TEXT
            parts.append(bytes(frame.data))
            whole = b"".join(parts)
            if is_text and is_invalid(whole, is_last=frame.fin):
                return messages, 1007
            if frame.fin:
                messages.append(whole.decode() if is_text else whole)
                parts = []
    if "incomplete fragmented message" in str(protocol.parser_exc):
        assert protocol.close_rcvd is not None
        return messages, int(protocol.close_rcvd.code)
    close = protocol.close_sent
    return messages, None if close is None else int(close.code)


def is_invalid(data: bytes, *, is_last: bool) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        half_surrogate = data[-2:-1] == b"\xed" and data[-1] >= 0xA0  # the decoder waits for more
        return is_last or half_surrogate or error.reason != "unexpected end of data"
    return False


def ours(
    pieces: Iterable[bytes], *, client: bool, deflate: PerMessageDeflate | None, max_size: int
) -> tuple[list[str | bytes], int | None]:
    peer = Peer(client=client, deflate=deflate, max_size=max_size)
    events = peer.receive(*pieces)
    codes = [event.code for event in events if isinstance(event, Close)]
    assert len(codes) <= 1
    assert not codes or isinstance(events[-1], Close)
    return [e for e in events if isinstance(e, str | bytes)], codes[0] if codes else None


def split(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(places)]


CUTS = st.lists(st.integers(0, 1 << 16), max_size=12)
TEXTS = st.one_of(st.text(max_size=80), st.text(min_size=120, max_size=140))
CONTROLS = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125))


@st.composite
def conversations(draw: st.DrawFn, *, deflate: PerMessageDeflate | None) -> list[bytes]:
    """Frames of a client that knows the rules and at most once, at the end, breaks one."""
    frames: list[bytes] = []
    stream = zlib.compressobj(wbits=-(deflate or ALONE).receive_bits)
    for message in draw(st.lists(TEXTS | st.binary(max_size=700), max_size=6)):
        opcode = TEXT if isinstance(message, str) else BINARY
        data = message.encode() if isinstance(message, str) else message
        if opcode == TEXT and draw(st.integers(0, 9)) == 0:
            data += draw(st.binary(max_size=4))
        reserved = 0
        if deflate is not None and draw(st.booleans()):
            if not deflate.keep_received:
                stream = zlib.compressobj(wbits=-deflate.receive_bits)
            data = (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]
            reserved = RSV1
        parts = split(data, draw(st.lists(st.integers(0, 1 << 16), max_size=3)))
        for number, part in enumerate(parts):
            frames += [wire(kind, data) for kind, data in draw(st.lists(CONTROLS, max_size=1))]
            frames.append(
                wire(
                    CONT if number else opcode,
                    part,
                    fin=number == len(parts) - 1,
                    reserved=0 if number else reserved,
                    mask=draw(st.binary(min_size=4, max_size=4)),
                )
            )
    if draw(st.booleans()):
        frames.append(draw(st.sampled_from(ENDINGS)))
    if draw(st.booleans()):
        frames.append(wire(TEXT, b"after the end"))
    return frames


TOLD_OTHERWISE = {
    "RSV1 without agreement",
    "a ping of 64-bit length",
    "a length with its first bit set",
    "the largest length",
}
ENDINGS = [
    *(frames for name, frames in BROKEN.items() if name not in TOLD_OTHERWISE),
    wire(CLOSE),
    *(closing(code, b"bye") for code in (1000, 1001, 1011, 1014, 3000, 4999)),
    closing(1000, b"\xff"),
    wire(TEXT, b"\xff"),
    wire(TEXT, b"x", fin=False) + closing(1000),
    wire(TEXT, b"x", fin=False) + wire(BINARY),
    wire(BINARY, b"x" * 2001),
    wire(BINARY, b"x" * 1500, fin=False) + wire(CONT, b"x" * 501),
]


@BOTH
@pytest.mark.parametrize(
    "deflate",
    [None, ALONE, KEPT, PerMessageDeflate(send_bits=9, receive_bits=9, keep_received=True)],
    ids=["plain", "deflate", "kept", "kept 9"],
)
@given(data=st.data(), cuts=CUTS)
def test_a_conversation_is_heard_as_the_oracle_hears_it(
    client: bool, deflate: PerMessageDeflate | None, data: st.DataObject, cuts: list[int]
) -> None:
    frames = b"".join(data.draw(conversations(deflate=deflate)))
    if client:
        frames = unmasked(frames)
    right = oracle(frames, client=client, deflate=deflate, max_size=2000)
    assert ours(split(frames, cuts), client=client, deflate=deflate, max_size=2000) == right


FRAMES = st.builds(
    wire,
    st.sampled_from([CONT, CONT, TEXT, TEXT, TEXT, BINARY, PING, PONG, CLOSE, 3, 11]),
    st.binary(max_size=40) | st.text(max_size=40).map(str.encode) | st.binary(min_size=124),
    fin=st.integers(0, 2).map(bool),
    reserved=st.sampled_from([0] * 12 + [RSV1, RSV2, RSV3]),
    mask=st.sampled_from([KEY] * 12 + [None]),
)


@given(st.lists(FRAMES, max_size=8).map(b"".join), CUTS)
@example(wire(TEXT, b"\xc3", fin=False) + wire(PING) + wire(CONT, b"\xa4"), [1, 2, 8])
def test_any_frames_are_heard_as_the_oracle_hears_them(frames: bytes, cuts: list[int]) -> None:
    right = oracle(frames, client=False, deflate=None, max_size=1 << 20)
    assert ours(split(frames, cuts), client=False, deflate=None, max_size=1 << 20) == right


@given(st.lists(FRAMES | st.binary(max_size=20), max_size=8).map(b"".join), CUTS, st.data())
def test_any_bytes_end_in_events_and_never_in_an_exception(
    data: bytes, cuts: list[int], more: st.DataObject
) -> None:
    client = more.draw(st.booleans())
    deflate = more.draw(st.sampled_from([None, ALONE, KEPT]))
    peer = Peer(client=client, deflate=deflate, max_size=500, max_fragments=4)
    events = peer.receive(*split(data, cuts))
    events += peer.connection.eof()
    closes = [event for event in events if isinstance(event, Close)]
    assert closes == events[-1:]
    assert [opcode for opcode, _ in peer.frames()].count(CLOSE) <= 1
    whole = Peer(client=client, deflate=deflate, max_size=500, max_fragments=4)
    at_once = [*whole.receive(data), *whole.connection.eof()]
    told = [event for event in events if not isinstance(event, Ping | Pong)]
    assert told == [event for event in at_once if not isinstance(event, Ping | Pong)]


@given(st.lists(TEXTS | st.binary(max_size=700), max_size=6), st.data())
def test_what_we_send_is_what_the_oracle_hears(
    messages: list[str | bytes], more: st.DataObject
) -> None:
    client = more.draw(st.booleans())
    deflate = more.draw(st.sampled_from([None, ALONE, KEPT]))
    sender = Peer(client=client, deflate=deflate)
    for message in messages:
        sender.connection.send(message)
        sender.connection.ping(b"still there?")
    sender.connection.close(1001, "done")
    heard = oracle(b"".join(sender.written), client=not client, deflate=deflate, max_size=1 << 20)
    assert heard == (messages, CloseCode.GOING_AWAY)
