"""Phoenix over long polls."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import Body
from anywire.errors import ProtocolError
from anywire.frames import At
from anywire.payload import Message, Payload
from anywire.wires.base import Answer, Overlap
from anywire.wires.phoenix.carriers import (
    FORBIDDEN,
    GONE,
    LINES,
    STRINGS,
    TAKEN,
    answer,
    downlink,
    lines,
    refused,
    uplink,
    whole,
)
from anywire.wires.phoenix.codec import FIRST, SECOND

TEXT = SECOND.event("room", "said", Body.of({"text": '"hü"'}), At("room"))
BYTES = SECOND.event("room", "said", Body.of(b"\0\xff"), At("room"))
POLL = downlink("t", wait=10.0, gap=15.0)


def packed(*payloads: Payload) -> tuple[object, int]:
    assert POLL.pack is not None
    body, count = POLL.pack(payloads)
    return json.loads(body), count


def strings(*messages: object) -> list[str]:
    return [json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in messages]


TEXT_TOLD = [None, None, "room", "said", {"text": '"hü"'}]
BYTES_TOLD = [None, None, "room", "said", "AP8="]


# --- what is said ---------------------------------------------------------------------------------


def test_messages_are_strings_in_a_list_and_bytes_are_base64() -> None:
    expected = {"status": 200, "token": "t", "messages": strings(TEXT_TOLD, BYTES_TOLD)}
    assert packed(TEXT, BYTES) == (expected, 2)


def test_what_travels_together_is_several_strings() -> None:
    run = Payload(TEXT.data, rest=(BYTES, Payload(TEXT.data, rest=(TEXT,))))
    found, count = packed(run, BYTES)
    told = strings(TEXT_TOLD, BYTES_TOLD, TEXT_TOLD, TEXT_TOLD, BYTES_TOLD)
    assert (found, count) == ({"status": 200, "token": "t", "messages": told}, 2)


def test_the_first_serializer_is_carried_too() -> None:
    payload = FIRST.event("room", "said", Body.of({"status": 1}), At("room"))
    found, _ = packed(payload)
    assert isinstance(found, dict)
    assert json.loads(found["messages"][0])["payload"] == {"status": 1}


def test_the_greeting_is_an_answer_of_its_own() -> None:
    greeting = Payload(answer(410, "t"), counted=False)
    assert packed(greeting, TEXT) == ({"status": 410, "token": "t", "messages": []}, 1)
    assert packed(greeting) == ({"status": 410, "token": "t", "messages": []}, 1)


def test_a_payload_is_made_once_for_all_who_poll() -> None:
    other = downlink("another", wait=1.0, gap=1.0)
    assert POLL.pack is not None and other.pack is not None
    payload = Payload(TEXT.data)
    POLL.pack([payload])
    before = payload.framed(STRINGS)
    other.pack([payload])
    assert payload.framed(STRINGS) is before


def test_a_poll_with_nothing_to_say_keeps_its_token_and_one_that_is_over_does_not() -> None:
    assert json.loads(POLL.idle) == {"status": 204, "token": "t", "messages": []}
    assert json.loads(POLL.closed) == {"status": 410}
    assert (POLL.wait, POLL.gap, POLL.overlap) == (10.0, 15.0, Overlap.REPLACE)
    assert dict(POLL.headers)["Cache-Control"] == "no-store"


def test_answers_without_a_session_say_their_status_in_the_body() -> None:
    for said, status in ((TAKEN, 200), (GONE, 410), (FORBIDDEN, 403)):
        assert (said.status, json.loads(said.body)) == (200, {"status": status})
    no = refused(403, 4401)
    assert no.downlink is not None and no.downlink.pack is not None
    assert no.downlink.pack(no.payloads) == (b'{"status":403}', 1)
    assert no.code == 4401


# --- what is heard --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", []),
        (b"\n\r\n \n", []),
        (b'["1"]', ['["1"]']),
        ('["ü"]\n["2"]\r\n'.encode(), ['["ü"]', '["2"]']),
        (b'AP8=\n["2"]\n', [b"\0\xff", '["2"]']),
        (b'{"topic":"room"}\n', ['{"topic":"room"}']),
    ],
)
def test_a_line_is_a_message_and_one_that_is_no_json_is_base64(
    body: bytes, expected: list[Message]
) -> None:
    assert lines(body) == expected


def test_a_body_of_json_is_one_message() -> None:
    text = b'{\n"topic":"room"\n}'
    for kind in ("application/json", "Application/JSON; charset=utf-8"):
        assert uplink(kind).unpack(text) == [text.decode()]
    assert whole(b"anything") == ["anything"]
    for kind in ("application/x-ndjson", "text/plain", ""):
        assert uplink(kind).unpack(b"[1]\n[2]") == ["[1]", "[2]"]


def test_a_body_has_a_bound_of_lines() -> None:
    assert len(lines(b"[]\n" * (LINES - 1))) == LINES - 1
    for body in (b"[]\n" * LINES, b"\n" * LINES, b"AA==\n" * 2 * LINES):
        with pytest.raises(ProtocolError) as caught:
            lines(body)
        assert caught.value.code == 1009


@pytest.mark.parametrize("body", [b"\xff", b"nothing!", b"AP8", b"A", "ü".encode(), b"[]\n-_=="])
def test_what_is_neither_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        lines(body)
    assert caught.value.code == 1007


@given(st.binary())
def test_junk_is_messages_or_a_protocol_error(junk: bytes) -> None:
    for read in (lines, whole):
        try:
            found = read(junk)
        except ProtocolError as error:
            assert error.code in (1007, 1009)
        else:
            assert not isinstance(found, Answer)
