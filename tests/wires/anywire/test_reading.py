"""What a client reads of answers: whole messages, wherever they are cut (more in the vectors)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anywire.errors import ProtocolError
from anywire.payload import Carrier, Message, Payload
from anywire.wires.anywire.bodies import downlink, pack
from anywire.wires.anywire.reading import Farewell, Reader, Said, reader

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "anywire" / "streams.json").read_text("utf-8")
)
KINDS = [
    (Carrier.EVENTS, False),
    (Carrier.STREAM, False),
    (Carrier.STREAM, True),
    (Carrier.POLL, False),
    (Carrier.POLL, True),
]
# What the codecs write: a JSON text is neither empty nor blank, and its line breaks are escaped.
texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1).filter(
    lambda text: not text.isspace() and text[0] not in "!\x00"
)


def fresh(carrier: Carrier, is_binary: bool, largest: int = 1000) -> Reader:
    return reader(carrier, is_binary=is_binary, largest=largest)


def written(
    carrier: Carrier, is_binary: bool, messages: Sequence[Message], farewell: Farewell | None
) -> bytes:
    """As the server writes it, from the first byte on."""
    payloads = [Payload.of(message) for message in messages]
    down = downlink(carrier, is_binary=is_binary, wait=1.0, gap=1.0)
    if down.pack is not None:
        return pack(payloads)
    assert down.farewell is not None
    last = down.farewell(farewell.code, farewell.reason)[1] if farewell is not None else b""
    return down.prelude + b"".join([down.framing.frame(one) or b"" for one in payloads]) + last


def read(one: Reader, body: bytes, cuts: Sequence[int] = ()) -> list[Said]:
    """All that is said, with the body cut in these places."""
    said: list[Said] = []
    places = sorted({cut % (len(body) + 1) for cut in cuts})
    for begin, end in zip([0, *places], [*places, len(body)], strict=True):
        said += one.feed(body[begin:end])
    return [*said, *one.end()]


@pytest.mark.parametrize(("carrier", "is_binary"), KINDS)
@given(data=st.data())
def test_what_is_written_is_read_wherever_it_is_cut(
    carrier: Carrier, is_binary: bool, data: st.DataObject
) -> None:
    kind: Any = st.lists(st.binary(min_size=1)) if is_binary else st.lists(texts)
    messages: list[Message] = data.draw(kind)
    farewell = data.draw(
        st.none() | st.builds(Farewell, st.integers(1000, 4999), st.text(max_size=40))
    )
    if carrier is Carrier.POLL:
        farewell = None  # it stands in a header
    body = written(carrier, is_binary, messages, farewell)
    cuts = data.draw(st.lists(st.integers(0, 5000), max_size=8))
    expected: list[Said] = [*messages, *([farewell] if farewell is not None else [])]
    assert read(fresh(carrier, is_binary), body, cuts) == expected


@pytest.mark.parametrize(("carrier", "is_binary"), KINDS)
@given(body=st.binary(max_size=60))
@example(b"\x00")
@example(b"\x00\x00\x00\x01")
@example(b"\x01\x00\x00\x01!")
@example(b"!\x1e")
@example(b"event: close\ndata: \n\n")
def test_junk_is_said_or_a_protocol_error(carrier: Carrier, is_binary: bool, body: bytes) -> None:
    try:
        said = read(fresh(carrier, is_binary, largest=40), body)
    except ProtocolError as error:
        assert error.code in (1007, 1009) and error.reason
    else:
        assert all(isinstance(one, str | bytes | Farewell) for one in said)


@pytest.mark.parametrize("vector", VECTORS["streams"], ids=lambda vector: vector["name"])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_stream_is_read_as_the_vectors_say(vector: dict[str, Any], step: int) -> None:
    body = bytes.fromhex(vector["body"])
    one = fresh(Carrier(vector["carrier"]), vector["protocol"] == "anywire.msgpack.1")
    assert read(one, body, range(0, len(body), step)) == said_in(vector)


@pytest.mark.parametrize(
    "vector",
    [one for one in VECTORS["streams"] if one.get("written", True)],
    ids=lambda vector: vector["name"],
)
def test_a_stream_is_written_byte_for_byte(vector: dict[str, Any]) -> None:
    is_binary = vector["protocol"] == "anywire.msgpack.1"
    down = downlink(Carrier(vector["carrier"]), is_binary=is_binary, wait=1.0, gap=1.0)
    body = b""
    for one in said_in(vector):
        if isinstance(one, Farewell):
            assert down.farewell is not None
            body += down.farewell(*one)[1]
        else:
            body += down.framing.frame(Payload.of(one)) or b""
    assert body == bytes.fromhex(vector["body"])


def said_in(vector: dict[str, Any]) -> list[Said]:
    said: list[Said] = list(vector.get("texts", ()))
    said += [bytes.fromhex(one) for one in vector.get("binaries", ())]
    if "farewell" in vector:
        said.append(Farewell(vector["farewell"]["code"], vector["farewell"]["reason"]))
    return said


@pytest.mark.parametrize("vector", VECTORS["broken"], ids=lambda vector: vector["name"])
def test_a_broken_stream_is_closed_with_1007(vector: dict[str, Any]) -> None:
    is_binary = vector["protocol"] == "anywire.msgpack.1"
    with pytest.raises(ProtocolError) as caught:
        read(fresh(Carrier(vector["carrier"]), is_binary), bytes.fromhex(vector["body"]))
    assert caught.value.code == 1007


@pytest.mark.parametrize(
    ("carrier", "is_binary", "body"),
    [
        (Carrier.POLL, False, b"x" * 11),
        (Carrier.STREAM, False, b"x" * 11),
        (Carrier.STREAM, False, b"x" * 11 + b"\x1e"),
        (Carrier.EVENTS, False, b"data: " + b"x" * 11 + b"\n\n"),
        (Carrier.STREAM, False, b" " * 5000),
        (Carrier.STREAM, True, b"\x00\x00\x00\x0b"),
    ],
)
def test_what_is_larger_than_allowed_is_closed_with_1009(
    carrier: Carrier, is_binary: bool, body: bytes
) -> None:
    with pytest.raises(ProtocolError, match="of over 10 bytes") as caught:
        read(fresh(carrier, is_binary, largest=10), body)
    assert caught.value.code == 1009


@pytest.mark.parametrize(
    ("carrier", "is_binary", "body"),
    [
        (Carrier.POLL, False, b"x" * 10),
        (Carrier.STREAM, False, b"x" * 10 + b"\x1e" + b"y" * 10),
        (Carrier.EVENTS, False, b"data: xxxx\n\n"),
        (Carrier.STREAM, True, b"\x00\x00\x00\x0a" + b"x" * 10),
    ],
)
def test_what_is_as_large_as_allowed_is_read(
    carrier: Carrier, is_binary: bool, body: bytes
) -> None:
    assert len(read(fresh(carrier, is_binary, largest=10), body)) == 1


@pytest.mark.parametrize("text", ["", "soon", "²", "-1", " why"])
def test_a_farewell_without_a_code_is_that_of_a_cut(text: str) -> None:
    assert Farewell.of(text).code == 1006
