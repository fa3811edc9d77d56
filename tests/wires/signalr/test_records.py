"""Where one SignalR message ends and the next begins."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.errors import ProtocolError
from anywire.limits import Limits
from anywire.wires.signalr.records import Records, framed

LIMITS = Limits(message=1000)
VARINTS = [
    (0, "00"),
    (1, "01"),
    (0x7F, "7f"),
    (0x80, "8001"),
    (0xFF, "ff01"),
    (0x3FFF, "ff7f"),
    (0x4000, "808001"),
    (0x1FFFFF, "ffff7f"),
    (0x200000, "80808001"),
]
"""Lengths and how the official client writes them (BinaryMessageFormat.write)."""
texts = st.lists(st.binary(max_size=40).map(lambda text: text.replace(b"\x1e", b"")), max_size=6)


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The data, cut at these places."""
    at = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(at)]


def refused(records: Records, data: bytes, *, packed: bool = True) -> int:
    """The close code of these bytes."""
    with pytest.raises(ProtocolError) as caught:
        (records.packed if packed else records.texts)(data)
    return caught.value.code


# --- JSON -----------------------------------------------------------------------------------------


def test_a_frame_holds_several_messages_or_a_part_of_one() -> None:
    records = Records(LIMITS)
    assert records.texts(b'{"type":6}\x1e{"type":6}\x1e{"ty') == [b'{"type":6}', b'{"type":6}']
    assert records.waiting == 4
    assert records.texts(b'pe":') == ()
    assert records.texts(b"6}\x1e") == [b'{"type":6}']
    assert records.waiting == 0
    assert records.texts(b"") == ()


def test_nothing_between_two_ends_is_a_message_too() -> None:
    assert Records(LIMITS).texts(b"\x1e\x1e") == [b"", b""]


@given(texts, st.lists(st.integers(0, 1000), max_size=8))
def test_messages_are_the_same_wherever_their_stream_is_cut(
    said: list[bytes], cuts: list[int]
) -> None:
    records = Records(LIMITS)
    data = b"".join(text + b"\x1e" for text in said)
    assert [text for piece in pieces(data, cuts) for text in records.texts(piece)] == said
    assert records.rest() == b""


def test_a_text_has_as_many_bytes_as_a_message_may_and_no_more() -> None:
    assert Records(LIMITS).texts(b"x" * 1000 + b"\x1e") == [b"x" * 1000]
    assert refused(Records(LIMITS), b"x" * 1001 + b"\x1e", packed=False) == 1009
    records = Records(LIMITS)
    records.texts(b"x" * 600)
    assert refused(records, b"x" * 600 + b"\x1e", packed=False) == 1009


def test_what_never_ends_is_not_kept_past_the_limit() -> None:
    records = Records(LIMITS)
    for _ in range(10):
        records.texts(b"x" * 100)
    assert refused(records, b"x" * 100, packed=False) == 1009
    assert records.waiting == 1000
    records = Records(LIMITS)
    assert refused(records, b"a\x1e" + b"x" * 1100, packed=False) == 1009


# --- the first one --------------------------------------------------------------------------------


def test_what_stands_behind_the_first_message_waits_to_be_read_as_what_it_is() -> None:
    records = Records(LIMITS)
    assert records.first(b'{"protocol":') is None
    assert records.first(b'"messagepack","version":1}\x1e\x02\x91\x06\x02') == (
        b'{"protocol":"messagepack","version":1}'
    )
    assert records.packed(records.rest()) == [b"\x91\x06"]
    assert records.packed(b"\x91\x06") == [b"\x91\x06"]


def test_the_first_message_may_be_all_there_is() -> None:
    records = Records(LIMITS)
    assert records.first(b"{}\x1e") == b"{}"
    assert records.rest() == b""


# --- MessagePack ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "prefix"), VARINTS)
def test_a_length_is_written_as_the_official_client_does_and_read_so(
    size: int, prefix: str
) -> None:
    data = framed(bytes(size))
    assert data == bytes.fromhex(prefix) + bytes(size)
    assert Records(Limits(message=1 << 22)).packed(data) == [bytes(size)]


def test_a_length_may_be_written_longer_than_it_need_be() -> None:
    assert Records(LIMITS).packed(bytes.fromhex("8280808000") + b"ab") == [b"ab"]


@given(st.lists(st.binary(max_size=300), max_size=5), st.lists(st.integers(0, 2000), max_size=8))
def test_packed_messages_are_the_same_wherever_their_stream_is_cut(
    said: list[bytes], cuts: list[int]
) -> None:
    records = Records(LIMITS)
    data = b"".join(map(framed, said))
    assert [one for piece in pieces(data, cuts) for one in records.packed(piece)] == said
    assert records.waiting == 0


def test_a_message_may_come_byte_by_byte() -> None:
    records = Records(LIMITS)
    data = framed(b"x" * 200) + framed(b"y") + framed(b"")
    found = [one for at in range(len(data)) for one in records.packed(data[at : at + 1])]
    assert found == [b"x" * 200, b"y", b""]


@pytest.mark.parametrize("head", ["e907", "ffff7f", "ffffffff07", "ffffffff0f", "808080800f"])
def test_a_length_over_the_limit_is_refused_before_anything_of_the_message_has_come(
    head: str,
) -> None:
    records = Records(LIMITS)
    *first, last = bytes.fromhex(head)
    assert not records.packed(bytes(first))
    assert refused(records, bytes((last,))) == 1009


def test_a_length_of_more_than_five_bytes_is_none() -> None:
    for head in ("8080808080", "ffffffffff", "808080808001"):
        assert refused(Records(LIMITS), bytes.fromhex(head)) == 4400


def test_a_length_that_is_not_whole_waits() -> None:
    records = Records(LIMITS)
    for _ in range(4):
        assert not records.packed(b"\x80")
    assert records.packed(b"\x00") == [b""]


def test_a_message_as_large_as_it_may_be_is_taken_whatever_waits_behind_it() -> None:
    records = Records(LIMITS)
    data = framed(b"x" * 1000) * 2
    assert records.packed(data[:-1]) == [b"x" * 1000]
    assert records.packed(data[-1:]) == [b"x" * 1000]


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_messages_or_break_the_rules_and_nothing_else(
    data: bytes, packed: bool
) -> None:
    records = Records(Limits(message=50))
    try:
        whole = records.packed(data) if packed else records.texts(data)
    except ProtocolError as error:
        assert error.code in (1009, 4400)
    else:
        assert all(len(one) <= 50 for one in whole)
        assert records.waiting <= 55
