"""The codecs: what is spliced, and what is checked before it is read."""

import msgspec
import pytest

from anywire.body import Args, Body, Form, Shape
from anywire.errors import ProtocolError
from anywire.frames import At, Beat, Event, Join, Position, Want
from anywire.limits import Limits
from anywire.wires.anywire.codec import JSON, MSGPACK, OwnCodec, write
from anywire.wires.base import Cap

CODECS = pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=lambda codec: codec.name)
AT = At("chat/engineering", Position(13, "k3"), mark=5, volatile=True)


def read(payload: object) -> dict[str, object]:
    data = payload.data  # type: ignore[attr-defined]
    is_text = payload.is_text  # type: ignore[attr-defined]
    told: dict[str, object] = (msgspec.json if is_text else msgspec.msgpack).decode(data)
    return told


@CODECS
def test_an_event_tells_its_room_and_place(codec: OwnCodec) -> None:
    payload = codec.event("chat", "said", Body.of({"text": "\u2713"}), AT)
    assert read(payload) == {
        "type": "event",
        "address": "chat",
        "event": "said",
        "data": {"text": "\u2713"},
        "room": "chat/engineering",
        "offset": 13,
        "epoch": "k3",
        "volatile": True,
    }
    assert payload.volatile and payload.counted


@CODECS
def test_an_event_in_the_room_of_its_address_tells_no_room(codec: OwnCodec) -> None:
    payload = codec.event("chat:lobby", "tick", Body.of(), At("chat:lobby"))
    assert read(payload) == {"type": "event", "address": "chat:lobby", "event": "tick"}


@CODECS
def test_a_broadcast_that_wants_answers_is_a_call(codec: OwnCodec) -> None:
    payload = codec.event("a", "ask", Body.of(1, 2), At("a", ref="n1.7"))
    told = {"type": "call", "ref": "n1.7", "address": "a", "event": "ask", "args": [1, 2]}
    assert read(payload) == told


@CODECS
@pytest.mark.parametrize(
    ("body", "members"),
    [
        (Body.of(), {}),
        (Body.of(1), {"data": 1}),
        (Body.of([1]), {"data": [1]}),
        (Body.of(None), {"args": [None]}),
        (Body.of(1, None), {"args": [1, None]}),
        (Body.of(1, None, names=("a", "b")), {"data": {"a": 1, "b": None}}),
        (Body.of(None, names=("a",)), {"data": {"a": None}}),
        (Body(b"[null]", names=("a", "b")), {"args": [None]}),
    ],
    ids=repr,
)
def test_arguments_are_one_value_or_a_list(
    codec: OwnCodec, body: Body, members: dict[str, object]
) -> None:
    told = read(codec.event("a", "b", body, At("a")))
    assert {name: told[name] for name in ("data", "args") if name in told} == members
    assert read(codec.message(dict(codec.arguments(body)))) == members


def made_again(body: Body) -> bytes:
    raise AssertionError("made again")


def test_a_body_is_encoded_once_for_all_lanes_of_a_codec() -> None:
    body = Body.of({"text": "hi"})
    for alias in ("a", "b"):
        JSON.event(alias, "said", body, At("a"))
        MSGPACK.event(alias, "said", body, At("a"))
    assert body.derived("anywire.json", made_again) == b',"data":{"text":"hi"}'
    assert body.derived("anywire.msgpack", made_again) == b"\xa4data" + body.packed_one


def test_messagepack_keeps_bytes_and_json_makes_them_text() -> None:
    body = Body.of({"a": b"\xff"})
    assert read(MSGPACK.event("a", "b", body, At("a")))["data"] == {"a": b"\xff"}
    assert read(JSON.event("a", "b", body, At("a")))["data"] == {"a": "/w=="}
    assert Cap.BINARY in MSGPACK.caps and Cap.BINARY not in JSON.caps


@CODECS
def test_arguments_as_a_peer_wrote_them_can_be_sent_on(codec: OwnCodec) -> None:
    args = Args(b"[1,2]", Form.JSON, Shape.LIST)
    event = write(Event("a", "b", args), codec)
    assert read(event) == {"type": "event", "address": "a", "event": "b", "args": [1, 2]}
    join = write(Join(1, "a", "a", Args(b'{"x":1}')), codec)
    assert read(join)["params"] == {"x": 1}


@CODECS
def test_an_event_with_a_key_or_a_question_is_written_whole(codec: OwnCodec) -> None:
    event = write(Event("a", "b", Body.of(1), id="k", volatile=True), codec)
    assert read(event)["id"] == "k" and read(event)["volatile"] is True
    assert event.volatile
    call = write(Event("a", "b", Body.of(1), ref=1, want=Want.STREAM, streams=(2,)), codec)
    assert (read(call)["stream"], read(call)["uploads"]) == (True, [2])


LIMITS = Limits(message=100, nesting=3)


def refused(codec: OwnCodec, message: str | bytes) -> ProtocolError:
    errors = []
    for receive in (codec.from_client, codec.from_server):
        with pytest.raises(ProtocolError) as caught:
            receive(message, LIMITS)
        errors.append(caught.value)
    assert errors[0].code == errors[1].code
    return errors[0]


@pytest.mark.parametrize("text", ["x" * 101, "\u20ac" * 34, '"' + "\u20ac" * 40 + '"'])
def test_text_over_the_limit_is_refused_by_its_bytes(text: str) -> None:
    assert refused(JSON, text).code == 1009


def test_text_of_just_the_limit_is_read() -> None:
    text = '{"type":"bye","code":1000,"text":"%s"}'
    exact = text % ("x" * (102 - len(text)))
    assert len(exact) == 100
    JSON.from_client(exact, LIMITS)
    wide = text % ("\u20ac" * ((102 - len(text)) // 3))
    JSON.from_client(wide, LIMITS)


def test_binary_over_the_limit_is_refused() -> None:
    assert refused(MSGPACK, b"\xc4\x62" + b"x" * 99).code == 1009
    packed = msgspec.msgpack.encode({"type": "bye", "code": 1000, "text": "x" * 70})
    assert len(packed) <= 100
    MSGPACK.from_client(packed, LIMITS)


def test_each_codec_takes_its_own_kind_of_message() -> None:
    assert refused(JSON, b"{}").code == 1003
    assert refused(MSGPACK, "{}").code == 1003


@CODECS
def test_a_payload_nests_as_deep_as_allowed_and_no_deeper(codec: OwnCodec) -> None:
    for depth, is_read in ((3, True), (4, True), (5, False), (7, False)):
        value: object = 1
        for _ in range(depth):
            value = [value]
        (message,) = write(Event("a", "b", Body.of(value)), codec).messages()
        if is_read:
            codec.from_client(message, LIMITS)
        elif depth == 7:
            assert "3 deep" in refused(codec, message).reason
        else:  # a server's may be deeper: payloads stand in a list in the answer to `past`
            with pytest.raises(ProtocolError, match="3 deep"):
                codec.from_client(message, LIMITS)
            codec.from_server(message, LIMITS)


@pytest.mark.parametrize(
    ("codec", "message"),
    [
        (JSON, ""),
        (JSON, "nonsense \u20ac" * 5),
        (
            JSON,
            '{"type":"\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac"}',
        ),
        (MSGPACK, b""),
        (MSGPACK, b"\xc1"),
        (MSGPACK, b"\x81\xa4type\xa1\xff"),
    ],
)
def test_a_reason_fits_into_a_close_frame(codec: OwnCodec, message: str | bytes) -> None:
    error = refused(codec, message)
    assert error.code == 4400
    assert 0 < len(error.reason.encode()) <= 123


def test_nesting_without_end_is_no_stack_overflow() -> None:
    limits = Limits(message=1 << 20, nesting=1 << 20)
    with pytest.raises(ProtocolError):
        JSON.from_client("[" * 100_000, limits)
    with pytest.raises(ProtocolError):
        JSON.from_client('{"x":' * 100_000, limits)


def test_a_beat_is_not_written_here() -> None:
    with pytest.raises(KeyError):
        write(Beat(), JSON)
