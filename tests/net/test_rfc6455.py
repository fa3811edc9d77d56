"""WebSocket frames alone: headers, masks, close payloads, framings (RFC 6455, 5 and 7.4)."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ProtocolError as TheirError
from websockets.frames import Close as TheirClose
from websockets.frames import Frame, Opcode

from anywire.errors import ProtocolError
from anywire.net.rfc6455 import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFLATED,
    FIN,
    MASKED,
    PING,
    PLAIN,
    PONG,
    RSV1,
    TEXT,
    accept_key,
    apply_mask,
    check_head,
    header,
    is_close_code,
    pack_close,
    read_close,
)
from anywire.payload import Payload

SIZES = (0, 1, 2, 3, 4, 5, 125, 126, 127, 128, 511, 512, 513, 514, 515, 516, 65535, 65536, 65537)


def test_the_key_of_the_specification_is_accepted_as_it_says() -> None:
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("masked", [0, MASKED])
@pytest.mark.parametrize(
    ("size", "length"),
    [
        (0, "00"),
        (1, "01"),
        (125, "7d"),
        (126, "7e007e"),
        (65535, "7effff"),
        (65536, "7f0000000000010000"),
        (2**63 - 1, "7f7fffffffffffffff"),
    ],
)
def test_a_length_is_written_in_its_shortest_form(size: int, length: str, masked: int) -> None:
    right = bytearray.fromhex("82" + length)
    right[1] |= masked
    assert header(FIN | BINARY, size, masked) == right


@pytest.mark.parametrize("size", SIZES)
def test_a_mask_covers_each_byte_in_turn(size: int) -> None:
    data = bytes(i * 7 & 255 for i in range(size))
    mask = b"\x00\xff\x37\xfa"
    right = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
    assert apply_mask(data, mask) == right
    assert apply_mask(right, mask) == data


@given(st.binary(max_size=600), st.binary(min_size=4, max_size=4))
def test_any_mask_undoes_itself(data: bytes, mask: bytes) -> None:
    masked = apply_mask(data, mask)
    assert masked == bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
    assert apply_mask(masked, mask) == data


ALLOWED = [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999]
FORBIDDEN = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 65535]


@pytest.mark.parametrize("code", ALLOWED)
def test_an_allowed_close_code_is_written_and_read(code: int) -> None:
    assert is_close_code(code)
    payload = pack_close(code, "auf Wiedersehen, Äsop")
    assert payload[:2] == code.to_bytes(2, "big")
    assert read_close(payload) == (code, "auf Wiedersehen, Äsop")
    assert read_close(pack_close(code)) == (code, "")


@pytest.mark.parametrize("code", FORBIDDEN)
def test_a_forbidden_close_code_is_neither_written_nor_read(code: int) -> None:
    assert not is_close_code(code)
    with pytest.raises(ValueError, match=f"close code {code} may not be sent"):
        pack_close(code)
    with pytest.raises(ProtocolError, match="may not be sent") as caught:
        read_close(code.to_bytes(2, "big"))
    assert caught.value.code == 1002


def test_every_16_bit_close_code_is_judged_as_the_oracle_does() -> None:
    for code in range(1 << 16):
        try:
            TheirClose(code, "").check()
        except TheirError:
            assert not is_close_code(code), code
        else:
            assert is_close_code(code), code


def test_a_close_without_payload_is_1005() -> None:
    assert read_close(b"") == (1005, "")


def test_a_close_payload_of_one_byte_is_refused() -> None:
    with pytest.raises(ProtocolError) as caught:
        read_close(b"\x03")
    assert caught.value.code == 1002


@pytest.mark.parametrize("reason", [b"\xff", b"ok\xc3", b"\xed\xa0\x80"])
def test_a_close_reason_that_is_not_utf8_is_1007(reason: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_close(b"\x03\xe8" + reason)
    assert caught.value.code == 1007


def test_a_close_reason_has_at_most_123_bytes() -> None:
    assert len(pack_close(1000, "x" * 123)) == 125
    assert len(pack_close(1000, "ä" * 61)) == 124
    with pytest.raises(ValueError, match="not 124"):
        pack_close(1000, "ä" * 62)


HEADS = [
    # first byte, second byte, is_inside, can_inflate, what the reason names
    (FIN | RSV1 | TEXT, MASKED, False, False, "reserved bit"),
    (FIN | 0x20 | TEXT, MASKED, False, True, "reserved bit"),
    (FIN | 0x10 | TEXT, MASKED, False, True, "reserved bit"),
    (FIN | RSV1 | PING, MASKED, False, True, "compressed bit"),
    (FIN | RSV1 | CLOSE, MASKED, False, True, "compressed bit"),
    (FIN | RSV1 | CONTINUATION, MASKED, True, True, "compressed bit"),
    *((FIN | opcode, MASKED, False, True, f"opcode {opcode} ") for opcode in (3, 4, 5, 6, 7)),
    *((FIN | opcode, MASKED, False, True, f"opcode {opcode} ") for opcode in range(11, 16)),
    (PING, MASKED, False, True, "fragmented"),
    (PONG, MASKED, False, True, "fragmented"),
    (CLOSE, MASKED, False, True, "fragmented"),
    (FIN | PING, MASKED | 126, False, True, "more than 125"),
    (FIN | CLOSE, MASKED | 127, False, True, "more than 125"),
    (FIN | CONTINUATION, MASKED, False, True, "continues nothing"),
    (CONTINUATION, MASKED, False, True, "continues nothing"),
    (FIN | TEXT, MASKED, True, True, "new message"),
    (BINARY, MASKED, True, True, "new message"),
]


@pytest.mark.parametrize(("first", "second", "is_inside", "can_inflate", "reason"), HEADS)
@pytest.mark.parametrize("from_client", [True, False])
def test_two_bytes_are_enough_to_refuse_a_frame(
    first: int, second: int, is_inside: bool, can_inflate: bool, reason: str, from_client: bool
) -> None:
    if not from_client:
        second &= ~MASKED
    with pytest.raises(ProtocolError, match=reason) as caught:
        check_head(
            first,
            second,
            from_client=from_client,
            is_inside=is_inside,
            can_inflate=can_inflate,
        )
    assert caught.value.code == 1002


@pytest.mark.parametrize(("from_client", "second"), [(True, 5), (False, MASKED | 5)])
def test_a_frame_is_masked_by_clients_alone(from_client: bool, second: int) -> None:
    with pytest.raises(ProtocolError, match="masked"):
        check_head(FIN | TEXT, second, from_client=from_client, is_inside=False, can_inflate=False)


@pytest.mark.parametrize(
    ("first", "is_inside"),
    [
        (FIN | TEXT, False),
        (BINARY, False),
        (FIN | RSV1 | TEXT, False),
        (RSV1 | BINARY, False),
        (CONTINUATION, True),
        (FIN | CONTINUATION, True),
        (FIN | PING, True),
        (FIN | PONG, False),
        (FIN | CLOSE, True),
    ],
)
@pytest.mark.parametrize("size", [0, 1, 125])
@pytest.mark.parametrize("from_client", [True, False])
def test_a_right_head_is_not_refused(
    first: int, is_inside: bool, size: int, from_client: bool
) -> None:
    second = size | (MASKED if from_client else 0)
    check_head(first, second, from_client=from_client, is_inside=is_inside, can_inflate=True)


def served(payload: Payload) -> bytes:
    """What the oracle's server writes for it."""
    opcode = Opcode.TEXT if payload.is_text else Opcode.BINARY
    return Frame(opcode, payload.data).serialize(mask=False) + b"".join(map(served, payload.rest))


@pytest.mark.parametrize("is_text", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_a_plain_frame_is_the_oracles(size: int, is_text: bool) -> None:
    payload = Payload(b"x" * size, is_text=is_text)
    assert PLAIN.frame(payload) == served(payload)
    assert PLAIN.key == ("ws", 0)


def test_what_travels_with_a_payload_is_framed_behind_it() -> None:
    inner = Payload(b"c" * 300, is_text=False)
    middle = Payload(b"b", is_text=False, rest=(inner,))
    payload = Payload(b"a" * 200, rest=(middle, Payload(b"d")))
    assert PLAIN.frame(payload) == served(payload)
    packed = DEFLATED[15].frame(payload)
    assert packed.startswith(b"\x81\x7e\x00\xc8" + b"a" * 200 + b"\x82\x01b" + b"\xc2")
    assert packed.endswith(b"\x81\x01d")


@pytest.mark.parametrize("bits", range(9, 16))
@pytest.mark.parametrize("is_text", [True, False])
def test_a_deflated_frame_is_made_once_for_all_and_can_be_read_alone(
    bits: int, is_text: bool
) -> None:
    payload = Payload(b'{"event":"said","text":"hello"}' * 40, is_text=is_text)
    framing = DEFLATED[bits]
    framed = payload.framed(framing)
    assert framing.key == ("ws", bits) == (PLAIN.key[0], bits)
    assert payload.framed(DEFLATED[bits]) is framed
    data = framed.data
    assert data is not None
    assert data[0] == FIN | RSV1 | (TEXT if is_text else BINARY)
    assert data[1] == len(data) - 2 < 126
    assert zlib.decompressobj(-bits).decompress(data[2:] + b"\x00\x00\xff\xff") == payload.data
    assert framing.frame(payload) == data


@pytest.mark.parametrize("data", [b"", b"x" * 255, bytes(range(256))])
def test_a_deflated_frame_stays_plain_where_deflating_does_not_help(data: bytes) -> None:
    payload = Payload(data, is_text=False)
    assert DEFLATED[12].frame(payload) == PLAIN.frame(payload)
