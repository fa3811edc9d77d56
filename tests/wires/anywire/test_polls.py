"""Bodies of long polls: whole messages there and back, and nothing else (more in the vectors)."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anywire.errors import ProtocolError
from anywire.payload import Message, Payload
from anywire.wires.anywire.polls import pack, unpack

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "anywire" / "polls.json").read_text("utf-8")
)
# What the codecs write: a JSON text is never empty and holds no U+001E; MessagePack is any bytes.
texts = st.text(st.characters(exclude_characters="\x1e", codec="utf-8"), min_size=1).filter(
    lambda text: not text.startswith("\x00")
)


@given(st.lists(texts) | st.lists(st.binary()))
@example(["{}"])
@example([b"", b""])
def test_a_body_holds_the_messages_that_were_packed(messages: list[Message]) -> None:
    body = pack([Payload.of(message) for message in messages])
    assert list(unpack(body)) == messages


@given(st.lists(texts, min_size=2) | st.lists(st.binary(), min_size=2))
def test_what_travels_together_is_packed_in_order(messages: list[Message]) -> None:
    first, *rest = map(Payload.of, messages)
    nested = Payload(first.data, is_text=first.is_text, rest=(Payload(b"n", is_text=False), *rest))
    nested.rest[0].rest = (Payload(b"m", is_text=False),)
    if first.is_text:
        body = pack([Payload(first.data, rest=tuple(rest))])
        assert list(unpack(body)) == messages
    else:
        assert list(unpack(pack([nested]))) == [messages[0], b"n", b"m", *messages[1:]]


@given(st.binary())
@example(b"\x00")
@example(b"\x00\x00\x00\x01")
@example(b"\x00\x00\x00\x00\x01\x00\x00\x00")
@example(b"\x00\x00\x00\x00\xff")
def test_junk_is_messages_or_a_protocol_error(body: bytes) -> None:
    try:
        messages = unpack(body)
    except ProtocolError as error:
        assert error.code == 1007 and error.reason
    else:
        assert len({type(message) for message in messages}) <= 1
        if messages and isinstance(messages[0], bytes):
            assert pack([Payload.of(message) for message in messages]) == body


def test_no_body_is_no_message() -> None:
    assert list(unpack(b"")) == []
    assert pack([]) == b""


@pytest.mark.parametrize("vector", VECTORS["bodies"], ids=lambda vector: vector["name"])
def test_a_body_is_written_and_read_byte_for_byte(vector: dict[str, Any]) -> None:
    body = bytes.fromhex(vector["body"])
    messages: list[Message] = vector.get("texts") or [
        bytes.fromhex(message) for message in vector.get("binaries", ())
    ]
    assert pack([Payload.of(message) for message in messages]) == body
    assert list(unpack(body)) == messages


@pytest.mark.parametrize("vector", VECTORS["broken"], ids=lambda vector: vector["name"])
def test_a_broken_body_is_closed_with_1007(vector: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        unpack(bytes.fromhex(vector["body"]))
    assert caught.value.code == 1007
