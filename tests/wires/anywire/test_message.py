"""Messages as structs: the checks that types alone do not make."""

import msgspec
import pytest

from anywire.body import NO_ARGS, Args, Form, Shape
from anywire.errors import ProtocolError
from anywire.frames import Event, Gap, Item, Past, Presence, Reply, Since, Want
from anywire.limits import Limits
from anywire.wires.anywire.codec import JSON, MSGPACK
from anywire.wires.anywire.message import arguments, broken, is_given, one_value

LIMITS = Limits(replay=500, streams=2)
NULLS = [(b"null", Form.JSON), (b"\xc0", Form.MSGPACK), (b"", Form.JSON), (b"", Form.MSGPACK)]


@pytest.mark.parametrize(("raw", "form"), NULLS)
def test_null_and_absent_are_the_same(raw: bytes, form: Form) -> None:
    assert not is_given(msgspec.Raw(raw), form)
    assert one_value(msgspec.Raw(raw), form) is None
    assert arguments(msgspec.Raw(raw), msgspec.Raw(raw), form) is NO_ARGS


@pytest.mark.parametrize(
    ("raw", "form"),
    [(b"true", Form.JSON), (b"0", Form.JSON), (b"\xc2", Form.MSGPACK), (b"\xa1x", Form.MSGPACK)],
)
def test_anything_else_is_given(raw: bytes, form: Form) -> None:
    args = arguments(msgspec.Raw(raw), msgspec.Raw(), form)
    assert (args.form, args.shape) == (form, Shape.ONE)
    assert len(args.values()) == 1


@pytest.mark.parametrize(
    "value", [[], list(range(3)), list(range(15)), list(range(16)), [1] * 70_000], ids=len
)
def test_lists_of_every_size_are_lists(value: list[int]) -> None:
    for raw, form in (
        (msgspec.json.encode(value), Form.JSON),
        (msgspec.msgpack.encode(value), Form.MSGPACK),
    ):
        args = arguments(msgspec.Raw(), msgspec.Raw(raw), form)
        assert args.shape is Shape.LIST
        assert args.values() == value


@pytest.mark.parametrize(
    ("raw", "form"),
    [
        (b"{}", Form.JSON),
        (b'"["', Form.JSON),
        (b"\x80", Form.MSGPACK),
        (b"\xa1\x90", Form.MSGPACK),
        (b"\xde\x00\x00", Form.MSGPACK),
    ],
)
def test_args_that_are_no_list_are_refused(raw: bytes, form: Form) -> None:
    with pytest.raises(ProtocolError, match="must be a list"):
        arguments(msgspec.Raw(), msgspec.Raw(raw), form)


def test_an_error_is_cut_between_letters() -> None:
    error = broken("\u20ac" * 60)
    assert (error.reason, error.code) == ("\u20ac" * 41, 4400)


def read(text: str) -> object:
    return JSON.from_client(text, LIMITS).frame(Form.JSON, LIMITS)


def heard(text: str) -> object:
    return JSON.from_server(text, LIMITS).frame(Form.JSON, LIMITS)


@pytest.mark.parametrize(("limit", "asked"), [("", 500), (',"limit":9', 9), (',"limit":9999', 500)])
def test_a_question_for_the_past_is_bounded(limit: str, asked: int) -> None:
    past = read(f'{{"type":"past","ref":1,"address":"a"{limit}}}')
    assert past == Past(1, "a", Since(), asked)


def test_uploads_are_bounded() -> None:
    call = '{"type":"call","ref":1,"address":"a","event":"b","uploads":%s}'
    event = read(call % "[1,2]")
    assert isinstance(event, Event)
    assert (event.want, event.streams) == (Want.REPLY, (1, 2))
    with pytest.raises(ProtocolError, match="at most 2 uploads"):
        read(call % "[1,2,3]")
    with pytest.raises(ProtocolError, match="64 bytes"):
        read(call % '["%s"]' % ("\u20ac" * 30))


def test_a_time_that_is_no_time_is_refused() -> None:
    packed = msgspec.msgpack.encode(
        {"type": "join", "address": "a", "since": {"time": float("nan")}}
    )
    with pytest.raises(ProtocolError, match="finite"):
        MSGPACK.from_client(packed, LIMITS).frame(Form.MSGPACK, LIMITS)


def test_an_item_without_data_is_null() -> None:
    item = read('{"type":"item","ref":1}')
    assert isinstance(item, Item) and isinstance(item.data, Args)
    assert item.data.values() == (None,)


def test_an_error_without_data_has_none() -> None:
    reply = read('{"type":"reply","ref":1,"code":"no"}')
    assert isinstance(reply, Reply)
    assert (reply.data, reply.code) == (None, "no")


def test_a_place_needs_both_its_members() -> None:
    event = heard('{"type":"event","address":"a","event":"b","offset":1}')
    assert isinstance(event, Event) and event.position is None
    assert heard('{"type":"gap","address":"a","lost":1,"epoch":"k"}') == Gap("a", 1)
    assert heard('{"type":"presence","address":"a"}') == Presence("a", {}, {})
