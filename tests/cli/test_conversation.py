"""What is said and heard, against the real server machine of the wire."""

from collections.abc import Sequence

import msgspec
import pytest

from anywire.body import Args, Body
from anywire.cli.conversation import CLIENTS, RawConversation, WireConversation
from anywire.cli.entry import Entry
from anywire.errors import Closed, ProtocolError
from anywire.frames import (
    Bye,
    Cancel,
    End,
    Event,
    Frame,
    Gap,
    Item,
    Join,
    Joined,
    Leave,
    Presence,
    Refusal,
    Reply,
    Want,
    Welcome,
)
from anywire.payload import Payload
from anywire.wires.anywire import Own, OwnClient
from anywire.wires.base import Hello, Machine, Opening
from anywire.wires.sockjs import SockJS

WELCOME = Welcome(session="s1", token=None, beat=25.0)


class Both:
    """A conversation and the server's end of it, joined in memory."""

    def __init__(self, *addresses: str, is_json: bool = False) -> None:
        self.client = WireConversation(OwnClient(), addresses, is_json=is_json)
        opening = Own("/ws").open(
            Hello(subprotocols=self.client.opening().subprotocols, seed=bytes(32))
        )
        assert isinstance(opening, Opening) and opening.machine is not None
        self.server: Machine = opening.machine
        assert self.client.opened(opening.subprotocol, 0.0) == []

    def hear(self, *frames: Frame) -> list[Entry]:
        """What the client makes of frames of the server."""
        return [
            entry
            for frame in frames
            for payload in self.server.send(frame)
            for message in payload.messages()
            for entry in self.client.receive(message, 0.0)
        ]

    def told(self, payloads: Sequence[Payload]) -> list[Frame]:
        """What the server makes of what the client writes."""
        return [
            frame
            for payload in payloads
            for message in payload.messages()
            for frame in self.server.receive(message, 0.0)
        ]

    def joined(self) -> "Both":
        self.hear(WELCOME)
        for frame in self.told(self.client.due()):
            assert isinstance(frame, Join)
            self.hear(Joined(frame.ref, frame.alias))
        return self


def test_raw_says_and_hears_messages_as_they_are() -> None:
    talk = RawConversation(["chat"])
    assert talk.opening().subprotocols == ["chat"]
    talk.opened("chat", 0.0)
    assert talk.is_ready
    said = talk.say("hi")
    assert said.entry == Entry(direction="out", type="text", data="hi")
    assert [list(payload.messages()) for payload in said.payloads] == [["hi"]]
    assert talk.receive(b"\x00", 0.0) == (Entry(type="binary", data=b"\x00"),)
    assert talk.deadline() is None


def test_nothing_can_be_said_before_every_join_is_answered() -> None:
    both = Both("chat:a", "chat:b")
    assert not both.client.is_ready
    both.hear(WELCOME)
    joins = both.told(both.client.due())
    assert [join.address for join in joins if isinstance(join, Join)] == ["chat:a", "chat:b"]
    assert not both.client.is_ready
    assert both.hear(Joined(1, "chat:a", Body.of({"n": 1}))) == [
        Entry(type="joined", address="chat:a", data={"n": 1})
    ]
    assert not both.client.is_ready
    both.hear(Joined(2, "chat:b"))
    assert both.client.is_ready


def test_without_a_join_it_is_ready_with_the_welcome() -> None:
    both = Both()
    assert both.hear(WELCOME)[0].type == "welcome"
    assert both.client.is_ready


def test_a_line_is_a_call_at_the_first_address() -> None:
    both = Both("chat:a", "chat:b").joined()
    said = both.client.say('say {"text": "hi"}')
    (call,) = both.told(said.payloads)
    assert isinstance(call, Event) and isinstance(call.args, Args)
    assert (call.alias, call.event, call.want) == ("chat:a", "say", Want.REPLY)
    assert call.args.values() == ({"text": "hi"},)
    assert said.entry.data == {"text": "hi"}
    assert call.ref is not None
    assert both.hear(Reply(call.ref, "chat:a", Body.of(7))) == [
        Entry(type="reply", event="say", data=7)
    ]


def test_a_line_may_name_another_address() -> None:
    both = Both("chat:a", "chat:b").joined()
    (call,) = both.told(both.client.say('{"event": "say", "address": "chat:b"}').payloads)
    assert isinstance(call, Event) and call.alias == "chat:b"


def test_a_stream_is_asked_for_and_its_items_are_shown() -> None:
    both = Both("desk").joined()
    (call,) = both.told(both.client.say('{"event": "ticks", "stream": true}').payloads)
    assert isinstance(call, Event) and call.want is Want.STREAM and call.ref is not None
    heard = both.hear(Item(call.ref, Body.of(1)), End(call.ref))
    assert heard == [
        Entry(type="item", event="ticks", data=1),
        Entry(type="end", event="ticks"),
    ]


def test_without_an_address_a_line_is_refused_with_what_to_do() -> None:
    both = Both()
    both.hear(WELCOME)
    with pytest.raises(ValueError, match="--join ADDRESS"):
        both.client.say("say hi")


def test_an_answer_of_nothing_is_null() -> None:
    both = Both("chat:a").joined()
    (call,) = both.told(both.client.say("say").payloads)
    assert isinstance(call, Event) and call.ref is not None
    (reply,) = both.hear(Reply(call.ref, "chat:a"))
    assert reply.data is None


def test_refused_messages_are_counted() -> None:
    both = Both("chat:a").joined()
    (call,) = both.told(both.client.say("nope").payloads)
    assert isinstance(call, Event) and call.ref is not None
    refused = Reply(call.ref, "chat:a", code="unknown_event", text="known: say")
    assert both.hear(refused)[0].data == "nope: unknown_event: known: say"
    assert both.hear(Refusal(None, "chat:a", "rate", event="say"))[0].data == "say: rate"
    assert both.client.refusals == 2
    assert not both.client.is_out


def test_a_refused_join_is_the_end() -> None:
    both = Both("chat:staff")
    both.hear(WELCOME)
    (error,) = both.hear(Refusal(1, "chat:staff", "staff_only", "for staff"))
    assert (error.type, error.data) == ("error", "join chat:staff: staff_only: for staff")
    assert both.client.is_out


def test_a_refused_session_is_told() -> None:
    (entry,) = Both().hear(Refusal(None, None, "bad_token", "wrong"))
    assert entry == Entry(type="refused", data={"code": "bad_token", "text": "wrong"})


def test_a_call_of_the_server_is_shown_and_answered_with_no() -> None:
    both = Both("desk").joined()
    (entry,) = both.hear(Event("desk", "confirm", Body.of(5), ref="s1", want=Want.REPLY))
    assert (entry.type, entry.event, entry.data) == ("call", "confirm", 5)
    (reply,) = both.told(both.client.due())
    assert isinstance(reply, Reply)
    assert (reply.ref, reply.code) == ("s1", "unsupported")


def test_events_name_their_address_where_there_is_a_doubt() -> None:
    event = Event("chat:a", "said", Body.of("hi"))
    assert Both("chat:a").joined().hear(event)[0].address is None
    assert Both("chat:a", "chat:b").joined().hear(event)[0].address == "chat:a"
    assert Both("chat:a", is_json=True).joined().hear(event)[0].address == "chat:a"


def test_arguments_are_shown_as_one_value() -> None:
    both = Both("chat:a").joined()
    events = [Event("chat:a", "e", Body.of(*values)) for values in ((), (1,), (1, 2))]
    assert [entry.data for entry in both.hear(*events)] == [msgspec.UNSET, 1, [1, 2]]


def test_who_comes_and_goes_is_shown() -> None:
    heard = (
        Both("chat:a")
        .joined()
        .hear(
            Presence("chat:a", {"ana": [{}]}, {}, whole=True),
            Gap("chat:a", 3),
            Leave("chat:a", code="kicked", text="enough"),
            Leave("chat:a"),
        )
    )
    assert [(entry.type, entry.data) for entry in heard] == [
        ("presence", {"joined": {"ana": [{}]}, "left": {}, "whole": True}),
        ("gap", {"lost": 3}),
        ("leave", {"code": "kicked", "text": "enough"}),
        ("leave", msgspec.UNSET),
    ]


def test_frames_that_mean_nothing_to_a_person_are_not_shown() -> None:
    both = Both("chat:a").joined()
    assert both.hear(Cancel("s1"), Bye(1001, "the server stops")) == []


def test_a_silent_server_is_asked_and_then_given_up() -> None:
    both = Both("chat:a").joined()
    both.client.heard(10.0)
    asked = both.client.deadline()
    assert asked is not None
    both.client.tick(asked)
    assert both.client.due()
    gone = both.client.deadline()
    assert gone is not None
    with pytest.raises(Closed, match="4410"):
        both.client.tick(gone)


def test_a_broken_message_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        Both().client.receive("{", 0.0)


def test_a_server_without_the_subprotocol_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        WireConversation(OwnClient(), ()).opened(None, 0.0)


def test_events_said_and_heard_can_be_completed() -> None:
    both = Both("chat:a").joined()
    assert both.client.words() == ()
    both.client.say("say hi")
    both.hear(Event("chat:a", "said", Body.of("hi")))
    assert both.client.words() == ("say", "said")
    assert RawConversation().words() == ()


def test_the_names_of_events_that_are_remembered_are_bounded() -> None:
    both = Both("chat:a").joined()
    for number in range(1200):
        both.client.say(f"event{number}")
    assert len(both.client.words()) == 1000


def test_a_wire_with_one_membership_has_joined_by_itself() -> None:
    wire = SockJS("/echo", to="echo")
    parts = {"server": "000", "session": "s1"}
    opening = wire.open(Hello(path="/echo/000/s1/websocket", parts=parts, seed=bytes(32)))
    assert isinstance(opening, Opening) and opening.machine is not None
    server = opening.machine
    client = WireConversation(CLIENTS["sockjs"](None), (), is_json=True)
    assert not client.is_ready
    assert client.opened(None, 0.0) == []
    assert client.is_ready
    said = client.say('{"event": "say", "data": {"text": "hi"}}')
    assert said.entry == Entry(direction="out", type="event", event="say", data={"text": "hi"})
    (message,) = said.payloads[0].messages()
    (event,) = server.receive(message, 0.0)
    assert isinstance(event, Event) and event.event == "say"
    heard = [
        entry
        for frame in (WELCOME, Event("echo", "message", Body.of("hi")), Bye(3000, "Go away!"))
        for payload in server.send(frame)
        for message in payload.messages()
        for entry in client.receive(message, 0.0)
    ]
    assert heard == [Entry(type="event", event="message", data="hi")]
