"""Frames of SockJS."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import Body
from anywire.errors import ProtocolError
from anywire.frames import At, Presence
from anywire.limits import Limits
from anywire.payload import Message
from anywire.wires.sockjs.codec import (
    HEARTBEAT,
    MESSAGES,
    OPEN,
    SOCKJS,
    closed,
    items,
    quoted,
)

MANGLED = [
    *range(0x20),
    *range(0x200C, 0x2010),
    *range(0x2028, 0x2030),
    *range(0x2060, 0x2070),
    *range(0xFFF0, 0x10000),
]
"""JSON Unicode Encoding: what a server must escape, but surrogates, which no text of ours has."""


def written(event: str, *args: object, volatile: bool = False) -> bytes:
    payload = SOCKJS.event("echo", event, Body.of(*args), At("echo", volatile=volatile))
    assert payload.is_text and payload.volatile is volatile
    return payload.data


@pytest.mark.parametrize(
    ("event", "args", "frame"),
    [
        ("message", ("hi",), b'a["hi"]'),
        ("message", ("",), b'a[""]'),
        ("message", ('say "hi"\n',), b'a["say \\"hi\\"\\n"]'),
        ("message", (b"\x00\xff",), b'a["AP8="]'),
        ("message", ({"a": 1},), b'a["{\\"a\\":1}"]'),
        ("message", (5,), b'a["5"]'),
        ("message", (1, 2), b'a["[1,2]"]'),
        ("message", ({"event": "x"},), rb'a["{\"event\":\"message\",\"data\":{\"event\":\"x\"}}"]'),
        ("said", ("hi",), rb'a["{\"event\":\"said\",\"data\":\"hi\"}"]'),
        ("said", (), rb'a["{\"event\":\"said\"}"]'),
        ("said", (b"\x00",), rb'a["{\"event\":\"said\",\"data\":\"AA==\"}"]'),
    ],
)
def test_a_message_is_an_array_of_one(event: str, args: tuple[object, ...], frame: bytes) -> None:
    assert written(event, *args) == frame
    assert written(event, *args, volatile=True) == frame


def test_bytes_that_were_kept_are_base64_too() -> None:
    body = Body(b"[null]", ((1, b"\x00\xff"),))
    assert SOCKJS.event("echo", "message", body, At("echo")).data == b'a["AP8="]'


def test_presence_is_an_event() -> None:
    frame = SOCKJS.presence("echo", Presence("echo", {"\u200d": [1]}, {})).data
    assert frame == (
        rb'a["{\"event\":\"presence\",\"data\":'
        rb'{\"joined\":{\"\u200d\":[1]},\"left\":{},\"whole\":false}}"]'
    )


def test_what_browsers_mangle_is_escaped() -> None:
    for code in MANGLED:
        text = f"a{chr(code)}\u00e9"
        assert chr(code) not in quoted(text).decode()
        assert json.loads(quoted(text)) == text
    assert quoted("\u200c\u2028\u206f\uffff") == rb'"\u200c\u2028\u206f\uffff"'


def test_nothing_else_is_escaped() -> None:
    rest = [chr(code) for code in range(0x20, 0x11000) if not 0xD800 <= code < 0xE000]
    text = "".join(one for one in rest if ord(one) not in MANGLED and one not in '"\\')
    assert quoted(text).decode() == f'"{text}"'


@given(st.text())
def test_a_quoted_text_is_read_as_it_was(text: str) -> None:
    assert json.loads(quoted(text)) == text
    assert items(quoted(text).decode(), Limits()) == [text]


def test_frames_without_messages_are_the_same_for_all() -> None:
    assert (OPEN.data, HEARTBEAT.data) == (b"o", b"h")
    assert not (OPEN.counted or HEARTBEAT.counted)


@pytest.mark.parametrize(
    ("code", "text", "frame"),
    [
        (3000, "Go away!", b'c[3000,"Go away!"]'),
        (2010, "", b'c[2010,""]'),
        (4403, '"no"\u2028', b'c[4403,"\\"no\\"\\u2028"]'),
        (4403, "\ud800", b'c[4403,"?"]'),
    ],
)
def test_the_end_has_a_code_and_a_reason(code: int, text: str, frame: bytes) -> None:
    assert closed(code, text).data == frame


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("", []),
        ("[]", []),
        (' ["a" , "b"]\r\n', ["a", "b"]),
        ('["\\ud83d\\ude00"]', ["\U0001f600"]),
        ('"a"', ["a"]),
        ("5", ["5"]),
        ('\n{"a": [1, "b"]} ', ['{"a": [1, "b"]}']),
        ('[1, "a\\n", null, {"b": 1}, [2]]', ["1", "a\n", "null", '{"b": 1}', "[2]"]),
    ],
)
def test_a_peer_sends_messages_in_arrays_or_alone(message: str, found: list[str]) -> None:
    assert list(items(message, Limits())) == found


def test_half_a_character_is_what_stands_for_it() -> None:
    told = r'["\ud800","a\udfffb","\udc00\ud800","x\ud83d","\ud83d\ude00","\\ud800"]'
    halves = ["\ufffd", "a\ufffdb", "\ufffd\ufffd", "x\ufffd", "\U0001f600", "\\ud800"]
    assert items(told, Limits()) == halves


@pytest.mark.parametrize(
    "message", ["[", '["a', '["a"', '["a"]]', "{", "a", " ", "[1,]", '["\ud800"]']
)
def test_broken_json_is_refused(message: str) -> None:
    with pytest.raises(ProtocolError, match="Broken JSON encoding") as caught:
        items(message, Limits())
    assert caught.value.code == 1007


def test_messages_are_text() -> None:
    with pytest.raises(ProtocolError) as caught:
        items(b'["a"]', Limits())
    assert caught.value.code == 1003


def test_an_array_has_so_many_messages() -> None:
    assert len(items(json.dumps([""] * MESSAGES), Limits())) == MESSAGES
    for item in ("", 1):
        with pytest.raises(ProtocolError, match=f"at most {MESSAGES}") as caught:
            items(json.dumps([item] * (MESSAGES + 1)), Limits())
        assert caught.value.code == 1009


def test_what_is_no_text_nests_so_deep() -> None:
    deep = f"[{'[' * 3}{']' * 3}]"
    assert items(deep, Limits(nesting=3)) == ["[[[]]]"]
    with pytest.raises(ProtocolError, match="at most 2 deep"):
        items(deep, Limits(nesting=2))


@given(st.text() | st.text('[]{}",:\\ud8 0'))
def test_anything_is_messages_or_refused(message: Message) -> None:
    try:
        found = items(message, Limits())
    except ProtocolError:
        return
    assert all(isinstance(one, str) for one in found)
