"""Plain connections, both ends; the spelling of messages is in the vectors."""

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
    Item,
    Join,
    Refusal,
    Reply,
    Want,
    Welcome,
)
from anywire.limits import Limits
from anywire.payload import Message, Payload
from anywire.wires.anywire.plain import PlainClient, PlainMachine
from anywire.wires.base import Cap
from anywire.wires.pulse import Pulse
from tests.wires.described import described


def machine(home: str | None = "chat", **limits: int) -> PlainMachine:
    pulse = Pulse(25.0, 10.0)
    return PlainMachine(home, Limits(**limits), pulse, wall=0.0, session="s")


def texts(payloads: object) -> list[Message]:
    assert isinstance(payloads, list | tuple)
    return [message for payload in payloads for message in Payload.messages(payload)]


def test_without_a_home_events_are_refused_and_joins_are_not() -> None:
    end = machine(None)
    assert not end.opened(0.0)
    assert not end.receive('{"type":"say","id":4}', 0.0)
    assert not end.receive("hello", 0.0)
    text = "no address is home here: join one"
    assert texts(end.due()) == [
        f'{{"type":"error","event":"say","code":"unknown_address","text":"{text}","id":4}}',
        f'{{"type":"error","event":"message","code":"unknown_address","text":"{text}"}}',
    ]
    (join,) = end.receive('{"type":"join","address":"chat"}', 0.0)
    assert isinstance(join, Join)


def test_names_of_unanswered_events_are_bounded() -> None:
    end = machine(calls=2)
    for ref in (1, 2, 3):
        end.receive(f'{{"type":"say","id":{ref}}}', 0.0)
    for ref, event in ((1, ""), (2, '"event":"say",'), (3, '"event":"say",')):
        said = texts(end.send(Reply(ref, "chat", None, "busy", "later")))
        assert said == [f'{{"type":"error",{event}"code":"busy","text":"later","id":{ref}}}']
    said = texts(end.send(Reply(3, "chat", None, "busy")))
    assert said == ['{"type":"error","code":"busy","text":"","id":3}'], "it is told once"


def test_a_reply_without_a_value_has_no_fields() -> None:
    assert texts(machine().send(Reply(1, "chat", None))) == ['{"type":"reply","id":1}']


def test_a_full_conversation_cannot_resume_and_does_not_acknowledge() -> None:
    end = machine()
    assert Cap.REPLY in end.caps and Cap.STREAM not in end.caps
    end.opened(0.0)
    assert end.deadline() == 25.0
    end.heard(1.0)
    assert end.deadline() == 26.0
    end.receive('{"type":"event","address":"chat","event":"say"}', 2.0)
    assert Cap.RESUME not in end.caps and Cap.STREAM in end.caps
    assert end.deadline() == 27.0
    (welcome,) = texts(end.due())
    assert isinstance(welcome, str)
    assert welcome.startswith('{"type":"welcome","session":"s","beat":25.0')
    for _ in range(70):
        end.receive('{"type":"event","address":"chat","event":"say"}', 2.0)
    end.receive('{"type":"ping"}', 2.0)
    assert texts(end.due()) == ['{"type":"pong","timestamp":2}']
    assert texts(end.send(Bye(1001))) == ['{"type":"bye","code":1001,"retry":0.0}']
    assert end.tick(27.0) == (Beat(),)


def test_binary_is_not_plain() -> None:
    with pytest.raises(ProtocolError) as caught:
        machine().receive(b"{}", 0.0)
    assert caught.value.code == 1003


@pytest.mark.parametrize("text", ['{"type":"\\ud800"}', "[" + "1," * 3, '{"a":' * 40])
def test_text_that_begins_like_json_must_be_json(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        machine().receive(text, 0.0)
    assert caught.value.code == 4400


@pytest.mark.parametrize(
    "text",
    ['{"type":"ping","echo":"\\ud800"}', '{"type":"\\ud83d"}', '{"type":"x","id":"\\ud800"}'],
)
def test_half_a_surrogate_pair_is_a_protocol_error(text: str) -> None:
    with pytest.raises(ProtocolError):
        machine().receive(text, 0.0)
        machine().send(Bye(1000))


# --- the client's end


def client(**options: float) -> PlainClient:
    made = PlainClient("chat", **options)  # type: ignore[arg-type]
    made.opened(None, 0.0)
    return made


def test_a_plain_client_offers_nothing() -> None:
    assert not client().opening().subprotocols
    with pytest.raises(ProtocolError):
        PlainClient().opened("anywire.json.1", 0.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '{"type":"said","by":"ana"}',
            {"frame": "Event", "event": "said", "args": [{"by": "ana"}]},
        ),
        ('{"type":"n","data":3}', {"frame": "Event", "event": "n", "args": [3]}),
        ('{"type":"tick"}', {"frame": "Event", "event": "tick"}),
        (
            '{"type":"reply","id":1,"status":"ok"}',
            {"frame": "Reply", "ref": 1, "data": [{"status": "ok"}]},
        ),
        ('{"type":"reply","id":1}', {"frame": "Reply", "ref": 1, "data": []}),
        (
            '{"type":"error","code":"busy","id":"a","data":1,"event":"say","text":"later"}',
            {
                "frame": "Refusal",
                "ref": "a",
                "code": "busy",
                "data": [1],
                "event": "say",
                "text": "later",
            },
        ),
        ('{"type":"error","code":"busy"}', {"frame": "Refusal", "code": "busy"}),
    ],
)
def test_a_plain_client_hears(text: str, told: dict[str, object]) -> None:
    (frame,) = client().receive(text, 0.0)
    assert described(frame) == {**told, "alias": "chat"}


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "[]",
        '{"a":1}',
        '{"type":"reply"}',
        '{"type":"error"}',
        '{"type":"error","code":"\\ud800"}',
    ],
)
def test_what_is_no_message_to_a_plain_client_is_a_protocol_error(text: str) -> None:
    with pytest.raises(ProtocolError):
        client().receive(text, 0.0)


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (Event("chat", "say", Body.of({"a": 1})), '{"type":"say","a":1}'),
        (
            Event("chat", "say", Body.of(1), ref=2, want=Want.REPLY),
            '{"type":"say","id":2,"data":1}',
        ),
        (Beat(), '{"type":"ping"}'),
    ],
)
def test_a_plain_client_says(frame: Frame, text: str) -> None:
    assert texts(client().send(frame)) == [text]


@pytest.mark.parametrize("frame", [Ack(1), Beat(is_answer=True), Join(1, "a", "a"), Gap("a", 1)])
def test_a_plain_client_has_no_other_words(frame: Frame) -> None:
    assert not client().send(frame)


def test_a_plain_client_pings_if_it_was_told_to() -> None:
    end = client(beat=5.0, beat_timeout=2.0)
    assert not end.tick(4.9)
    assert not end.tick(5.0)
    assert texts(end.due()) == ['{"type":"ping"}']
    end.heard(6.0)
    assert not end.tick(11.0)
    (bye,) = end.tick(13.0)
    assert isinstance(bye, Bye) and bye.code == 4410
    assert client().deadline() is None


def test_what_a_plain_connection_has_no_words_for_is_not_said() -> None:
    for frame in (Item(1, Body.of(1)), Welcome("s", "t", 1.0), Bye(1000), Beat(), Ack(1)):
        assert not machine().send(frame)


def test_an_error_of_an_event_that_was_never_asked_has_only_its_name() -> None:
    refusal = Refusal(None, "chat", "rate", "slow down", event="say")
    said = texts(machine().send(refusal))
    assert said == ['{"type":"error","event":"say","code":"rate","text":"slow down"}']


def test_arguments_of_a_plain_event_are_the_text_that_came() -> None:
    (event,) = machine().receive('{"type":"say","n":1.50}', 0.0)
    assert isinstance(event, Event) and isinstance(event.args, Args)
    assert event.args.body().inline_one == b'{"n":1.5}'
