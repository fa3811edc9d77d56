"""Body and Args: one canonical form, and every encoding derived from it."""

import base64
import dataclasses
import enum
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import (
    NO_ARGS,
    NO_BODY,
    Args,
    Body,
    Form,
    Shape,
    decode,
    encode,
    inlined,
    spliced,
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
arguments = st.lists(values, max_size=3).map(tuple)


def as_text(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return value


@given(arguments)
def test_every_pair_of_encodings_keeps_the_canonical_body(given_values: tuple[object, ...]) -> None:
    body = Body.of(*given_values)
    assert body.values == given_values
    for args in (
        Args(body.json, Form.JSON, Shape.LIST, body.blobs),
        Args(body.packed, Form.MSGPACK, Shape.LIST),
    ):
        again = args.body()
        assert (again.json, again.blobs) == (body.json, body.blobs)
        assert again.packed == body.packed
    assert msgspec.json.decode(body.inline) == [as_text(value) for value in given_values]


@given(values)
def test_a_lone_value_keeps_its_form_through_both_encodings_of_one(value: object) -> None:
    body = Body.of(value)
    text, blobs = body.one
    assert Args(text, Form.JSON, Shape.ONE, blobs).values() == (value,)
    assert Args(body.packed_one, Form.MSGPACK).values() == (value,)
    assert msgspec.json.decode(body.inline_one) == as_text(value)


@given(arguments)
def test_the_one_value_is_the_lone_one_or_null_or_the_list(
    given_values: tuple[object, ...],
) -> None:
    body = Body.of(*given_values)
    count = len(given_values)
    expected = given_values[0] if count == 1 else list(given_values) if count else None
    assert body.one_value == expected
    assert body.count == count
    assert decode(*body.one) == expected
    assert msgspec.msgpack.decode(body.packed_one) == expected
    assert Args(body.json, Form.JSON, Shape.LIST, body.blobs).one_value == expected
    assert Args(body.packed, Form.MSGPACK, Shape.LIST).one_value == expected
    assert Args(body.packed_one, Form.MSGPACK, Shape.ONE).one_value == expected


def test_a_body_is_its_own_body() -> None:
    body = Body.of(1)
    assert body.body() is body


def test_names_make_one_object_of_the_arguments() -> None:
    body = Body.of("ana", b"\x00", names=("user", "avatar"))
    assert body.is_named
    assert body.one == (b'{"user":"ana","avatar":null}', ((23, b"\x00"),))
    assert body.inline_one == b'{"user":"ana","avatar":"AA=="}'
    assert body.bare == '{"user":"ana","avatar":"AA=="}'
    assert body.inline == b'["ana","AA=="]'


@pytest.mark.parametrize("body", [Body.of("hi", names=("text",)), Body(b'["hi"]', names=("text",))])
def test_a_lone_text_with_a_name_is_an_object_wherever_it_comes_from(body: Body) -> None:
    assert body.bare == '{"text":"hi"}'
    assert body.inline_one == b'{"text":"hi"}'


def test_names_that_are_not_as_many_as_the_arguments_do_not_count() -> None:
    body = Body.of(1, names=("a", "b"))
    assert not body.is_named
    assert body.inline_one == b"1"


def test_a_body_from_elsewhere_knows_its_arguments() -> None:
    body = Body(b'[{"a":null},2]', ((6, b"x"),), names=("file", "n"))
    assert body.count == 2
    assert body.values == ({"a": b"x"}, 2)
    assert body.inline_one == b'{"file":{"a":"eA=="},"n":2}'


@pytest.mark.parametrize("value", ["", "hi", "\u20ac", b"", b"\xff"])
def test_a_lone_text_or_bytes_is_bare_as_it_is(value: str | bytes) -> None:
    assert Body.of(value).bare == value
    fresh = Body(*encode((value,)))
    assert fresh.bare == value


@pytest.mark.parametrize(
    ("given_values", "bare"),
    [((), "null"), ((None,), "null"), ((1, "a"), '[1,"a"]'), (([b"x"],), '["eA=="]')],
)
def test_anything_else_is_bare_as_json_text(given_values: tuple[object, ...], bare: str) -> None:
    assert Body.of(*given_values).bare == bare


def test_the_blobs_of_a_lone_bytes_value_are_there_without_its_text() -> None:
    assert Body.of(b"x").blobs == ((1, b"x"),)
    assert Body.of("x").blobs == ()


def test_a_form_is_made_once() -> None:
    made: list[Body] = []

    def make(body: Body) -> str:
        made.append(body)
        return "form"

    body = Body.of(1)
    assert [body.derived("mine", make), body.derived("mine", make)] == ["form", "form"]
    assert made == [body]


class Colour(enum.Enum):
    RED = "red"


class Name(str):
    """As frameworks have them."""


class Number(int):
    """As frameworks have them."""


class Metre(float):
    """As frameworks have them."""


@dataclasses.dataclass
class Point:
    x: int
    picture: bytes


class Dumped:
    def model_dump(self, *, mode: str) -> dict[str, object]:
        assert mode == "python"
        return {"a": Point(1, b"x")}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Colour.RED, "red"),
        (Name("ana"), "ana"),
        (Number(3), 3),
        (Metre(1.5), 1.5),
        (Point(1, b"x"), {"x": 1, "picture": b"x"}),
        (Dumped(), {"a": {"x": 1, "picture": b"x"}}),
        ((1, (b"x",)), [1, [b"x"]]),
        ({1: {"b": bytearray(b"x")}}, {"1": {"b": b"x"}}),
        (memoryview(b"xy"), b"xy"),
        ({"a": (1, 2)}, {"a": [1, 2]}),
    ],
    ids=repr,
)
def test_what_applications_send_becomes_plain_values(value: object, plain: object) -> None:
    assert Body.of(value).values == (plain,)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 10**20, 10**300])
def test_an_integer_past_64_bits_goes_out_as_a_double(value: int) -> None:
    body = Body.of(value, {"a": [b"", value]})
    one, two = body.values
    assert type(one) is float
    assert (one, two) == (float(value), {"a": [b"", float(value)]})
    assert msgspec.msgpack.decode(body.packed) == [float(value), {"a": [b"", float(value)]}]


def test_an_integer_of_64_bits_is_exact() -> None:
    assert Body.of(2**64 - 1, -(2**63)).values == (2**64 - 1, -(2**63))


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        [math.inf],
        {"a": [b"", -math.inf]},
        Metre("nan"),
        10**400,
        object(),
        {b"bytes": 1},
        ["\ud800"],
    ],
    ids=repr,
)
def test_what_json_cannot_hold_is_a_value_error(value: object) -> None:
    with pytest.raises(ValueError):
        Body.of(value)


def test_a_lone_text_that_is_no_unicode_is_a_value_error_where_it_is_made() -> None:
    with pytest.raises(ValueError):
        Body.of("\ud800")


def test_a_value_without_end_is_a_value_error() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ValueError):
        Body.of(endless)


@pytest.mark.parametrize(
    "args",
    [
        Args(b"[1", Form.JSON),
        Args(msgspec.Raw(b"1e999"), Form.JSON),
        Args(b"[" * 100_000, Form.JSON),
        Args(b"1", Form.JSON, Shape.LIST),
        Args(b"\x92\x01", Form.MSGPACK),
        Args(b"\xa2\xff\xfe", Form.MSGPACK),
        Args(b"\x91" * 100_000, Form.MSGPACK),
        Args(b"\x81\x01\x02", Form.MSGPACK),
        Args(b"\x91\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", Form.MSGPACK),
        Args(b"\x81\xa1a\xd6\x05\x00\x00\x00\x00", Form.MSGPACK),
        Args(b"\x81\xa1a\xd4\x05\x00", Form.MSGPACK),
        Args(b'["null"]', Form.JSON, Shape.LIST, ((2, b"x"),)),
        Args(b"[1]", Form.JSON, Shape.LIST, ((99, b"x"),)),
        Args(b'{"a":null,"a":null}', Form.JSON, Shape.ONE, ((5, b"x"), (14, b"y"))),
    ],
    ids=lambda args: f"{args.form.value} {args.raw!r:.30}",
)
def test_arguments_that_are_not_what_they_claim_are_a_value_error(args: Args) -> None:
    with pytest.raises(ValueError):
        args.values()


def test_a_value_error_of_msgpack_names_the_field() -> None:
    packed = msgspec.msgpack.encode({"when": [{"at": msgspec.msgpack.Ext(5, b"x")}]})
    with pytest.raises(ValueError, match=r"arguments\.when\[0\]\.at: Ext"):
        Args(packed, Form.MSGPACK).value()


def test_text_and_bytes_are_their_own_value() -> None:
    assert Args("hi", Form.TEXT).values() == ("hi",)
    assert Args(b"\xff", Form.BYTES).values() == (b"\xff",)
    assert Args("hi", Form.TEXT).body().bare == "hi"


def test_no_arguments_are_no_arguments() -> None:
    assert list(NO_ARGS.values()) == []
    assert NO_BODY.json == b"[]"
    assert NO_BODY.inline_one == b"null"
    assert NO_BODY.packed_one == b"\xc0"


def test_a_peer_cannot_write_a_stand_in_for_bytes() -> None:
    text = '["' + "0" * 24 + '0",null]'
    assert decode(text, ((len(text) - 5, b"x"),)) == ["0" * 24 + "0", b"x"]


@given(values)
def test_inlined_text_without_blobs_is_the_text(value: object) -> None:
    text, blobs = encode((value,))
    assert (inlined(text, blobs) == text) is not bool(blobs)


def test_whatever_a_wire_writes_for_bytes_is_put_in_their_places() -> None:
    body = Body.of(b"\x00", {"a": [b"\x01", None], "é": "null"}, None, b"\x02")
    text = spliced(body.json, body.blobs, lambda index: b"<%d>" % index)
    assert text.decode() == '[<0>,{"a":[<1>,null],"é":"null"},null,<2>]'
    assert spliced(b'["a"]', (), lambda index: b"never") == b'["a"]'


@given(values)
def test_what_is_spliced_in_changes_nothing_around_it(value: object) -> None:
    text, blobs = encode((value,))
    assert spliced(text, blobs, lambda index: b"null") == text
