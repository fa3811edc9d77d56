"""How SignalR's messages are read: vectors of the official client, and what breaks the rules."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import Form
from anywire.errors import ProtocolError
from anywire.limits import Limits
from anywire.wires.signalr.reading import (
    Said,
    arguments,
    read_json,
    read_msgpack,
    result,
    value,
)

LIMITS = Limits()
pack = msgspec.msgpack.encode


def fields(said: Said | None, form: Form) -> dict[str, Any]:
    """What a message has, its data decoded."""
    assert said is not None
    found: dict[str, Any] = {}
    for name in said.__struct_fields__:
        held = getattr(said, name)
        if isinstance(held, msgspec.Raw):
            args = value(held, form)
            if args is not None:
                found[name] = args.value()
        elif held is not None:
            found[name] = held
    return found


def code(message: bytes, limits: Limits = LIMITS) -> int:
    """The close code of a message that breaks the rules."""
    read = read_json if message[:1] in (b"{", b"[", b'"', b" ") else read_msgpack
    with pytest.raises(ProtocolError) as caught:
        read(message, limits)
    assert len(caught.value.reason.encode()) <= 123
    return caught.value.code


# --- vectors --------------------------------------------------------------------------------------

VECTORS: list[tuple[str, str, dict[str, Any]]] = [
    (
        '{"type":1,"target":"say","arguments":["hi",7]}',
        "950180c0a373617992a2686907",
        {"type": 1, "target": "say", "arguments": ["hi", 7]},
    ),
    (
        '{"type":1,"target":"say","arguments":[],"streamIds":[]}',
        "960180c0a37361799090",
        {"type": 1, "target": "say", "arguments": [], "stream_ids": []},
    ),
    (
        '{"type":1,"invocationId":"0","target":"Add","arguments":[1,-2]}',
        "950180a130a34164649201fe",
        {"type": 1, "invocation_id": "0", "target": "Add", "arguments": [1, -2]},
    ),
    (
        '{"type":1,"headers":{"a":"b"},"target":"x","arguments":[]}',
        "950181a161a162c0a17890",
        {"type": 1, "target": "x", "arguments": []},
    ),
    (
        '{"type":4,"invocationId":"4","target":"EchoStream","arguments":[],"streamIds":["3"]}',
        "960480a134aa4563686f53747265616d9091a133",
        {
            "type": 4,
            "invocation_id": "4",
            "target": "EchoStream",
            "arguments": [],
            "stream_ids": ["3"],
        },
    ),
    (
        '{"type":4,"invocationId":"1","target":"Counter","arguments":[3,0.5]}',
        "950480a131a7436f756e7465729203cb3fe0000000000000",
        {"type": 4, "invocation_id": "1", "target": "Counter", "arguments": [3, 0.5]},
    ),
    (
        '{"type":2,"invocationId":"2","item":5}',
        "940280a13205",
        {"type": 2, "invocation_id": "2", "item": 5},
    ),
    (
        '{"type":2,"invocationId":"2","item":null}',
        "940280a132c0",
        {"type": 2, "invocation_id": "2", "item": None},
    ),
    ('{"type":3,"invocationId":"2"}', "940380a13202", {"type": 3, "invocation_id": "2"}),
    (
        '{"type":3,"invocationId":"2","error":"boom"}',
        "950380a13201a4626f6f6d",
        {"type": 3, "invocation_id": "2", "error": "boom"},
    ),
    (
        '{"type":3,"invocationId":"~1","result":42}',
        "950380a27e31032a",
        {"type": 3, "invocation_id": "~1", "result": 42},
    ),
    (
        '{"type":3,"invocationId":"~1","result":null}',
        "950380a27e3103c0",
        {"type": 3, "invocation_id": "~1", "result": None},
    ),
    ('{"type":5,"invocationId":"1"}', "930580a131", {"type": 5, "invocation_id": "1"}),
    ('{"type":6}', "9106", {"type": 6}),
    ('{"type":7}', "9207c0", {"type": 7}),
    (
        '{"type":7,"error":"no","allowReconnect":true}',
        "9307a26e6fc3",
        {"type": 7, "error": "no", "allow_reconnect": True},
    ),
    ('{"type":8,"sequenceId":5}', "920805", {"type": 8, "sequence_id": 5}),
    ('{"type":9,"sequenceId":300}', "9209cd012c", {"type": 9, "sequence_id": 300}),
]


@pytest.mark.parametrize(("text", "packed", "expected"), VECTORS, ids=lambda vector: str(vector))
def test_what_the_official_client_writes_is_read(
    text: str, packed: str, expected: dict[str, Any]
) -> None:
    assert fields(read_json(text.encode(), LIMITS), Form.JSON) == expected
    assert fields(read_msgpack(bytes.fromhex(packed), LIMITS), Form.MSGPACK) == expected


def test_what_nobody_knows_of_a_message_is_ignored() -> None:
    said = read_json(b' {"later":[{}], "type":6 ,"headers":7}\n', LIMITS)
    assert fields(said, Form.JSON) == {"type": 6}
    for more in ([6, 1, 2], [7, None, False, "more"], [8, 5, "more"], [5, {}, "1", "more"]):
        assert read_msgpack(pack(more), LIMITS) is not None
    said = read_msgpack(pack([1, 7, None, "x", [], None, "more"]), LIMITS)
    assert fields(said, Form.MSGPACK) == {"type": 1, "target": "x", "arguments": []}


@pytest.mark.parametrize("kind", [-1, 0, 10, 42, 2**40])
def test_a_message_of_a_type_that_nobody_knows_is_ignored(kind: int) -> None:
    assert read_msgpack(pack([kind, "what", {}]), LIMITS) is None
    for more in (
        "",
        ',"target":7',
        ',"error":{"a":[]},"invocationId":null',
        ',"sequenceId":-1',
        ',"error":"x","result":1',
    ):
        assert read_json(b'{"type":%d%b}' % (kind, more.encode()), LIMITS) is None


def test_what_an_invocation_carries_is_a_list_and_what_an_item_is_one_value() -> None:
    said = read_json(b'{"type":1,"target":"x","arguments": [1,[2]]}', LIMITS)
    assert said is not None
    assert arguments(said, Form.JSON).values() == [1, [2]]
    assert list(result(Said(3), Form.JSON).values()) == []
    none = read_json(b'{"type":3,"invocationId":"1","result":null}', LIMITS)
    assert none is not None
    data = result(none, Form.JSON)
    assert list(data.values()) == [None]
    assert value(Said(2).item, Form.JSON) is None


def test_a_completion_of_another_kind_has_no_result() -> None:
    said = read_msgpack(pack([3, {}, "1", 9, "x"]), LIMITS)
    assert fields(said, Form.MSGPACK) == {"type": 3, "invocation_id": "1"}


def test_an_error_that_says_nothing_is_one_all_the_same() -> None:
    for error in ("", None):
        said = read_msgpack(pack([3, {}, "1", 1, error]), LIMITS)
        assert said is not None
        assert said.error == "failed"
    empty = read_json(b'{"type":3,"invocationId":"1","error":""}', LIMITS)
    assert empty is not None
    assert empty.error == ""


# --- what breaks the rules ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        b" ",
        b"{",
        b"[]",
        b'""',
        b"{}",
        b'{"protocol":"json","version":1}',
        b'{"type":null}',
        b'{"type":"1"}',
        b'{"type":1.5}',
        b'{"type":true}',
        b'{"type":6}x',
        b'{"type":6}{"type":6}',
        b'{"type":1}',
        b'{"type":1,"target":"x"}',
        b'{"type":1,"target":null,"arguments":[]}',
        b'{"type":1,"arguments":[]}',
        b'{"type":1,"target":7,"arguments":[]}',
        b'{"type":1,"target":"x","arguments":{}}',
        b'{"type":1,"target":"x","arguments":null}',
        b'{"type":1,"target":"x","arguments":"[]"}',
        b'{"type":1,"target":"x","arguments":[}',
        b'{"type":1,"target":"x","arguments":[],"invocationId":7}',
        b'{"type":1,"target":"x","arguments":[],"streamIds":"a"}',
        b'{"type":1,"target":"x","arguments":[],"streamIds":[7]}',
        b'{"type":1,"target":"\xff","arguments":[]}',
        b'{"type":1,"target":"\\ud800',
        b'{"type":4,"target":"x","arguments":[]}',
        b'{"type":2,"item":1}',
        b'{"type":3}',
        b'{"type":3,"invocationId":"1","result":1,"error":"x"}',
        b'{"type":3,"invocationId":"1","error":7}',
        b'{"type":5}',
        b'{"type":8}',
        b'{"type":8,"sequenceId":-1}',
        b'{"type":8,"sequenceId":"1"}',
        b'{"type":9,"sequenceId":1.5}',
        b'{"type":9,"sequenceId":null}',
    ],
)
def test_json_that_is_no_message_breaks_the_rules(message: bytes) -> None:
    assert code(message) == 4400


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xc1",
        pack([]),
        pack({}),
        pack(6),
        pack(["6"]),
        pack([None]),
        pack([1.0]),
        pack([True]),
        pack([6]) + b"\x00",
        pack([1]),
        pack([1, {}, None, "x"]),
        pack([1, {}, None, None, []]),
        pack([1, {}, 7, "x", []]),
        pack([1, {}, None, b"x", []]),
        pack([1, {}, None, "x", {}]),
        pack([1, {}, None, "x", None]),
        pack([1, {}, None, "x", b""]),
        pack([1, {}, None, "x", [], "a"]),
        pack([1, {}, None, "x", [], [7]]),
        pack([4, {}, None, "x", []]),
        pack([2, {}, None, 1]),
        pack([2, {}, "1"]),
        pack([3, {}, "1"]),
        pack([3, {}, "1", 1]),
        pack([3, {}, "1", 3]),
        pack([3, {}, "1", "2"]),
        pack([3, {}, None, 2]),
        pack([5, {}]),
        pack([5, {}, None]),
        pack([7]),
        pack([7, 5]),
        pack([7, None, "yes"]),
        pack([8]),
        pack([8, -1]),
        pack([9, None]),
        pack([9, "1"]),
        b"\x95\x01\x80\xc0\xa1\xff\x90",  # no UTF-8
        b"\x95\x01\x80\xc0\xa1x",  # the last member is missing
        b"\x96\x01\x80\xc0\xa1x\x92\x01",  # a list of two has one
        b"\xdd\xff\xff\xff\xff\x06",  # a list of 4 GB
        b"\x95\x01\x80\xc0\xdb\xff\xff\xff\xffx\x90",  # a text of 4 GB
    ],
    ids=lambda message: message.hex(),
)
def test_messagepack_that_is_no_message_breaks_the_rules(message: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_msgpack(message, LIMITS)
    assert caught.value.code == 4400


@pytest.mark.parametrize("depth", [31, 32, 33, 34, 100_000])
def test_a_message_nests_so_deep_and_no_deeper(depth: int) -> None:
    inner = depth - 1  # the list of arguments is none of the payload
    text = b'{"type":1,"target":"x","arguments":[%b%b]}' % (b"[" * inner, b"]" * inner)
    object = b'{"a":' * inner + b"1" + b"}" * inner
    objects = b'{"type":1,"target":"x","arguments":[%b]}' % object
    packed = b"\x95\x01\x80\xc0\xa1x\x91" + b"\x91" * inner + b"\xc0"
    maps = b"\x95\x01\x80\xc0\xa1x\x91" + b"\x81\xa1a" * inner + b"\xc0"
    headers = b"\x95\x01" + b"\x81\xa1a" * depth + b"\xc0" + b"\xc0\xa1x\x90"
    for message in (text, objects):
        if depth > 33:
            assert code(message) == 4400
        else:
            assert read_json(message, LIMITS)
    for message in (packed, maps, headers):
        if depth > 33:
            with pytest.raises(ProtocolError):
                read_msgpack(message, LIMITS)
        else:
            assert read_msgpack(message, LIMITS)


def test_an_unknown_message_nests_no_deeper_either() -> None:
    assert code(b'{"type":42,"x":%b%b}' % (b"[" * 99, b"]" * 99)) == 4400
    with pytest.raises(ProtocolError):
        read_msgpack(b"\x92\x2a" + b"\x91" * 99 + b"\xc0", LIMITS)


def test_ids_are_short_and_uploads_few() -> None:
    def call(id: str = "1", streams: int = 0) -> bytes:
        ids = [str(n) for n in range(streams)]
        said = {"type": 1, "target": "x", "arguments": [], "invocationId": id, "streamIds": ids}
        return json.dumps(said).encode()

    assert read_json(call("x" * 64, 16), LIMITS)
    assert code(call("x" * 65)) == 4400
    assert code(call("1", 17)) == 4400
    assert code(call("1", 3), Limits(streams=2)) == 4400
    long = pack([1, {}, None, "x", [], ["x" * 65]])
    with pytest.raises(ProtocolError):
        read_msgpack(long, LIMITS)


@given(st.binary(max_size=60), st.sampled_from(VECTORS), st.integers(0, 60))
def test_any_bytes_are_a_message_or_break_the_rules_and_nothing_else(
    noise: bytes, vector: tuple[str, str, object], at: int
) -> None:
    for whole, read in (
        (vector[0].encode(), read_json),
        (bytes.fromhex(vector[1]), read_msgpack),
    ):
        for message in (noise, whole[:at] + noise, whole[:at] + noise + whole[at:], whole[:at]):
            try:
                said = read(message, LIMITS)
            except ProtocolError as error:
                assert error.code == 4400
            else:
                assert said is None or 1 <= said.type <= 9
