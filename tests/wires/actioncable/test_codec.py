"""Tests of anywire.wires.actioncable.codec."""

import json

import pytest

from anywire.body import Body
from anywire.errors import FAULTS
from anywire.frames import At, Bye, Position, Presence
from anywire.wires.actioncable import codec as words
from anywire.wires.actioncable.codec import PLAIN

ROOM = '{"channel":"RoomChannel", "room":"caf\u00e9"}'
AT = At("room:1", Position(7, "e"))


def told(event: str, *args: object) -> object:
    said = json.loads(PLAIN.event(ROOM, event, Body.of(*args), AT).data)
    assert said.keys() == {"identifier", "message"}
    assert said["identifier"] == ROOM
    return said["message"]


def test_what_is_said_in_message_is_the_message() -> None:
    assert told("message", {"text": "hi"}) == {"text": "hi"}
    assert told("message", "hi") == "hi"
    assert told("message", 1, "two") == [1, "two"]
    assert told("message") is None


def test_an_object_that_looks_like_an_event_is_not_wrapped() -> None:
    assert told("message", {"event": "created", "data": 1}) == {"event": "created", "data": 1}


def test_any_other_event_has_its_name() -> None:
    assert told("said", {"text": "hi"}) == {"event": "said", "data": {"text": "hi"}}
    assert told("said", None) == {"event": "said", "data": None}
    assert told("said") == {"event": "said"}


def test_bytes_are_base64_text() -> None:
    assert told("message", {"a": b"\x00\x01"}) == {"a": "AAE="}


def test_an_event_is_volatile_where_it_was_sent_so() -> None:
    for volatile in (True, False):
        payload = PLAIN.event(ROOM, "moved", Body.of(1), At("r", volatile=volatile))
        assert payload.volatile is volatile


def test_presence_is_an_event() -> None:
    said = json.loads(PLAIN.presence(ROOM, Presence(ROOM, {"ana": [{}]}, {})).data)
    data = {"joined": {"ana": [{}]}, "left": {}, "whole": False}
    assert said == {"identifier": ROOM, "message": {"event": "presence", "data": data}}


def test_answers_to_a_subscription_bring_its_identifier() -> None:
    assert words.confirm("x").data == b'{"identifier":"x","type":"confirm_subscription"}'
    assert words.reject('"').data == b'{"identifier":"\\"","type":"reject_subscription"}'


def test_a_welcome_has_the_session_where_it_is_asked_for() -> None:
    assert words.welcome().data == b'{"type":"welcome"}'
    assert words.welcome("s1").data == b'{"type":"welcome","sid":"s1"}'


def test_a_ping_has_the_time() -> None:
    assert words.ping(1_700_000_003).data == b'{"type":"ping","message":1700000003}'


@pytest.mark.parametrize(
    ("bye", "reason", "reconnect"),
    [
        (Bye(1001, "the server stops"), "server_restart", True),
        (Bye(4401, "", None), "unauthorized", False),
        (Bye(4403, "revoked", None), "remote", False),
        (Bye(4408, "too slow", 0.0), "remote", True),
        (Bye(4403, "server_restart", 0.0), "server_restart", True),
        (Bye(4403, "unauthorized", None), "unauthorized", False),
        *((Bye(code, "junk", 1.0), "invalid_request", True) for code in sorted(FAULTS)),
    ],
)
def test_a_goodbye_is_one_of_the_words_of_rails(bye: Bye, reason: str, reconnect: bool) -> None:
    said = {"type": "disconnect", "reason": reason, "reconnect": reconnect}
    assert json.loads(words.goodbye(bye).data) == said
