"""What wires without names share; `test_raw` has it at work."""

import pytest

from anywire.body import Args, Body, Form
from anywire.errors import ProtocolError
from anywire.frames import Bye, Event, Frame, Gap, Join, Position, Presence, Refusal, Since
from anywire.limits import Limits
from anywire.payload import Message
from anywire.wires.nameless import event_of, join_at, message_of, named, presence_of, said
from anywire.wires.raw import RAW


def heard(message: Message, limits: Limits | None = None) -> tuple[str, Args]:
    event = event_of("echo", message, limits or Limits())
    assert isinstance(event.args, Args)
    return event.event, event.args


@pytest.mark.parametrize(
    ("event", "body", "message"),
    [
        ("message", Body.of("hi"), "hi"),
        ("message", Body.of(b"\x00"), b"\x00"),
        ("message", Body.of({"a": 1}), '{"a":1}'),
        ("message", Body.of({"event": 1}), '{"event":1}'),
        ("message", Body.of({"event": "a"}), '{"event":"message","data":{"event":"a"}}'),
        ("message", Body.of('{"event":"a"}'), '{"event":"a"}'),
        ("said", Body.of("hi"), '{"event":"said","data":"hi"}'),
        ("said", Body.of(), '{"event":"said"}'),
        ("moved", Body.of(1, 2), '{"event":"moved","data":[1,2]}'),
    ],
)
def test_an_event_is_bare_or_has_its_name(event: str, body: Body, message: Message) -> None:
    assert list(message_of(event, body).messages()) == [message]


def test_a_named_message_has_no_room_for_more() -> None:
    assert named("a", Body.of(1)).data == b'{"event":"a","data":1}'
    event, args = heard('{"event":"a","data":1}')
    assert (event, args.values()) == ("a", (1,))
    event, args = heard('{"event":"a","data":1,"more":2}')
    assert (event, args.form) == ("message", Form.TEXT)


@pytest.mark.parametrize("message", ["hi", '{"a":1}', '{"event":5}', '{"event":"\ud800"}', ""])
def test_any_other_text_is_a_message(message: str) -> None:
    event, args = heard(message)
    assert (event, args.form, args.raw) == ("message", Form.TEXT, message)


def test_what_nests_too_deep_is_not_looked_into() -> None:
    deep = f'{{"event":"a","data":{"[" * 3}{"]" * 3}}}'
    assert heard(deep, Limits(nesting=3))[0] == "a"
    assert heard(deep, Limits(nesting=2))[0] == "message"


@pytest.mark.parametrize("message", [b"x" * 9, "x" * 9, "\u20ac" * 3])
def test_what_is_too_large_is_refused(message: Message) -> None:
    with pytest.raises(ProtocolError, match="at most 8 bytes") as caught:
        heard(message, Limits(message=8))
    assert caught.value.code == 1009
    assert heard(message, Limits(message=9))[0] == "message"


def test_a_join_has_the_query_and_a_position() -> None:
    assert join_at("echo", {}) == Join(None, "echo", "echo", join_at("echo", {}).params)
    join = join_at("echo", {"offset": "3", "epoch": "k", "name": "ana"})
    assert join.since == Since({"echo": Position(3, "k")})
    assert isinstance(join.params, Args) and join.params.values() == ({"name": "ana"},)
    assert join_at("echo", {"last": "3"}).since == Since(last=3)


def test_there_are_words_for_what_has_no_event() -> None:
    frames: list[Frame] = [
        Event("echo", "message", Body.of("hi")),
        Presence("echo", {"ana": [{}]}, {}),
        Gap("echo", 3),
        Refusal(None, "echo", "busy", "later", Body.of(1), event="say"),
        Refusal(None, None, "busy", "later", event="say"),
    ]
    assert [payload.data.decode() for frame in frames for payload in said(frame, RAW)] == [
        "hi",
        '{"event":"presence","data":{"joined":{"ana":[{}]},"left":{},"whole":false}}',
        '{"event":"gap","data":{"lost":3}}',
        '{"event":"error","data":{"event":"say","code":"busy","text":"later","data":1}}',
        '{"event":"error","data":{"event":"say","code":"busy","text":"later"}}',
    ]
    assert presence_of(Presence("", {}, {}, whole=True)).one_value == {
        "joined": {},
        "left": {},
        "whole": True,
    }
    assert not said(Refusal(None, "echo", "busy"), RAW)
    assert not said(Bye(1000), RAW)


def test_what_may_be_dropped_is_marked() -> None:
    for volatile in (True, False):
        (payload,) = said(Event("echo", "moved", Body.of(1), volatile=volatile), RAW)
        assert payload.volatile is volatile
