"""How Socket.IO writes what it says."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import NO_BODY, Args, Body, Form, Shape
from anywire.frames import At, Presence, Ref, Reply
from anywire.limits import Limits
from anywire.payload import Payload
from anywire.wires.base import Cap
from anywire.wires.socketio.codec import (
    ATTACHMENTS,
    MARK,
    MARKED,
    PLAIN,
    acknowledge,
    answer,
    answered,
    connect,
    disconnect,
    problem,
    refuse,
    write,
)
from anywire.wires.socketio.packets import attach, parse

PLACE = '{"_placeholder":true,"num":%d}'


def told(payload: Payload) -> list[str | bytes]:
    return list(payload.messages())


def read(payload: Payload) -> tuple[str, list[Any]]:
    """The name and the arguments that a client finds."""
    text, *attachments = payload.messages()
    assert isinstance(text, str) and text[0] == "4"
    packet = parse(text[1:], Limits(attachments=100, message=1 << 20))
    for each in attachments:
        assert isinstance(each, bytes)
        attach(packet, each, Limits(message=1 << 20))
    return packet.event, list(packet.args.values())


# --- events ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alias", "args", "text"),
    [
        ("/", (), '42["said"]'),
        ("/", (1,), '42["said",1]'),
        ("/chat", ({"text": "hi"}, None), '42/chat,["said",{"text":"hi"},null]'),
        ("/", ("é\u2028", [1.5, True]), '42["said","é\u2028",[1.5,true]]'),
    ],
)
def test_an_event_is_its_namespace_its_name_and_its_arguments(
    alias: str, args: tuple[object, ...], text: str
) -> None:
    for codec in (PLAIN, MARKED):
        assert told(codec.event(alias, "said", Body.of(*args), At("chat"))) == [text]


def test_a_name_is_escaped() -> None:
    assert told(write("/", 'a"\n', NO_BODY)) == ['42["a\\"\\n"]']


def test_an_event_may_be_dropped_only_where_that_is_said() -> None:
    assert not write("/", "a", NO_BODY).volatile
    assert write("/", "a", NO_BODY, volatile=True).volatile


def test_bytes_travel_beside_their_event() -> None:
    payload = write("/chat", "file", Body.of(b"\x00", {"more": [b"", "text"]}), id=7)
    assert told(payload) == [
        f'452-/chat,7["file",{PLACE % 0},{{"more":[{PLACE % 1},"text"]}}]',
        b"\x00",
        b"",
    ]


def test_an_object_that_a_client_would_take_for_bytes_has_no_bytes_beside_it() -> None:
    """It would be looked for, and break the connection of whoever hears it."""
    mine = {"_placeholder": True, "num": 99}
    for values in [(mine, b"\x00\x01"), (b"\x00\x01", [mine]), ({"a": mine, "b": b"\x00\x01"},)]:
        payload = write("/", "file", Body.of(*values))
        assert not payload.rest
        (text,) = told(payload)
        assert isinstance(text, str) and text.startswith("42")
        name, args = read(payload)
        assert name == "file"
        assert base64.b64encode(b"\x00\x01").decode() in json.dumps(args)
    assert not acknowledge("/", 1, Body.of(mine, b"\x00")).rest
    alone = write("/", "file", Body.of(mine))
    assert read(alone) == ("file", [mine])


def test_more_bytes_than_the_official_client_takes_have_none_beside_them() -> None:
    """It ends the connection where there are more."""
    assert ATTACHMENTS == 10
    most = [bytes([number]) for number in range(ATTACHMENTS)]
    assert len(write("/", "file", Body.of(*most)).rest) == ATTACHMENTS
    for body in (Body.of(*most, b"x"), Body.of([*most, b"x"])):
        for payload in (write("/", "file", body), acknowledge("/", 1, body)):
            (text,) = told(payload)
            assert isinstance(text, str) and '"AA=="' in text and '"eA=="' in text


def test_text_that_looks_like_a_placeholder_changes_nothing() -> None:
    for text in (PLACE % 0, '"_placeholder":true', "\\" + PLACE % 9):
        payload = write("/", "file", Body.of(text, b"\x00"))
        assert payload.rest
        assert read(payload) == ("file", [text, b"\x00"])


def test_bytes_are_put_in_place_once_for_all_who_hear_them() -> None:
    body = Body.of(b"\x00")
    one, two = (MARKED.event(alias, "a", body, At("r", mark=1)) for alias in ("/", "/chat"))
    assert one.rest is two.rest


scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)
values = st.recursive(
    scalars | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(
    alias=st.sampled_from(["/", "/chat", '/a["b', "/1", "/é"]),
    name=st.text(max_size=5).map(lambda text: f"x{text}"),
    args=st.lists(values, max_size=3),
    id=st.none() | st.integers(0, 2**53 - 1),
    mark=st.none() | st.integers(0, 2**53),
)
def test_what_is_written_is_read_as_it_was_said(
    alias: str, name: str, args: list[Any], id: int | None, mark: int | None
) -> None:
    payload = MARKED.event(alias, name, Body.of(*args), At("room", mark=mark, ref=id))
    expected = args if mark is None else [*args, f"~{mark}"]
    assert read(payload) == (name, expected)
    text = told(payload)[0]
    assert isinstance(text, str)
    packet = parse(text[1:], Limits(attachments=100))
    assert (packet.namespace, packet.id) == (alias, id)


# --- marks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ((), '42["said","~7"]'),
        ((1,), '42["said",1,"~7"]'),
        (([],), '42["said",[],"~7"]'),
        (("text",), '42["said","text","~7"]'),
    ],
)
def test_a_mark_is_the_last_argument(args: tuple[object, ...], text: str) -> None:
    at = At("room", mark=7)
    payload = MARKED.event("/", "said", Body.of(*args), at)
    assert told(payload) == [text]
    assert payload.counted


def test_a_mark_stands_behind_bytes_too() -> None:
    payload = MARKED.event("/", "file", Body.of(b"\x00"), At("room", mark=7))
    assert told(payload) == [f'451-["file",{PLACE % 0},"~7"]', b"\x00"]


def test_who_cannot_use_a_mark_hears_none() -> None:
    payload = PLAIN.event("/", "said", Body.of(1), At("room", mark=7))
    assert told(payload) == ['42["said",1]']
    assert not payload.counted


def test_what_has_no_mark_is_not_kept() -> None:
    for at in (At("room"), At("room", volatile=True), At("room", ref="7")):
        payload = MARKED.event("/", "said", Body.of(1), at)
        assert not payload.counted
        assert payload.volatile is at.volatile
        assert "~" not in str(told(payload))


@pytest.mark.parametrize("mark", ["~0", "~7", "~12345678901234567890"[:20], "~0123abcd-1"])
def test_a_mark_is_told_from_any_other_text(mark: str) -> None:
    assert MARK.fullmatch(mark)
    for wrong in (mark[1:], f"{mark}x", f"x{mark}", mark.replace("~", "~~"), f"{mark}\n", "~", ""):
        assert not MARK.fullmatch(wrong)
    assert not MARK.fullmatch("~1\u0663")


def test_the_two_ways_of_writing_have_two_names_and_one_can_be_gone_on_with() -> None:
    assert PLAIN.name != MARKED.name
    assert Cap.ADOPT not in PLAIN.caps
    assert MARKED.caps == PLAIN.caps | Cap.ADOPT
    assert PLAIN.caps == Cap.REPLY | Cap.CALL | Cap.BINARY | Cap.MANY


# --- questions and answers ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id", "head"),
    [(7, "7"), ("7", "7"), (0, "0"), ("seven", ""), ("\u0663", ""), ("", ""), ("-1", "")],
)
def test_an_event_that_is_to_be_acknowledged_has_a_number(id: Ref, head: str) -> None:
    assert told(write("/chat", "ask", Body.of(1), id=id)) == [f'42/chat,{head}["ask",1]']


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        (NO_BODY, ["43/chat,7[]"]),
        (Body.of(1), ["43/chat,7[1]"]),
        (Body.of(None), ["43/chat,7[null]"]),
        (Body.of(1, "two", [3]), ['43/chat,7[1,"two",[3]]']),
        (Body.of(b"\x00", 1), [f"461-/chat,7[{PLACE % 0},1]", b"\x00"]),
    ],
)
def test_an_acknowledgement_has_the_number_and_all_arguments(
    body: Body, messages: list[str | bytes]
) -> None:
    payload = acknowledge("/chat", 7, body)
    assert told(payload) == messages
    assert not payload.counted
    assert told(answer(Reply(7, "/chat", body), "/chat")) == messages


def test_an_answer_without_data_is_an_empty_one() -> None:
    assert told(answer(Reply(7, "/", None), "/")) == ["437[]"]


def test_a_refused_event_is_acknowledged_with_its_error() -> None:
    reply = Reply(7, "/", None, "busy", "later")
    assert told(answer(reply, "/")) == ['437[{"error":{"code":"busy","text":"later"}}]']
    reply = Reply(7, "/", Body.of({"in": 5}), "busy", "")
    assert told(answer(reply, "/")) == ['437[{"error":{"code":"busy","text":"","data":{"in":5}}}]']
    reply = Reply(7, "/", Body.of(b"\x00"), "busy", "")
    messages = told(answer(reply, "/"))
    assert messages == [
        f'461-7[{{"error":{{"code":"busy","text":"","data":{PLACE % 0}}}}}]',
        b"\x00",
    ]


def args_of(text: str) -> Args:
    return Args(text, Form.JSON, Shape.LIST)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(7, "/", None, "busy", "later"),
        Reply(7, "/", Body.of({"in": 5}), "busy", ""),
        Reply(7, "/", Body.of([None]), "no"),
    ],
)
def test_an_error_is_read_as_it_was_written(reply: Reply) -> None:
    text = told(answer(reply, "/"))[0]
    assert isinstance(text, str)
    heard = answered(7, "/", args_of(text[3:]))
    assert (heard.ref, heard.alias, heard.code, heard.text) == (7, "/", reply.code, reply.text)
    if reply.data is None:
        assert heard.data is None
    else:
        assert isinstance(heard.data, Args) and isinstance(reply.data, Body)
        assert heard.data.one_value == reply.data.one_value


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "[1,2]",
        '[{"error":{"text":"no code"}}]',
        '[{"error":{"code":"a"}},1]',
        '[{"error":{"code":"a"},"more":1}]',
        '[{"error":{"code":"a","more":1}}]',
        '[{"error":{"code":1}}]',
        '[{"error":"a"}]',
        '[{"error":null}]',
        '[ {"error":{"code":"a"}}]',
    ],
)
def test_an_acknowledgement_that_is_no_error_of_ours_is_an_answer(text: str) -> None:
    heard = answered(7, "/chat", args_of(text))
    assert (heard.code, heard.text) == ("", "")
    assert isinstance(heard.data, Args) and heard.data.raw == text


def test_an_acknowledgement_with_bytes_is_an_answer() -> None:
    args = Args(b'[{"error":{"code":"a","data":null}}]', Form.JSON, Shape.LIST, ((29, b"x"),))
    assert answered(7, "/", args).data is args


def test_a_problem_is_its_code_its_text_and_perhaps_its_data() -> None:
    assert problem("no", "not you") == {"code": "no", "text": "not you"}
    assert problem("no", "", 0) == {"code": "no", "text": "", "data": 0}


# --- namespaces -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("alias", "where"), [("/", ""), ("/chat", "/chat,"), ("/é", "/é,")])
def test_a_namespace_is_joined_refused_and_left(alias: str, where: str) -> None:
    said = [
        connect(alias),
        connect(alias, {"sid": "a"}),
        refuse(alias, {"message": "no"}),
        disconnect(alias),
    ]
    assert [told(payload) for payload in said] == [
        [f"40{where}"],
        [f'40{where}{{"sid":"a"}}'],
        [f'44{where}{{"message":"no"}}'],
        [f"41{where}"],
    ]
    assert not any(payload.counted for payload in said)


def test_presence_is_an_event_without_a_mark() -> None:
    change = Presence("/chat", {"ana": [{"on": "phone"}]}, {"bo": [{}]})
    for codec in (PLAIN, MARKED):
        payload = codec.presence("/chat", change)
        assert told(payload) == [
            '42/chat,["presence",{"joined":{"ana":[{"on":"phone"}]},"left":{"bo":[{}]},"whole":false}]'
        ]
        assert not payload.counted
