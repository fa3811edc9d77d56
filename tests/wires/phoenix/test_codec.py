"""How Phoenix writes what a server says."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import Body
from anywire.errors import ProtocolError
from anywire.frames import At, Presence
from anywire.payload import Payload
from anywire.wires.base import Cap
from anywire.wires.phoenix.codec import (
    CAPS,
    FIRST,
    RESERVED,
    SECOND,
    Asked,
    as_text,
    lone_bytes,
    payload_of,
    problem,
)

AT = At("room")
CODECS = [FIRST, SECOND]


def told(payload: Payload) -> Any:
    (message,) = payload.messages()
    return json.loads(message)


def test_a_broadcast_is_the_same_for_all() -> None:
    body = Body.of({"text": "hi"})
    assert SECOND.event("room", "said", body, AT).data == b'[null,null,"room","said",{"text":"hi"}]'
    assert (
        FIRST.event("room", "said", body, AT).data
        == b'{"topic":"room","event":"said","payload":{"text":"hi"},"ref":null}'
    )


def test_a_push_tells_the_join_it_is_for() -> None:
    assert told(SECOND.push("7", "room", "said", Body.of(1))) == ["7", None, "room", "said", 1]
    assert told(SECOND.push(7, "room", "said", Body.of(1)))[0] == 7
    assert "join_ref" not in told(FIRST.push("7", "room", "said", Body.of(1)))


@pytest.mark.parametrize("codec", CODECS)
def test_what_may_be_dropped_says_so(codec: Any) -> None:
    for body in (Body.of(1), Body.of(b"1")):
        for volatile in (True, False):
            at = At("room", volatile=volatile)
            assert codec.event("room", "moved", body, at).volatile is volatile
            assert codec.push("1", "room", "moved", body, volatile=volatile).volatile is volatile


def test_bytes_that_are_all_that_is_said_are_a_binary_message() -> None:
    body = Body.of(b"\0\xff")
    payload = SECOND.event("room", "said", body, AT)
    assert (payload.data, payload.is_text) == (b"\2\4\4roomsaid\0\xff", False)
    payload = SECOND.push("12", "room", "said", body)
    assert (payload.data, payload.is_text) == (b"\0\2\4\x0412roomsaid\0\xff", False)
    payload = SECOND.push(None, "room", "said", body)
    assert payload.data == b"\0\0\4\4roomsaid\0\xff"
    payload = SECOND.reply(Asked.of("3", "12"), "room", "ok", body)
    assert (payload.data, payload.is_text) == (b"\1\2\1\4\x02123roomok\0\xff", False)


def test_other_bytes_are_base64() -> None:
    inside = Body.of({"a": b"\0\xff"})
    assert told(SECOND.event("room", "said", inside, AT))[4] == {"a": "AP8="}
    assert told(SECOND.event("room", "said", Body.of(b"\0", 1), AT))[4] == ["AA==", 1]
    assert told(SECOND.event("room", "said", Body.of(b"\0", names=("a",)), AT))[4] == {"a": "AA=="}
    for payload in (
        FIRST.event("room", "said", Body.of(b"\0\xff"), AT),
        FIRST.push("1", "room", "said", Body.of(b"\0\xff")),
    ):
        assert told(payload)["payload"] == "AP8="
    answer = told(FIRST.reply(Asked.of("3", "1"), "room", "ok", Body.of(b"\0\xff")))
    assert answer["payload"] == {"status": "ok", "response": "AP8="}


def test_names_too_long_for_a_binary_message_have_their_bytes_in_text() -> None:
    long, body = "x" * 256, Body.of(b"\0\xff")
    assert told(SECOND.event(long, "said", body, AT)) == [None, None, long, "said", "AP8="]
    assert told(SECOND.push("1", "room", long, body)) == ["1", None, "room", long, "AP8="]
    answer = told(SECOND.reply(Asked.of("3", "1"), long, "ok", body))
    assert answer == ["1", "3", long, "phx_reply", {"status": "ok", "response": "AP8="}]


def test_nothing_is_an_empty_object() -> None:
    assert payload_of(Body.of()) == payload_of(Body.of(None)) == b"{}"
    assert payload_of(Body.of(0)) == b"0"
    assert payload_of(Body.of(1, 2)) == b"[1,2]"
    assert payload_of(Body.of(1, 2, names=("a", "b"))) == b'{"a":1,"b":2}'
    assert lone_bytes(Body.of()) is None
    assert lone_bytes(Body.of(b"1")) == b"1"
    asked = Asked.of("3", "1")
    assert told(SECOND.reply(asked, "room", "ok", None))[4] == {"status": "ok", "response": {}}


def test_refs_come_back_as_they_were_written() -> None:
    for ref, join_ref in (("3", "1"), (3, 1), (None, None), ("", None)):
        asked = Asked.of(ref, join_ref)
        assert told(SECOND.reply(asked, "room", "ok", None))[:2] == [join_ref, ref]
    assert Asked.of("3", "1") == "3"
    assert Asked.of(3, None) == "3"


def test_a_refusal_has_its_code_its_text_and_its_data() -> None:
    for args, expected in (
        (("busy", "", None), {"reason": "busy"}),
        (("busy", "later", None), {"reason": "busy", "text": "later"}),
        (("busy", "later", Body.of({"in": 5})), {"reason": "busy", "text": "later", "in": 5}),
        (("busy", "", Body.of([5])), {"reason": "busy", "data": [5]}),
        (("busy", "", Body.of({"reason": "its own"})), {"reason": "its own"}),
    ):
        assert problem(*args).one_value == expected


@given(st.binary(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_a_binary_message_as_text_says_the_same(data: bytes, topic: str, name: str) -> None:
    base64 = json.loads(Body.of(data).inline_one)
    body = Body.of(data)
    event = SECOND.event(topic, name, body, AT).data
    assert json.loads(as_text(event)) == [None, None, topic, name, base64]
    push = SECOND.push("1", topic, name, body).data
    assert json.loads(as_text(push)) == ["1", None, topic, name, base64]
    push = SECOND.push(None, topic, name, body).data
    assert json.loads(as_text(push))[0] is None
    reply = SECOND.reply(Asked.of(None, None), topic, "ok", body).data
    payload = {"status": "ok", "response": base64}
    assert json.loads(as_text(reply)) == [None, None, topic, "phx_reply", payload]
    with pytest.raises(ProtocolError):
        as_text(b"\3")


def test_presence_is_a_broadcast_or_for_one() -> None:
    came = Presence("room", {"ana": [{}]}, {}, joined_refs={"ana": ["r"]})
    assert told(SECOND.presence("room", came))[:4] == [None, None, "room", "presence_diff"]
    assert told(SECOND.present("7", "room", came))[:4] == ["7", None, "room", "presence_diff"]
    here = Presence("room", {}, {}, whole=True)
    assert told(SECOND.present("7", "room", here)) == ["7", None, "room", "presence_state", {}]


def test_it_has_answers_presence_and_many_topics_and_no_calls() -> None:
    assert CAPS == FIRST.caps == SECOND.caps == Cap.REPLY | Cap.PRESENCE | Cap.MANY


def test_the_words_of_the_client_are_reserved() -> None:
    assert {"phx_reply", "phx_close", "phx_error", "phx_join", "phx_leave"} < RESERVED
    assert {"presence_state", "presence_diff", "error", "gap"} < RESERVED
    assert "heartbeat" not in RESERVED
