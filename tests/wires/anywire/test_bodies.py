"""Bodies of requests: whole messages there and back, and nothing else (more in the vectors)."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anywire.errors import ProtocolError
from anywire.payload import UNFRAMED, Carrier, Framing, Message, Payload
from anywire.wires.anywire.bodies import (
    LENGTHS,
    PADDING,
    RECORDS,
    TEXTS,
    downlink,
    pack,
    unpack,
)
from anywire.wires.base import Downlink, Overlap

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "anywire" / "polls.json").read_text("utf-8")
)
# What the codecs write: a JSON text is never empty and holds no U+001E; MessagePack is any bytes.
texts = st.text(st.characters(exclude_characters="\x1e", codec="utf-8"), min_size=1).filter(
    lambda text: not text.startswith("\x00")
)


@given(st.lists(texts) | st.lists(st.binary()))
@example(["{}"])
@example([b"", b""])
def test_a_body_holds_the_messages_that_were_packed(messages: list[Message]) -> None:
    body = pack([Payload.of(message) for message in messages])
    assert list(unpack(body)) == messages


@given(st.lists(texts, min_size=2) | st.lists(st.binary(), min_size=2))
def test_what_travels_together_is_packed_in_order(messages: list[Message]) -> None:
    first, *rest = map(Payload.of, messages)
    nested = Payload(first.data, is_text=first.is_text, rest=(Payload(b"n", is_text=False), *rest))
    nested.rest[0].rest = (Payload(b"m", is_text=False),)
    if first.is_text:
        body = pack([Payload(first.data, rest=tuple(rest))])
        assert list(unpack(body)) == messages
    else:
        assert list(unpack(pack([nested]))) == [messages[0], b"n", b"m", *messages[1:]]


@given(st.binary())
@example(b"\x00")
@example(b"\x00\x00\x00\x01")
@example(b"\x00\x00\x00\x00\x01\x00\x00\x00")
@example(b"\x00\x00\x00\x00\xff")
def test_junk_is_messages_or_a_protocol_error(body: bytes) -> None:
    try:
        messages = unpack(body)
    except ProtocolError as error:
        assert error.code == 1007 and error.reason
    else:
        assert len({type(message) for message in messages}) <= 1
        if messages and isinstance(messages[0], bytes):
            assert pack([Payload.of(message) for message in messages]) == body


def test_no_body_is_no_message() -> None:
    assert list(unpack(b"")) == []
    assert pack([]) == b""


@pytest.mark.parametrize("vector", VECTORS["bodies"], ids=lambda vector: vector["name"])
def test_a_body_is_written_and_read_byte_for_byte(vector: dict[str, Any]) -> None:
    body = bytes.fromhex(vector["body"])
    messages: list[Message] = vector.get("texts") or [
        bytes.fromhex(message) for message in vector.get("binaries", ())
    ]
    assert pack([Payload.of(message) for message in messages]) == body
    assert list(unpack(body)) == messages


@pytest.mark.parametrize("vector", VECTORS["broken"], ids=lambda vector: vector["name"])
def test_a_broken_body_is_closed_with_1007(vector: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        unpack(bytes.fromhex(vector["body"]))
    assert caught.value.code == 1007


# --- how a request is answered --------------------------------------------------------------------

KINDS = [
    (Carrier.POLL, False),
    (Carrier.POLL, True),
    (Carrier.EVENTS, False),
    (Carrier.STREAM, False),
    (Carrier.STREAM, True),
]


def answered(carrier: Carrier, is_binary: bool = False) -> Downlink:
    return downlink(carrier, is_binary=is_binary, wait=7.0, gap=5.0)


@pytest.mark.parametrize(("carrier", "is_binary"), KINDS)
def test_an_answer_is_for_nobody_else_and_may_be_asked_for_again(
    carrier: Carrier, is_binary: bool
) -> None:
    said = answered(carrier, is_binary)
    headers = dict(said.headers)
    assert headers["Cache-Control"] == "no-store, no-transform"
    assert headers["Access-Control-Expose-Headers"] == "X-Anywire-Close, X-Anywire-Code"
    is_events = carrier is Carrier.EVENTS
    kind = "text/event-stream" if is_events else "application/octet-stream"
    assert headers["Content-Type"] == kind
    assert (said.overlap, said.gap, said.limit) == (Overlap.REPLACE, 5.0, 0)
    assert not said.is_repeated
    assert answered(carrier, is_binary) is said  # one for all requests of its kind


def test_a_poll_waits_and_is_answered_with_all_there_is() -> None:
    said = answered(Carrier.POLL)
    assert said.pack is not None
    assert said.pack([Payload(b"{}"), Payload(b"[]")]) == (b"{}\x1e[]", 2)
    assert said.pack([Payload(b"\x81", is_text=False)]) == (b"\0\0\0\x01\x81", 1)
    assert (said.wait, said.framing, said.idle, said.closed) == (7.0, UNFRAMED, b"", b"")


@pytest.mark.parametrize("carrier", [Carrier.EVENTS, Carrier.STREAM])
def test_a_stream_never_ends_by_itself(carrier: Carrier) -> None:
    said = answered(carrier)
    assert said.pack is None
    assert said.wait == 0


def test_a_stream_begins_with_padding_that_says_nothing() -> None:
    texts, lengths, events = (
        answered(Carrier.STREAM).prelude,
        answered(Carrier.STREAM, is_binary=True).prelude,
        answered(Carrier.EVENTS).prelude,
    )
    assert [len(one) >= PADDING for one in (texts, lengths, events)] == [True] * 3
    assert texts.strip(b" ") == b"\x1e"
    assert not any(lengths) and len(lengths) % 4 == 0  # so many lengths of nothing
    assert events.startswith(b":") and events.endswith(b"\n\n") and b"\n" not in events[:-2]


@pytest.mark.parametrize(
    ("carrier", "is_binary", "headers", "last"),
    [
        (Carrier.POLL, False, [("X-Anywire-Close", "4003 thrown%20out%20%C3%A9")], b""),
        (Carrier.EVENTS, False, [], b"event: close\ndata: 4003 thrown%20out%20%C3%A9\n\n"),
        (Carrier.STREAM, False, [], b"!4003 thrown%20out%20%C3%A9\x1e"),
        (Carrier.STREAM, True, [], b"\x01\0\0\x1b!4003 thrown%20out%20%C3%A9"),
    ],
)
def test_an_end_is_told_where_no_message_can_stand(
    carrier: Carrier, is_binary: bool, headers: list[tuple[str, str]], last: bytes
) -> None:
    farewell = answered(carrier, is_binary).farewell
    assert farewell is not None
    told = farewell(4003, "thrown out \u00e9")
    assert (list(told[0]), told[1]) == (headers, last)


def test_a_reason_cannot_break_out_of_a_record() -> None:
    farewell = answered(Carrier.EVENTS).farewell
    assert farewell is not None
    assert farewell(1000, "\n\ndata: forged")[1].count(b"\n\n") == 1


def test_an_end_without_a_reason_is_its_code() -> None:
    farewell = answered(Carrier.POLL).farewell
    assert farewell is not None
    assert list(farewell(1000, "")[0]) == [("X-Anywire-Close", "1000")]


# --- streams --------------------------------------------------------------------------------------


@given(st.lists(texts, min_size=1))
@example(["{}", "[]"])
def test_a_stream_of_texts_is_a_body_without_an_end(messages: list[str]) -> None:
    stream = b"".join(map(TEXTS.frame, map(Payload.of, messages)))
    assert stream == TEXTS.frame(together(messages))
    assert stream.endswith(b"\x1e")
    assert list(unpack(stream[:-1])) == messages


@given(st.lists(st.binary(), min_size=1))
def test_a_stream_of_binaries_is_a_body_without_an_end(messages: list[bytes]) -> None:
    stream = b"".join(map(LENGTHS.frame, map(Payload.of, messages)))
    assert stream == LENGTHS.frame(together(messages))
    assert list(unpack(stream)) == messages


@given(st.lists(st.text().map(json.dumps), min_size=1))
@example(['{"a":"\\n\\r"}', "[]"])
def test_a_stream_of_events_has_a_record_for_each_text(messages: list[str]) -> None:
    stream = b"".join(map(RECORDS.frame, map(Payload.of, messages)))
    assert stream == RECORDS.frame(together(messages))
    records = stream.decode().split("\n\n")
    assert records.pop() == ""
    assert [record.removeprefix("data: ") for record in records] == messages


@pytest.mark.parametrize("framing", [TEXTS, LENGTHS, RECORDS])
def test_what_travels_together_stays_in_order(framing: Framing) -> None:
    one, two, three = (Payload(data) for data in (b"1", b"2", b"3"))
    whole = Payload(b"1", rest=(Payload(b"2", rest=(three,)), one))
    assert framing.frame(whole) == b"".join(framing.frame(p) or b"" for p in (one, two, three, one))


def test_framings_that_write_different_bytes_have_different_keys() -> None:
    assert len({framing.key for framing in (TEXTS, LENGTHS, RECORDS, UNFRAMED)}) == 4


def together(messages: list[Any]) -> Payload:
    """All of these in one payload."""
    first, *rest = map(Payload.of, messages)
    return Payload(first.data, is_text=first.is_text, rest=tuple(rest))
