"""What both ends of Phoenix write, and how a server reads it; transcripts have more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import Form
from anywire.errors import ProtocolError
from anywire.limits import Limits
from anywire.payload import Message
from anywire.wires.phoenix.messages import (
    Kind,
    Push,
    binary,
    first,
    read_first,
    read_second,
    second,
    unpacked,
)

LIMITS = Limits()
refs = st.none() | st.text(max_size=60) | st.integers(-(2**63), 2**63 - 1)


def code(read: object, message: Message, limits: Limits = LIMITS) -> int:
    assert callable(read)
    with pytest.raises(ProtocolError) as caught:
        read(message, limits)
    return caught.value.code


def seen(push: Push) -> tuple[object, ...]:
    return (push.join_ref, push.ref, push.topic, push.event, push.args.value())


@given(refs, refs, st.text(), st.text())
def test_a_message_of_the_second_serializer_is_read_as_it_was_written(
    join_ref: str | int | None, ref: str | int | None, topic: str, event: str
) -> None:
    text = second(join_ref, ref, topic, event, b'{"a":[1,null]}').decode()
    assert seen(read_second(text, LIMITS)) == (join_ref, ref, topic, event, {"a": [1, None]})


@given(refs, st.text(), st.text())
def test_a_message_of_the_first_serializer_has_no_ref_of_the_join(
    ref: str | int | None, topic: str, event: str
) -> None:
    text = first("of the join", ref, topic, event, b"[]").decode()
    assert "of the join" not in text
    assert seen(read_first(text, LIMITS)) == (None, ref, topic, event, [])


def test_the_first_serializer_may_name_the_join_and_need_not_name_itself() -> None:
    text = '{"join_ref":"1","payload":{},"event":"say","topic":"room"}'
    assert seen(read_first(text, LIMITS)) == ("1", None, "room", "say", {})


@given(st.lists(st.text(max_size=60), min_size=4, max_size=4), st.binary())
def test_a_binary_message_is_read_as_it_was_written(texts: list[str], data: bytes) -> None:
    packed = binary(Kind.PUSH, texts, data)
    assert packed is not None
    assert unpacked(packed, Kind.PUSH, 4, LIMITS) == (texts, data)
    push = read_second(packed, LIMITS)
    join_ref, ref, topic, event = texts
    assert (push.join_ref, push.ref) == (join_ref or None, ref or None)
    assert (push.topic, push.event, push.args.value()) == (topic, event, data)
    assert push.args.form is Form.BYTES


def test_a_text_in_a_binary_message_has_255_bytes_at_most() -> None:
    for text, fits in (("x" * 255, True), ("x" * 256, False), ("ü" * 128, False)):
        assert (binary(Kind.BROADCAST, (text, "said"), b"1") is not None) is fits


def test_what_is_too_large_is_refused_before_it_is_read() -> None:
    limits = Limits(message=50)
    for text in ("[" * 51, '["1","1","room","say","' + "ü" * 20 + '"]'):
        assert code(read_second, text, limits) == 1009
        assert code(read_first, text, limits) == 1009
    assert code(read_second, b"\0" * 51, limits) == 1009
    exact = '["1","1","room","say","' + "x" * 25 + '"]'
    assert len(exact) == 50
    assert read_second(exact, limits).event == "say"


@pytest.mark.parametrize("read", [read_first, read_second])
def test_a_payload_nests_as_deep_as_is_allowed(read: object) -> None:
    write = first if read is read_first else second
    for depth, is_refused in ((LIMITS.nesting, False), (LIMITS.nesting + 1, True)):
        payload = b"[" * depth + b"]" * depth
        text = write("1", "1", "room", "say", payload).decode()
        if is_refused:
            assert code(read, text) == 4400
        else:
            assert callable(read) and read(text, LIMITS).event == "say"
    for bomb in ("[" * 30_000, '{"a":' * 10_000):
        assert code(read, bomb) == 4400


def test_a_ref_is_short_text_or_a_plain_integer_or_nothing() -> None:
    for ref in ("x" * 255, 0, -(2**63), 2**63 - 1, None):
        assert read_second(second(ref, ref, "a", "b", b"1").decode(), LIMITS).ref == ref
    for wrong in ('"' + "x" * 256 + '"', '"' + "ü" * 128 + '"', str(2**63), "1.5", "true", "[]"):
        for place in ((wrong, "null"), ("null", wrong)):
            assert code(read_second, '[{},{},"a","b",1]'.format(*place)) == 4400
        assert code(read_first, f'{{"topic":"a","event":"b","payload":1,"ref":{wrong}}}') == 4400


def test_the_first_serializer_has_no_binary_messages() -> None:
    assert code(read_first, b"\0\0\0\0\0") == 1003


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"", 4400),
        (b"\0\1\1\1", 4400),
        (b"\0\1\1\1\1abc", 4400),
        (b"\1\0\0\0\0", 4400),
        (b"\2\0\0\0\0", 4400),
        (b"\0\0\0\1\0\xff", 1007),
    ],
)
def test_what_is_no_binary_push_is_refused(message: bytes, expected: int) -> None:
    assert code(read_second, message) == expected


@given(st.text() | st.binary())
def test_junk_is_a_push_or_a_protocol_error(junk: Message) -> None:
    for read in (read_first, read_second):
        try:
            read(junk, LIMITS)
        except ProtocolError as error:
            assert error.code in (1003, 1007, 1009, 4400)
            assert len(error.reason.encode()) <= 123
