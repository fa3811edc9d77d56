"""How SignalR's messages are written, byte for byte as the official client and documents do."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import NO_BODY, Body, Form
from anywire.errors import Refused
from anywire.frames import At, Presence
from anywire.limits import Limits
from anywire.payload import Payload
from anywire.wires.base import Cap
from anywire.wires.signalr.codec import (
    ACK,
    INVOCATION,
    JSON,
    MSGPACK,
    PROTOCOLS,
    SEQUENCE,
    STREAM_INVOCATION,
    SignalRCodec,
    asked,
    problem,
    question,
    told,
)
from anywire.wires.signalr.reading import read_json, read_msgpack
from tests.contracts.wire import values

BOTH = pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=lambda codec: codec.name)
HERE = At("chat")


def texts(payload: Payload) -> str:
    assert payload.is_text and payload.data.endswith(b"\x1e")
    return payload.data[:-1].decode()


# --- messages -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payloads", "text", "packed"),
    [
        (
            [codec.event("chat", "say", Body.of("hi", 7), HERE) for codec in (JSON, MSGPACK)],
            '{"type":1,"target":"say","arguments":["hi",7]}',
            "0e960180c0a373617992a268690790",
        ),
        (
            [codec.invoke(INVOCATION, "say", NO_BODY) for codec in (JSON, MSGPACK)],
            '{"type":1,"target":"say","arguments":[]}',
            "0a960180c0a37361799090",
        ),
        (
            [
                codec.event("c", "Ask", Body.of(1), At("c", None, None, 5))
                for codec in (JSON, MSGPACK)
            ],
            '{"type":1,"target":"Ask","arguments":[1],"invocationId":"~5"}',
            "0d960180a27e35a341736b910190",
        ),
        (
            [
                codec.invoke(INVOCATION, "Sum", NO_BODY, id="3", streams=("2",))
                for codec in (JSON, MSGPACK)
            ],
            '{"type":1,"target":"Sum","arguments":[],"invocationId":"3","streamIds":["2"]}',
            "0d960180a133a353756d9091a132",
        ),
        (
            [
                codec.invoke(STREAM_INVOCATION, "Counter", Body.of(3, 0.5), id="1")
                for codec in (JSON, MSGPACK)
            ],
            '{"type":4,"target":"Counter","arguments":[3,0.5],"invocationId":"1"}',
            "19960480a131a7436f756e7465729203cb3fe000000000000090",
        ),
        (
            [codec.item("2", Body.of(5)) for codec in (JSON, MSGPACK)],
            '{"type":2,"invocationId":"2","item":5}',
            "06940280a13205",
        ),
        (
            [codec.item("2", Body.of(None)) for codec in (JSON, MSGPACK)],
            '{"type":2,"invocationId":"2","item":null}',
            "06940280a132c0",
        ),
        (
            [codec.result("2", None) for codec in (JSON, MSGPACK)],
            '{"type":3,"invocationId":"2"}',
            "06940380a13202",
        ),
        (
            [codec.result("2", NO_BODY) for codec in (JSON, MSGPACK)],
            '{"type":3,"invocationId":"2"}',
            "06940380a13202",
        ),
        (
            [codec.result("~1", Body.of(42)) for codec in (JSON, MSGPACK)],
            '{"type":3,"invocationId":"~1","result":42}',
            "08950380a27e31032a",
        ),
        (
            [codec.result("~1", Body.of(None)) for codec in (JSON, MSGPACK)],
            '{"type":3,"invocationId":"~1","result":null}',
            "08950380a27e3103c0",
        ),
        (
            [codec.result("1", Body.of("a", 2)) for codec in (JSON, MSGPACK)],
            '{"type":3,"invocationId":"1","result":["a",2]}',
            "0a950380a1310392a16102",
        ),
        (
            [codec.failure("2", "boom") for codec in (JSON, MSGPACK)],
            '{"type":3,"invocationId":"2","error":"boom"}',
            "0b950380a13201a4626f6f6d",
        ),
        (
            [codec.cancel("1") for codec in (JSON, MSGPACK)],
            '{"type":5,"invocationId":"1"}',
            "05930580a131",
        ),
        ([codec.ping for codec in (JSON, MSGPACK)], '{"type":6}', "029106"),
        (
            [codec.close(None, may_return=False) for codec in (JSON, MSGPACK)],
            '{"type":7}',
            "049307c0c2",
        ),
        (
            [codec.close("no", may_return=True) for codec in (JSON, MSGPACK)],
            '{"type":7,"error":"no","allowReconnect":true}',
            "069307a26e6fc3",
        ),
        (
            [codec.count(ACK, 5) for codec in (JSON, MSGPACK)],
            '{"type":8,"sequenceId":5}',
            "03920805",
        ),
        (
            [codec.count(SEQUENCE, 300) for codec in (JSON, MSGPACK)],
            '{"type":9,"sequenceId":300}',
            "059209cd012c",
        ),
        (
            [
                codec.presence("chat", Presence("chat", {"ana": [{}]}, {}, whole=True))
                for codec in (JSON, MSGPACK)
            ],
            '{"type":1,"target":"presence","arguments":'
            '[{"joined":{"ana":[{}]},"left":{},"whole":true}]}',
            "2b960180c0a870726573656e63659183a66a6f696e656481a3616e619180a46c65667480a577686f6c65c390",
        ),
    ],
    ids=lambda case: case if isinstance(case, str) and case[0] == "{" else "",
)
def test_both_encodings_of_a_message(payloads: list[Payload], text: str, packed: str) -> None:
    assert [texts(payloads[0]), payloads[1].data.hex()] == [text, packed]
    assert not payloads[1].is_text


def test_a_message_over_127_bytes_has_a_longer_length() -> None:
    data = MSGPACK.invoke(INVOCATION, "x" * 200, NO_BODY).data
    assert data.hex() == "d001960180c0d9c8" + "78" * 200 + "9090"


def test_bytes_are_bytes_or_base64() -> None:
    body = Body.of(b"\x01\x02\x03")
    assert JSON.event("c", "x", body, HERE).data == (
        b'{"type":1,"target":"x","arguments":["AQID"]}\x1e'
    )
    assert MSGPACK.event("c", "x", body, HERE).data.hex() == "0d960180c0a17891c40301020390"
    assert (JSON.caps & Cap.BINARY, MSGPACK.caps & Cap.BINARY) == (Cap.NONE, Cap.BINARY)


def test_no_text_of_the_application_ends_a_message() -> None:
    odd = '\x1e\r\n"}\u2028'
    (event, item, failure) = (
        JSON.event("c", odd, Body.of({odd: odd}), HERE),
        JSON.item(odd, Body.of(odd)),
        JSON.failure(odd, odd),
    )
    for payload in (event, item, failure, JSON.close(odd, may_return=False), JSON.cancel(odd)):
        text = texts(payload)
        assert "\x1e" not in text and "\n" not in text and "\r" not in text
        assert isinstance(json.loads(text), dict)


@BOTH
def test_messages_of_the_types_1_to_5_are_counted_and_no_others(codec: SignalRCodec) -> None:
    body = Body.of(1)
    for counted in (
        codec.event("c", "e", body, HERE),
        codec.presence("c", Presence("c", {}, {}, whole=False)),
        codec.invoke(INVOCATION, "e", body),
        codec.item("1", body),
        codec.result("1", body),
        codec.result("1", None),
        codec.failure("1", "no"),
        codec.cancel("1"),
    ):
        assert counted.counted
    for other in (
        codec.ping,
        codec.close(None, may_return=False),
        codec.count(ACK, 1),
        codec.count(SEQUENCE, 1),
    ):
        assert not other.counted


@BOTH
def test_only_what_may_be_lost_is_volatile(codec: SignalRCodec) -> None:
    volatile = At("c", volatile=True)
    assert codec.event("c", "e", NO_BODY, volatile).volatile
    assert codec.event("c", "e", NO_BODY, At("c", ref="1", volatile=True)).volatile
    assert not codec.event("c", "e", NO_BODY, HERE).volatile
    assert not codec.invoke(INVOCATION, "e", NO_BODY).volatile
    assert not codec.item("1", NO_BODY).volatile


def test_a_handshake_calls_them_by_these_names() -> None:
    assert {"json": JSON, "messagepack": MSGPACK} == PROTOCOLS
    assert (JSON.form, MSGPACK.form) == (Form.JSON, Form.MSGPACK)
    assert JSON.name != MSGPACK.name


@BOTH
@given(args=st.lists(values, max_size=3), id=st.text(max_size=9), target=st.text(max_size=20))
def test_what_is_written_is_read(
    codec: SignalRCodec, args: list[object], id: str, target: str
) -> None:
    limits = Limits(message=1 << 20)
    read = read_json if codec is JSON else read_msgpack

    def back(payload: Payload) -> object:
        data = payload.data[:-1] if codec is JSON else payload.data[1 + (payload.data[0] > 0x7F) :]
        return read(data, limits)

    try:
        body = Body.of(*args)
    except ValueError:
        return
    said = back(codec.invoke(INVOCATION, target, body, id=id, streams=("a", "b")))
    assert said is not None
    assert (said.type, said.target, said.invocation_id) == (1, target, id)  # type: ignore[attr-defined]
    assert said.stream_ids == ["a", "b"]  # type: ignore[attr-defined]
    failed = back(codec.failure(id, "x"))
    assert (failed.invocation_id, failed.error) == (id, "x")  # type: ignore[attr-defined]


# --- ids and errors -------------------------------------------------------------------------------


@given(st.integers(0, 10**18 - 1))
def test_the_id_of_a_question_has_its_ref(ref: int) -> None:
    assert asked(question(ref)) == asked(question(str(ref))) == ref


@pytest.mark.parametrize(
    "id", ["", "~", "1", "~x", "~-1", "~1.0", "~ 1", "~\u0663", "~" + "1" * 19]
)
def test_another_id_is_no_question_of_ours(id: str) -> None:
    assert asked(id) is None


@pytest.mark.parametrize(
    ("code", "text", "error"),
    [
        ("busy", "later", "busy: later"),
        ("busy", "", "busy"),
        ("staff_only", "a: b\nc", "staff_only: a: b\nc"),
    ],
)
def test_an_error_is_a_text_that_has_its_code(code: str, text: str, error: str) -> None:
    assert problem(code, text) == error
    assert told(error) == (code, text)


@pytest.mark.parametrize("error", ["", "Error: boom", "no such method!", "x" * 50, "a:b", "é: x"])
def test_an_error_of_anybody_else_is_a_text_alone(error: str) -> None:
    assert told(error) == ("failed", error)
    Refused(*told(error))
