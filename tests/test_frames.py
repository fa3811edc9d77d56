"""Records: what brokers number, keep and carry, across versions."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import NO_ARGS, Body
from anywire.frames import (
    Auth,
    Beat,
    Frame,
    Join,
    Joined,
    Position,
    Record,
    pack_record,
    unpack_record,
)

positions = st.none() | st.builds(Position, st.integers(0, 2**63 - 1), st.text())
bodies = st.builds(
    lambda values, names: Body.of(*values, names=names),
    st.lists(st.text() | st.binary() | st.integers(-5, 5), max_size=3),
    st.none() | st.lists(st.text(), max_size=3).map(tuple),
)
texts = st.none() | st.text()
records = st.builds(
    Record,
    room=st.text(),
    event=st.text(),
    body=bodies,
    id=texts,
    but=st.lists(st.text(), max_size=3).map(tuple),
    trace=texts,
    position=positions,
    time=st.floats(allow_nan=False),
    volatile=st.booleans(),
    key=texts,
    ref=texts | st.integers(-(2**63), 2**63 - 1),
    origin=st.text(),
    extra=st.dictionaries(st.sampled_from(["new", "newer"]), st.integers(0, 5)),
)


def fields(record: Record) -> dict[str, object]:
    told: dict[str, object] = {name: getattr(record, name) for name in record.__struct_fields__}
    told["body"] = (record.body.json, record.body.blobs, record.body.names)
    return told


@given(records)
def test_a_record_is_the_same_after_the_bus(record: Record) -> None:
    again = unpack_record(pack_record(record))
    assert fields(again) == fields(record)
    assert pack_record(again) == pack_record(record)


def test_fields_of_a_newer_node_are_kept_and_sent_on() -> None:
    newer = msgspec.msgpack.decode(pack_record(Record(room="r", event="e", body=Body.of(1))))
    newer["urgency"] = {"level": 3}
    record = unpack_record(msgspec.msgpack.encode(newer))
    assert record.extra == {"urgency": {"level": 3}}
    assert msgspec.msgpack.decode(pack_record(record)) == newer


def test_a_record_of_an_older_node_has_defaults() -> None:
    old = msgspec.msgpack.encode({"room": "r", "event": "e", "json": b"[]", "offset": 3})
    record = unpack_record(old)
    assert record.position == Position(3, "")
    assert (record.but, record.time, record.volatile, record.origin) == ((), 0.0, False, "")


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x90", b"\x81\xa4room\x01", b"\x81\xa4room\xa1\xff"]
)
def test_bytes_that_are_no_record_are_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        unpack_record(data)


def test_there_are_seventeen_frames() -> None:
    assert len(Frame.__args__) == 17


def test_what_wires_do_not_know_of_has_a_default_that_means_nothing_special() -> None:
    join = Join(None, "chat", "chat")
    assert (join.token, join.mark) == ("", None)
    joined = Joined(None, "chat")
    assert (joined.member, joined.token) == ("", "")
    assert Auth(None, NO_ARGS).is_final
    assert not Beat().is_own


def test_a_record_is_made_by_names_alone() -> None:
    with pytest.raises(TypeError):
        Record("chat", "said", Body.of("hi"))  # type: ignore[call-arg]
