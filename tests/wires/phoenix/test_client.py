"""The client's end of Phoenix, against messages of a server and against our own."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from anywire.body import Args, Body
from anywire.errors import ProtocolError
from anywire.frames import (
    Ack,
    Beat,
    Bye,
    Event,
    Frame,
    Gap,
    Join,
    Joined,
    Leave,
    Presence,
    Refusal,
    Reply,
    Want,
    Welcome,
)
from anywire.limits import Limits
from anywire.payload import Message, Payload
from anywire.wires.phoenix import PhoenixClient
from anywire.wires.phoenix.client import EVERY


def opened() -> PhoenixClient:
    client = PhoenixClient()
    (welcome,) = client.opened(None, 0.0)
    assert welcome == Welcome("", None, EVERY)
    return client


def joined(ref: int = 1, topic: str = "room") -> PhoenixClient:
    client = opened()
    client.send(Join(ref, topic, topic))
    return client


def said(payloads: Iterable[Payload]) -> list[Any]:
    messages = [message for payload in payloads for message in payload.messages()]
    return [json.loads(one) if isinstance(one, str) else one for one in messages]


def heard(client: PhoenixClient, message: object) -> Frame:
    raw = message if isinstance(message, bytes) else json.dumps(message)
    (frame,) = client.receive(raw, 1.0)
    return frame


def value(data: object) -> Any:
    assert isinstance(data, Args)
    return data.value()


def test_it_speaks_the_second_serializer() -> None:
    assert dict(PhoenixClient().opening().query) == {"vsn": "2.0.0"}


def test_what_is_said_tells_its_join() -> None:
    client = joined(7)
    assert said(client.send(Event("room", "say", Body.of({"a": 1})))) == [
        ["7", None, "room", "say", {"a": 1}]
    ]
    call = Event("room", "say", Body.of(), ref=8, want=Want.REPLY)
    assert said(client.send(call)) == [["7", "8", "room", "say", {}]]
    assert said(client.send(Event("room", "say", Body.of(b"\1")))) == [b"\0\1\0\4\x037roomsay\1"]
    long = "x" * 256
    assert said(client.send(Event("room", long, Body.of(b"\1")))) == [
        ["7", None, "room", long, "AQ=="]
    ]
    assert said(client.send(Event("elsewhere", "say", Body.of(b"")))) == [
        b"\0\0\0\x09\x03elsewheresay"
    ]
    (payload,) = client.send(Event("room", "say", Body.of(1), volatile=True))
    assert payload.volatile


def test_joins_and_leaves_are_said_with_their_refs() -> None:
    client = opened()
    join = Join(3, "room", "room", Body.of({"name": "ana"}))
    assert said(client.send(join)) == [["3", "3", "room", "phx_join", {"name": "ana"}]]
    assert said(client.send(Join(None, "b", "b"))) == [["join", "join", "b", "phx_join", {}]]
    assert said(client.send(Leave("room", 4))) == [["3", "phx_leave", "room", "phx_leave", {}]]
    assert said(client.send(Leave("room", 5))) == [[None, "phx_leave", "room", "phx_leave", {}]]
    assert client.send(Ack(1)) == ()


def test_a_join_is_answered() -> None:
    client = joined(3)
    frame = heard(client, ["3", "3", "room", "phx_reply", {"status": "ok", "response": {"a": 1}}])
    assert isinstance(frame, Joined)
    assert (frame.ref, frame.alias, value(frame.data)) == (3, "room", {"a": 1})


def test_a_topic_that_is_unmatched_is_a_refused_join() -> None:
    reply = [
        None,
        "3",
        "room",
        "phx_reply",
        {"status": "error", "response": {"reason": "unmatched topic"}},
    ]
    assert heard(joined(3), reply) == Refusal(3, "room", "unmatched topic")


@pytest.mark.parametrize(
    ("response", "code", "text", "data"),
    [
        ({"reason": "busy"}, "busy", "", None),
        ({"reason": "busy", "text": "later"}, "busy", "later", None),
        ({"reason": "busy", "text": "later", "in": 5}, "busy", "later", {"in": 5}),
        ({"reason": "busy", "data": [5]}, "busy", "", [5]),
        ({"reason": "busy", "data": {"in": 5}}, "busy", "", {"data": {"in": 5}}),
        ({"reason": "busy", "text": 7}, "busy", "", {"text": 7}),
        ({"reason": 7}, "refused", "", {"reason": 7}),
        ({"errors": ["name"]}, "refused", "", {"errors": ["name"]}),
        ({}, "refused", "", {}),
        ("no", "refused", "", "no"),
    ],
)
def test_an_error_has_its_reason_as_code(
    response: object, code: str, text: str, data: object
) -> None:
    payload = {"status": "error", "response": response}
    reply = heard(joined(), ["1", "5", "room", "phx_reply", payload])
    assert isinstance(reply, Reply)
    assert (reply.ref, reply.code, reply.text) == (5, code, text)
    assert reply.data is None if data is None else value(reply.data) == data
    refusal = heard(joined(), ["1", "1", "room", "phx_reply", payload])
    assert isinstance(refusal, Refusal) and (refusal.code, refusal.text) == (code, text)


def test_answers_are_found_by_number_or_by_text() -> None:
    client = joined()
    for ref, expected in (("5", 5), ("-5", -5), ("0", 0), ("05", "05"), ("a", "a"), (5, 5)):
        frame = heard(client, ["1", ref, "room", "phx_reply", {"status": "ok", "response": 1}])
        assert isinstance(frame, Reply) and frame.ref == expected
    bare = heard(client, ["1", "6", "room", "phx_reply", {"status": "ok"}])
    assert isinstance(bare, Reply) and value(bare.data) == {}


def test_an_answer_that_nobody_waits_for_is_none() -> None:
    client = joined()
    for ref in (None, "", "phx_leave"):
        reply = ["1", ref, "room", "phx_reply", {"status": "ok", "response": {}}]
        assert client.receive(json.dumps(reply), 1.0) == ()


def test_bytes_come_as_binary_messages() -> None:
    client = joined(7)
    for message in (b"\2\4\4roomsaid\0\xff", b"\0\1\4\x047roomsaid\0\xff"):
        event = heard(client, message)
        assert isinstance(event, Event)
        assert (event.alias, event.event, value(event.args)) == ("room", "said", b"\0\xff")
    reply = heard(client, b"\1\1\1\4\x0278roomok\0\xff")
    assert isinstance(reply, Reply) and (reply.ref, value(reply.data)) == (8, b"\0\xff")
    no = heard(client, b"\1\1\1\4\x0578roomerror\0\xff")
    assert isinstance(no, Reply) and (no.code, value(no.data)) == ("refused", b"\0\xff")


def test_what_was_said_under_an_earlier_join_is_not_heard() -> None:
    client = joined(7)
    for old in (
        '["6",null,"room","said",{}]',
        '["6","6","room","phx_close",{}]',
        '["6","8","room","phx_reply",{"status":"ok","response":{}}]',
        b"\0\1\4\x046roomsaid",
        b"\1\1\1\4\x0268roomok",
    ):
        assert client.receive(old, 1.0) == ()
    event = heard(client, ["6", None, "elsewhere", "said", {}])
    assert isinstance(event, Event), "a topic that is not known may say what it likes"


def test_a_membership_ends_and_its_topic_is_forgotten() -> None:
    for event, code in (("phx_close", ""), ("phx_error", "internal")):
        client = joined(7)
        assert heard(client, ["7", "7", "room", event, {}]) == Leave("room", code=code)
        assert said(client.send(Event("room", "say", Body.of())))[0][0] is None


def test_what_our_servers_say_by_themselves_is_told() -> None:
    client = joined()
    assert heard(client, ["1", None, "room", "gap", {"lost": 3}]) == Gap("room", 3)
    error = {"event": "say", "code": "busy", "text": "later"}
    assert heard(client, ["1", None, "room", "error", error]) == Refusal(
        None, "room", "busy", "later", event="say"
    )
    refusal = heard(client, ["1", None, "room", "error", {**error, "data": {"in": 5}}])
    assert isinstance(refusal, Refusal) and value(refusal.data) == {"in": 5}
    state = {"ana": {"metas": [{"phx_ref": "r"}]}}
    assert heard(client, ["1", None, "room", "presence_state", state]) == Presence(
        "room", {"ana": [{}]}, {}, whole=True, joined_refs={"ana": ["r"]}
    )
    diff = {"joins": {}, "leaves": state}
    assert heard(client, ["1", None, "room", "presence_diff", diff]) == Presence(
        "room", {}, {"ana": [{}]}, left_refs={"ana": ["r"]}
    )


def test_events_of_those_names_may_be_an_applications_own() -> None:
    client = joined()
    for name, payload in (("gap", {"size": 1}), ("error", {"why": "so"}), ("error", "so")):
        event = heard(client, ["1", None, "room", name, payload])
        assert isinstance(event, Event) and (event.event, value(event.args)) == (name, payload)


@pytest.mark.parametrize(
    "message",
    [
        "nothing",
        '["1","2","room","phx_reply",[]]',
        '["1","2","room","phx_reply",{"status":"error","response":1e999}]',
        '["1","2","room","presence_state",7]',
        '["1","2","room","presence_diff",7]',
        b"",
        b"\3",
        b"\2\4\4room",
    ],
)
def test_what_no_server_says_is_refused(message: Message) -> None:
    with pytest.raises(ProtocolError) as caught:
        joined().receive(message, 1.0)
    assert len(caught.value.reason.encode()) <= 123


def test_what_it_hears_has_bounds() -> None:
    client = PhoenixClient(Limits(message=50))
    client.opened(None, 0.0)
    for message in ('["1","1","room","said","' + "x" * 50 + '"]', b"\2" + bytes(50)):
        with pytest.raises(ProtocolError) as caught:
            client.receive(message, 1.0)
        assert caught.value.code == 1009


def test_it_says_that_it_lives_and_waits_for_an_answer() -> None:
    client = opened()
    assert client.deadline() == EVERY
    assert client.tick(EVERY - 1) == ()
    assert client.due() == []
    for at in (EVERY, 2 * EVERY):
        assert client.tick(at) == ()
        assert said(client.due()) == [[None, "heartbeat", "phoenix", "heartbeat", {}]]
        reply = [None, "heartbeat", "phoenix", "phx_reply", {"status": "ok", "response": {}}]
        assert heard(client, reply) == Beat(is_answer=True)
    client.tick(3 * EVERY)
    client.heard(3 * EVERY + 1)
    assert client.tick(4 * EVERY) == (Bye(4410, "no answer to a heartbeat came in time"),)
    assert client.deadline() is None
    assert client.tick(9 * EVERY) == ()
    client.heard(10 * EVERY)
    assert client.deadline() == 11 * EVERY


def test_it_begins_anew_when_it_comes_back() -> None:
    client = joined(7)
    client.tick(EVERY)
    client.opened(None, 100.0)
    assert said(client.send(Event("room", "say", Body.of())))[0][0] is None
    assert client.deadline() == 100.0 + EVERY
    assert client.tick(100.0 + EVERY) == (), "the old heartbeat is not waited for"
