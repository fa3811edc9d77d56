"""The client's end of SignalR; the contracts have more."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import Args, Body
from anywire.errors import ProtocolError
from anywire.frames import (
    Beat,
    Bye,
    Cancel,
    End,
    Event,
    Frame,
    Item,
    Leave,
    Refusal,
    Reply,
    Want,
)
from anywire.limits import Limits
from anywire.payload import Message
from anywire.wires.base import Cap, Request
from anywire.wires.signalr import SignalRClient
from anywire.wires.signalr.client import BEAT, SILENCE
from anywire.wires.signalr.records import framed

pack = msgspec.msgpack.encode


def connected(protocol: str = "json", limits: Limits | None = None) -> SignalRClient:
    """One whose hub has answered its handshake at 0.0."""
    client = SignalRClient("chat", protocol=protocol, limits=limits)
    assert client.opened(None, 0.0) == ()
    client.due()
    assert list(client.receive("{}\x1e", 0.0)) == []
    return client


def heard(client: SignalRClient, *messages: Message, now: float = 1.0) -> list[Frame]:
    return [frame for message in messages for frame in client.receive(message, now)]


def said(client: SignalRClient, *frames: Frame) -> list[Message]:
    return [
        message
        for frame in frames
        for payload in client.send(frame)
        for message in payload.messages()
    ]


def values(data: object) -> Any:
    assert isinstance(data, Args)
    return list(data.values())


def asks(client: SignalRClient, ref: int | str, want: Want) -> list[Message]:
    return said(client, Event("chat", "say", Body.of(1), ref=ref, want=want))


# --- the handshake --------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["json", "messagepack"])
def test_it_shakes_hands_over_a_websocket_that_was_not_negotiated(protocol: str) -> None:
    client = SignalRClient(protocol=protocol)
    assert client.opening() == Request()
    assert not client.caps & Cap.RESUME
    client.opened(None, 0.0)
    (payload,) = client.due()
    assert payload.is_text
    assert payload.data == b'{"protocol":"%b","version":1}\x1e' % protocol.encode()
    assert not client.due()


def test_the_answer_may_come_in_pieces_and_messages_behind_it() -> None:
    client = SignalRClient("chat")
    client.opened(None, 0.0)
    assert heard(client, "{", '}\x1e{"type":6}\x1e{"ty') == [Beat()]
    assert heard(client, 'pe":6}\x1e') == [Beat()]
    packed = SignalRClient("chat", protocol="messagepack")
    packed.opened(None, 0.0)
    assert heard(packed, b"{}\x1e\x02\x91\x06") == [Beat()]


def test_a_refusal_has_its_code() -> None:
    client = SignalRClient("chat")
    client.opened(None, 0.0)
    assert heard(client, '{"error":"staff_only: no"}\x1e') == [
        Refusal(None, "chat", "staff_only", "no")
    ]
    client.opened(None, 0.0)
    assert heard(client, '{"error":"No way."}\x1e') == [Refusal(None, "chat", "failed", "No way.")]


@pytest.mark.parametrize("answer", ["\x1e", "junk\x1e", "[]\x1e", '{"error":7}\x1e', b"\xff\x1e"])
def test_what_is_no_answer_breaks_the_rules(answer: Message) -> None:
    client = SignalRClient("chat")
    client.opened(None, 0.0)
    with pytest.raises(ProtocolError):
        client.receive(answer, 0.0)


def test_it_begins_anew_over_another_transport() -> None:
    client = connected()
    asks(client, 1, Want.REPLY)
    heard(client, '{"type"')
    client.opened(None, 10.0)
    heard(client, "{}\x1e")
    assert heard(client, '{"type":3,"invocationId":"1"}\x1e') == []


# --- what it says ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (
            Event("chat", "say", Body.of("hi")),
            '{"type":1,"target":"say","arguments":["hi"]}',
        ),
        (
            Event("chat", "say", Body.of(), ref=1, want=Want.REPLY),
            '{"type":1,"target":"say","arguments":[],"invocationId":"1"}',
        ),
        (
            Event("chat", "say", Body.of(), ref=2, want=Want.STREAM, streams=(3, "x")),
            '{"type":4,"target":"say","arguments":[],"invocationId":"2","streamIds":["3","x"]}',
        ),
        (Item(3, Body.of(5)), '{"type":2,"invocationId":"3","item":5}'),
        (End(3), '{"type":3,"invocationId":"3"}'),
        (End(3, "no", "text"), '{"type":3,"invocationId":"3","error":"no: text"}'),
        (Reply(7, "chat", Body.of(1)), '{"type":3,"invocationId":"~7","result":1}'),
        (Reply("a", "chat", None), '{"type":3,"invocationId":"a"}'),
        (Reply(7, "chat", None, "no"), '{"type":3,"invocationId":"~7","error":"no"}'),
        (Cancel(2), '{"type":5,"invocationId":"2"}'),
        (Beat(), '{"type":6}'),
        (Bye(1000), '{"type":7}'),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_it_says_frames_in_the_words_of_the_protocol(frame: Frame, text: str) -> None:
    assert said(connected(), frame) == [f"{text}\x1e"]


def test_there_are_no_words_for_everything() -> None:
    assert said(connected(), Beat(is_answer=True), Leave("chat")) == []
    (payload,) = connected().send(Event("chat", "tick", Body.of(), volatile=True))
    assert payload.volatile


# --- what it hears --------------------------------------------------------------------------------


def test_answers_and_items_belong_to_what_was_asked() -> None:
    client = connected()
    asks(client, 1, Want.REPLY)
    asks(client, "s", Want.STREAM)
    (item, none) = heard(
        client,
        '{"type":2,"invocationId":"s","item":[5]}\x1e{"type":2,"invocationId":"s"}\x1e',
    )
    assert isinstance(item, Item) and isinstance(none, Item)
    assert (item.ref, values(item.data), values(none.data)) == ("s", [[5]], [None])
    (reply,) = heard(client, '{"type":3,"invocationId":"1","result":7}\x1e')
    assert isinstance(reply, Reply)
    assert (reply.ref, values(reply.data)) == (1, [7])
    assert heard(client, '{"type":3,"invocationId":"s","error":"no: more"}\x1e') == [
        End("s", "no", "more")
    ]
    assert heard(client, '{"type":3,"invocationId":"1"}\x1e{"type":3,"invocationId":"s"}\x1e') == []


def test_a_call_may_fail() -> None:
    client = connected()
    asks(client, 1, Want.REPLY)
    assert heard(client, '{"type":3,"invocationId":"1","error":"busy"}\x1e') == [
        Reply(1, "chat", None, "busy", "")
    ]


def test_what_it_cancelled_or_never_asked_for_is_ignored() -> None:
    client = connected()
    asks(client, 1, Want.STREAM)
    said(client, Cancel(1), Cancel(2))
    for text in (
        '{"type":2,"invocationId":"1","item":5}',
        '{"type":3,"invocationId":"1"}',
        '{"type":3,"invocationId":"9","result":5}',
        '{"type":5,"invocationId":"1"}',
        '{"type":42}',
        '{"type":8,"sequenceId":5}',
    ):
        assert heard(client, f"{text}\x1e") == []


@pytest.mark.parametrize(("id", "ref"), [("~7", 7), ("a", "a")])
def test_a_question_of_the_server_is_an_event_that_wants_a_reply(id: str, ref: object) -> None:
    text = f'{{"type":1,"target":"Ask","arguments":[1],"invocationId":"{id}"}}\x1e'
    (event,) = heard(connected(), text)
    assert isinstance(event, Event)
    assert (event.alias, event.event, event.ref, event.want) == ("chat", "Ask", ref, Want.REPLY)
    (told,) = heard(connected(), '{"type":1,"target":"said","arguments":["hi",7]}\x1e')
    assert isinstance(told, Event)
    assert (told.ref, told.want, values(told.args)) == (None, Want.NOTHING, ["hi", 7])


def test_it_speaks_messagepack_too() -> None:
    client = connected("messagepack")
    (event,) = heard(client, framed(pack([1, {}, None, "said", [b"\x1e"], []])))
    assert isinstance(event, Event)
    assert values(event.args) == [b"\x1e"]
    assert said(client, Beat()) == [b"\x02\x91\x06"]
    assert heard(client, framed(pack([42]))) == []


def test_the_last_word_says_whether_to_come_back() -> None:
    assert heard(connected(), '{"type":7}\x1e') == [Bye(1000, "", None)]
    assert heard(connected(), '{"type":7,"error":"x","allowReconnect":true}\x1e') == [
        Bye(1000, "x", 0.0)
    ]


# --- time -----------------------------------------------------------------------------------------


def test_it_pings_and_gives_a_silent_server_up() -> None:
    client = connected()
    assert client.deadline() == BEAT
    assert client.tick(BEAT - 1) == ()
    assert client.tick(BEAT) == ()
    assert [payload.data for payload in client.due()] == [b'{"type":6}\x1e']
    client.heard(20.0)
    assert client.deadline() == SILENCE, "only a message counts"
    heard(client, '{"type":6}\x1e', now=25.0)
    assert client.deadline() == 2 * BEAT
    assert client.tick(2 * BEAT) == ()
    assert client.tick(25.0 + SILENCE) == (Bye(4410, "nothing heard in time"),)
    assert client.deadline() is None
    assert client.tick(1000.0) == ()


# --- anything -------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=40) | st.text(max_size=40), max_size=6), st.booleans())
def test_any_bytes_are_frames_or_break_the_rules_and_nothing_else(
    told: list[Message], is_packed: bool
) -> None:
    client = connected("messagepack" if is_packed else "json", Limits(message=60))
    try:
        heard(client, *told)
    except ProtocolError as error:
        assert error.code in (1009, 4400)
