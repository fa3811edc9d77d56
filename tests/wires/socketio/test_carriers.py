"""Engine.IO over HTTP requests."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.errors import ProtocolError
from anywire.payload import Message, Payload
from anywire.wires.base import Answer, Overlap
from anywire.wires.socketio.carriers import (
    PACKETS,
    POLLED,
    TAKEN,
    downlink,
    pack,
    unpack,
    uplink,
)
from anywire.wires.socketio.engine import Heartbeat

TEXT, BYTES = Payload(b'42["a"]'), Payload(b"\x01\x02", is_text=False)
CLOSE = Payload(b"1", counted=False)


# --- what is said ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payloads", "body", "count"),
    [
        ([TEXT], b'42["a"]', 1),
        ([BYTES], b"bAQI=", 1),
        ([Payload(b"", is_text=False)], b"b", 1),
        ([TEXT, BYTES, TEXT], b'42["a"]\x1ebAQI=\x1e42["a"]', 3),
        ([Payload(b"451-", rest=(BYTES, Payload(b"", is_text=False)))], b"451-\x1ebAQI=\x1eb", 1),
        (
            [Payload(b"4a", rest=(Payload(b"451-", rest=(BYTES,)), TEXT))],
            b'4a\x1e451-\x1ebAQI=\x1e42["a"]',
            1,
        ),
        ([CLOSE], b"1", 1),
    ],
)
def test_packets_stand_side_by_side_and_bytes_are_base64(
    payloads: list[Payload], body: bytes, count: int
) -> None:
    assert pack(payloads) == (body, count)


def test_a_close_gets_a_body_of_its_own() -> None:
    assert pack([TEXT, TEXT, CLOSE]) == (b'42["a"]\x1e42["a"]', 2)
    assert pack([TEXT, CLOSE]) == (b'42["a"]', 1)
    assert pack([CLOSE]) == (b"1", 1)


def test_a_payload_is_made_once_for_all_who_poll() -> None:
    payload = Payload(b"451-", rest=(BYTES,))
    pack([payload])
    framed = payload.framed(POLLED)
    pack([payload])
    assert payload.framed(POLLED) is framed


def test_a_poll_waits_as_long_as_it_takes_and_two_of_them_end_the_session() -> None:
    found = downlink(Heartbeat(25.0, 20.0))
    assert (found.wait, found.limit, found.gap) == (0.0, 0, 45.0)
    assert found.overlap is Overlap.END
    assert found.pack is pack
    assert dict(found.headers) == {
        "Content-Type": "text/plain; charset=UTF-8",
        "Cache-Control": "no-store",
    }


def test_an_empty_poll_ends_with_a_noop_and_one_of_a_session_that_is_over_with_a_close() -> None:
    found = downlink(Heartbeat())
    assert (found.idle, found.closed, found.farewell) == (b"6", b"1", None)


# --- what is heard --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        (b'42["a"]', ['42["a"]']),
        (b'42["a"]\x1e3', ['42["a"]', "3"]),
        (b"451-[]\x1ebAQI=\x1eb", ["451-[]", b"\x01\x02", b""]),
        ("4é\u2028".encode(), ["4é\u2028"]),
        (b"", [""]),
        (b"3\x1e", ["3", ""]),
        (b"\x1e\x1e", ["", "", ""]),
    ],
)
def test_a_body_is_the_packets_between_its_separators(body: bytes, messages: list[Message]) -> None:
    assert unpack(body) == messages


@pytest.mark.parametrize(
    "body",
    [b"b!", b"bAQI", b"bA", b"bAQI=AQI=", b"bAQ I=", b"bAQI=\n", "bé".encode(), b"bAQI-_w=="],
)
def test_bytes_that_are_no_base64_break_the_rules(body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        unpack(body)
    assert caught.value.code == 1007


@pytest.mark.parametrize("body", [b"\xff", b"4\xc3", b"4\xed\xa0\x80"])
def test_a_body_that_is_no_utf_8_breaks_the_rules(body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        unpack(body)
    assert caught.value.code == 1007


def test_a_body_has_a_bounded_number_of_packets() -> None:
    assert PACKETS == 4096
    most = b"\x1e".join([b"3"] * PACKETS)
    assert len(unpack(most)) == PACKETS
    with pytest.raises(ProtocolError) as caught:
        unpack(most + b"\x1e3")
    assert caught.value.code == 1009


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "text/plain;charset=UTF-8", "application/json"]
)
def test_a_post_is_read_whatever_text_it_says_it_is(content_type: str) -> None:
    found = uplink(content_type)
    assert found.unpack(b"3\x1e4") == ["3", "4"]
    assert found.is_alone
    assert found.first is None


@pytest.mark.parametrize(
    "content_type",
    ["application/octet-stream", "Application/Octet-Stream", "application/octet-stream; x=y"],
)
def test_a_post_of_bytes_breaks_the_rules(content_type: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        uplink(content_type).unpack(b"3")
    assert caught.value.code == 1003


def test_what_was_taken_is_answered_with_ok_in_lower_case() -> None:
    assert uplink("").taken is TAKEN
    assert (TAKEN.status, TAKEN.body) == (200, b"ok")
    assert dict(TAKEN.headers) == {"Content-Type": "text/html", "Cache-Control": "no-store"}


@given(st.binary(max_size=60))
def test_any_body_is_messages_or_a_protocol_error(body: bytes) -> None:
    try:
        found = unpack(body)
    except ProtocolError as error:
        assert error.code in (1007, 1009)
    else:
        assert not isinstance(found, Answer)
        assert all(isinstance(message, str | bytes) for message in found)


texts = st.text(st.characters(exclude_characters="\x1e", exclude_categories=["Cs"]), max_size=9)


@given(st.lists(texts.map(lambda text: f"4{text}") | st.binary(max_size=9), min_size=1, max_size=6))
def test_what_is_packed_is_unpacked_as_it_was(messages: list[Message]) -> None:
    payloads = [Payload.of(message) for message in messages]
    body, count = pack(payloads)
    assert count == len(messages)
    assert unpack(body) == messages


def test_bytes_are_written_with_padding_and_the_plain_alphabet() -> None:
    body, _ = pack([Payload(b"\xfb\xff\xfe", is_text=False)])
    assert body == b"b" + base64.b64encode(b"\xfb\xff\xfe") == b"b+//+"
