"""Fields: lists, lone objects and lone values into one row, in every form a wire has."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from anywire.body import NO_ARGS, Args, Body, Form, Shape
from anywire.core.conversion import Conversion
from anywire.core.fields import Field, Fields, Taken
from anywire.errors import Refused

PATH = {"room": "lobby"}
MARK = object()


class Order(Struct):
    symbol: str
    amount: int = 1


def field(name: str, kind: Any, *default: object, by_name_only: bool = False) -> Field:
    if default:
        return Field(name, Conversion(kind), default[0], by_name_only)
    return Field(name, Conversion(kind), by_name_only=by_name_only)


def fields(*parts: Field, rest: Any = MARK, others: Any = MARK, is_whole: bool = False) -> Fields:
    return Fields(
        parts,
        usage="say(…)",
        nesting=4,
        is_whole=is_whole,
        path=frozenset(PATH),
        reserved=frozenset({"member"}),
        rest=None if rest is MARK else Conversion(rest),
        others=None if others is MARK else Conversion(others),
    )


def json_list(text: str) -> Args:
    return Args(text.encode(), Form.JSON, Shape.LIST)


def json_one(text: str) -> Args:
    return Args(text.encode(), Form.JSON, Shape.ONE)


def packed(args: Args) -> Args:
    """The same arguments as MessagePack."""
    return Args(msgspec.msgpack.encode(args.value()), Form.MSGPACK, args.shape)


TEXT = fields(field("text", str))
TICKS = fields(field("symbol", str), field("every", float, 1.0))
TWO = fields(field("a", int), field("b", int))
ORDER = fields(field("order", Order), is_whole=True)
MAYBE = fields(field("order", Order | None, None), is_whole=True)
NOTE = fields(field("order", Order), field("note", str, "none"))
FILTERS = fields(field("filters", dict[str, int]), field("limit", int, 10))
FILTERED = fields(field("filters", dict[str, int], {}), field("limit", int, 10))
NAMED = fields(field("every", float, 2.0, by_name_only=True), field("symbol", str))
STRICT = fields(field("symbol", str), field("every", float, by_name_only=True))
ONLY = fields(field("limit", int, 10, by_name_only=True))
WHOLE_BY_NAME = fields(field("order", Order, by_name_only=True), is_whole=True)
NOTHING = fields()
DEFAULTS = fields(field("a", int, 1), field("b", str, "b"))

READ: list[tuple[Fields, Args, tuple[object, ...]]] = [
    (TEXT, json_list('["hi"]'), ("hi",)),
    (TEXT, json_one('"hi"'), ("hi",)),
    (TEXT, json_one(' "hi"'), ("hi",)),
    (TEXT, json_one('{"text":"hi"}'), ("hi",)),
    (TEXT, json_one('\n{"text":"hi"}'), ("hi",)),
    (TEXT, json_one('{"text":"hi","room":"lobby"}'), ("hi",)),
    (TICKS, json_list('["s"]'), ("s", 1.0)),
    (TICKS, json_list('["s",2]'), ("s", 2.0)),
    (TICKS, json_one('"s"'), ("s", 1.0)),
    (TICKS, json_one('{"every":2,"symbol":"s"}'), ("s", 2.0)),
    (TWO, json_list("[1,2]"), (1, 2)),
    (TWO, json_one('{"b":2,"a":1}'), (1, 2)),
    (ORDER, json_list('[{"symbol":"a"}]'), (Order("a"),)),
    (ORDER, json_one('{"symbol":"a"}'), (Order("a"),)),
    (ORDER, json_one('{"symbol":"a","room":"elsewhere"}'), (Order("a"),)),
    (MAYBE, json_one("null"), (None,)),
    (MAYBE, json_list("[]"), (None,)),
    (NOTE, json_one('{"symbol":"a","amount":2}'), (Order("a", 2), "none")),
    (NOTE, json_one('{"order":{"symbol":"a"},"note":"n"}'), (Order("a"), "n")),
    (NOTE, json_list('[{"symbol":"a"},"n"]'), (Order("a"), "n")),
    (FILTERS, json_one('{"filters":{"a":1}}'), ({"a": 1}, 10)),
    (FILTERS, json_one('{"a":1}'), ({"a": 1}, 10)),
    (FILTERS, json_one("{}"), ({}, 10)),
    (FILTERED, json_one("{}"), ({}, 10)),
    (NAMED, json_list('["s"]'), ("s", 2.0)),
    (NAMED, json_one('"s"'), ("s", 2.0)),
    (NAMED, json_one('{"symbol":"s","every":3}'), ("s", 3.0)),
    (STRICT, json_one('{"symbol":"s","every":3}'), ("s", 3.0)),
    (ONLY, json_list("[]"), (10,)),
    (ONLY, json_one("{}"), (10,)),
    (ONLY, json_one("null"), (10,)),
    (ONLY, json_one('{"limit":1}'), (1,)),
    (WHOLE_BY_NAME, json_one('{"symbol":"a"}'), (Order("a"),)),
    (WHOLE_BY_NAME, json_list('[{"symbol":"a"}]'), (Order("a"),)),
    (NOTHING, NO_ARGS, ()),
    (NOTHING, json_one("{}"), ()),
    (NOTHING, json_one("null"), ()),
    (NOTHING, json_one('{"room":"lobby"}'), ()),
    (DEFAULTS, NO_ARGS, (1, "b")),
    (DEFAULTS, json_one("null"), (1, "b")),
    (DEFAULTS, json_one("{}"), (1, "b")),
]

REFUSED: list[tuple[Fields, Args, str]] = [
    (TEXT, NO_ARGS, "`text` is missing: say(…)"),
    (TEXT, json_one("null"), "`text` is missing"),
    (TEXT, json_one("{}"), "`text` is missing"),
    (TEXT, json_list('["a","b"]'), "2 arguments where 1 fit: say(…)"),
    (TEXT, json_list("[5]"), "Expected `str`, got `int` - at `text`"),
    (TEXT, json_one("5"), "Expected `str`, got `int` - at `text`"),
    (TEXT, json_one('["hi"]'), "Expected `str`, got `array` - at `text`"),
    (TEXT, json_one('{"text":5}'), "Expected `str`, got `int` - at `text`"),
    (TEXT, json_one('{"txt":"hi"}'), "unknown field `txt`: say(…)"),
    (TEXT, json_one('{"text":"hi","more":1}'), "unknown field `more`"),
    (TEXT, json_one('{"text":"hi","room":"staff"}'), "`room` comes from the address"),
    (TEXT, json_one('{"text":"hi","room":["lobby"]}'), "`room` comes from the address"),
    (TICKS, json_one('{"every":2}'), "`symbol` is missing"),
    (TICKS, json_list('["s","x"]'), "Expected `float`, got `str` - at `every`"),
    (TWO, json_one("1"), "`b` is missing"),
    (TWO, json_one("[1,2]"), "Expected `int`, got `array` - at `a`"),
    (ORDER, json_one('{"symbol":5}'), "Expected `str`, got `int` - at `order.symbol`"),
    (ORDER, json_list('[{"symbol":5}]'), "Expected `str`, got `int` - at `order.symbol`"),
    (ORDER, json_one("null"), "`order` is missing"),
    (ORDER, NO_ARGS, "`order` is missing"),
    (NAMED, json_list('["s",3]'), "2 arguments where 1 fit"),
    (STRICT, json_list('["s"]'), "`every` is missing"),
    (ONLY, json_one("5"), "1 arguments where 0 fit"),
    (ONLY, json_one('{"a":1}'), "unknown field `a`"),
    (NOTHING, json_one("5"), "1 arguments where 0 fit"),
    (NOTHING, json_one('{"a":1}'), "unknown field `a`"),
]


@pytest.mark.parametrize("encode", [lambda args: args, packed])
@pytest.mark.parametrize(("taker", "args", "row"), READ)
def test_both_shapes_fill_the_row(
    taker: Fields, args: Args, row: tuple[object, ...], encode: Any
) -> None:
    assert taker.read(encode(args), PATH) == row
    assert taker.read_all(encode(args), PATH).row == row


@pytest.mark.parametrize(
    ("taker", "text", "row"),
    [
        (TEXT, '[{"text":"hi"}]', ("hi",)),
        (TICKS, '[{"symbol":"A","every":2.5}]', ("A", 2.5)),
        (TICKS, '[{"symbol":"A"}]', ("A", 1.0)),
        (fields(field("first", dict), field("b", int, 1)), '[{"first":{}}]', ({"first": {}}, 1)),
    ],
)
def test_a_lone_object_in_a_list_holds_the_fields_if_it_cannot_be_the_first(
    taker: Fields, text: str, row: tuple[object, ...]
) -> None:
    assert taker.read(json_list(text), PATH) == row
    assert taker.read(packed(json_list(text)), PATH) == row


def test_a_lone_object_in_a_list_with_another_key_is_refused() -> None:
    with pytest.raises(Refused, match="text"):
        TEXT.read(json_list('[{"text":"hi","more":1}]'), PATH)
    with pytest.raises(Refused):
        TEXT.read(json_list('[{"text":"hi"},2]'), PATH)


@pytest.mark.parametrize("encode", [lambda args: args, packed])
@pytest.mark.parametrize(("taker", "args", "text"), REFUSED)
def test_what_does_not_fit_is_refused_by_name(
    taker: Fields, args: Args, text: str, encode: Any
) -> None:
    for read in (taker.read, taker.read_all):
        with pytest.raises(Refused) as caught:
            read(encode(args), PATH)
        assert caught.value.code == "invalid"
        assert caught.value.text.startswith(text)


def query(text: str) -> Args:
    return Args(msgspec.Raw(text.encode()), Form.QUERY)


@pytest.mark.parametrize(
    ("taker", "text", "row"),
    [
        (TICKS, '{"symbol":"7","every":"2.5"}', ("7", 2.5)),
        (TICKS, '{"symbol":"A"}', ("A", 1.0)),
        (fields(field("on", bool)), '{"on":"true"}', (True,)),
        (fields(field("last", int | None)), '{"last":"null"}', (None,)),
        (ORDER, '{"symbol":"s","amount":"4"}', (Order("s", 4),)),
    ],
)
def test_texts_of_a_query_are_read_as_what_is_wanted(
    taker: Fields, text: str, row: tuple[object, ...]
) -> None:
    assert taker.read(query(text), PATH) == row


def test_a_text_of_a_query_that_is_not_what_is_wanted_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="Expected `float`, got `str` - at `every`"):
        TICKS.read(query('{"symbol":"A","every":"often"}'), PATH)
    with pytest.raises(Refused, match="unknown field `v`"):
        TICKS.read(query('{"symbol":"A","v":"2"}'), PATH)


def test_a_time_of_messagepack_is_a_time_and_goes_out_as_text() -> None:
    noon = datetime(2026, 11, 29, 12, tzinfo=UTC)
    args = Args(msgspec.msgpack.encode([noon, {"at": noon}]), Form.MSGPACK, Shape.LIST)
    assert fields(field("a", datetime), field("b", Any)).read(args, {}) == (noon, {"at": noon})
    text = "2026-11-29T12:00:00Z"
    assert args.body().values == (text, {"at": text})
    with pytest.raises(Refused, match="Expected `str`"):
        TEXT.read(Args(msgspec.msgpack.encode([noon]), Form.MSGPACK, Shape.LIST), {})


def test_others_of_a_query_are_read_as_what_is_wanted() -> None:
    taken = fields(field("a", int), others=int).read_all(query('{"a":"1","b":"2"}'), {})
    assert (taken.row, taken.others) == ((1,), {"b": 2})


def test_the_raw_part_of_an_envelope_is_read_in_place() -> None:
    assert TEXT.read(Args(msgspec.Raw(b'"hi"')), {}) == ("hi",)
    assert TEXT.read(Args(msgspec.Raw(b'{"text":"hi"}')), {}) == ("hi",)
    assert TEXT.read(Args(msgspec.Raw(b'["hi"]'), Form.JSON, Shape.LIST), {}) == ("hi",)
    assert TEXT.read(Args('"hi"'), {}) == ("hi",)


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        (str, "hi", "hi"),
        (str, '"hi"', '"hi"'),
        (str, b"hi", None),
        (str | None, "null", "null"),
        (object, "5", "5"),
        (object, b"5", b"5"),
        (str | bytes, "hi", "hi"),
        (str | bytes, b"hi", b"hi"),
        (bytes, b"hi", b"hi"),
        (bytes | None, b"hi", b"hi"),
        (bytes, "aGk=", b"hi"),
        (int, "5", 5),
        (int | None, "null", None),
        (int, "null", None),
        (int, "five", None),
        (int, b"5", None),
        (Order, '{"symbol":"a"}', Order("a")),
        (Order, "hello", None),
        (Order, b'{"symbol":"a"}', None),
        (list[int], "[1,2]", [1, 2]),
        (list[Any], "[[[[1]]]]", [[[[1]]]]),
        (list[Any], "[[[[[1]]]]]", None),
    ],
    ids=str,
)
def test_a_bare_message_is_itself_or_the_json_that_it_holds(
    kind: Any, message: str | bytes, expected: object
) -> None:
    taker = fields(field("data", kind), is_whole=True)
    args = Args(message, Form.TEXT if isinstance(message, str) else Form.BYTES)
    for read in (taker.read, lambda args, path: taker.read_all(args, path).row):
        if expected is None and message != "null":
            with pytest.raises(Refused):
                read(args, {})
        elif expected is None and kind is int:
            with pytest.raises(Refused, match="missing"):
                read(args, {})
        else:
            assert read(args, {}) == (expected,)


def test_a_bare_text_that_nests_too_deep_says_so() -> None:
    taker = fields(field("data", list[Any]), is_whole=True)
    with pytest.raises(Refused, match="nested deeper than 4"):
        taker.read(Args("[" * 5, Form.TEXT), {})


def test_a_bare_message_is_the_first_of_several_fields() -> None:
    assert TICKS.read(Args("s", Form.TEXT), {}) == ("s", 1.0)
    assert fields(field("n", int), field("b", int, 2)).read(Args("5", Form.TEXT), {}) == (5, 2)
    with pytest.raises(Refused, match="`b` is missing"):
        TWO.read(Args("5", Form.TEXT), {})
    with pytest.raises(Refused, match="where 0 fit"):
        NOTHING.read(Args("hi", Form.TEXT), {})


@pytest.mark.parametrize("shape", [Shape.LIST, Shape.ONE])
def test_blobs_find_their_fields(shape: Shape) -> None:
    upload = fields(field("name", str), field("data", bytes))
    body = Body.of("a.png", b"\x89P")
    args = Args(body.json, Form.JSON, Shape.LIST, body.blobs)
    if shape is Shape.ONE:
        text, blobs = Body.of({"name": "a.png", "data": b"\x89P"}).one
        args = Args(text, Form.JSON, Shape.ONE, blobs)
    assert upload.read(args, {}) == ("a.png", b"\x89P")


@pytest.mark.parametrize(
    "args",
    [
        json_list("[1"),
        json_list('{"text":"hi"}'),
        json_one("{"),
        json_one(""),
        Args(b'"\xff"'),
        Args(b"\xc1", Form.MSGPACK),
        Args(msgspec.msgpack.encode({1: 2}), Form.MSGPACK),
        Args(msgspec.msgpack.encode([float("nan")]), Form.MSGPACK, Shape.LIST),
    ],
)
def test_what_is_no_value_at_all_is_refused(args: Args) -> None:
    with pytest.raises(Refused) as caught:
        TEXT.read(args, {})
    assert caught.value.code == "invalid"


def test_arguments_past_the_fields_go_to_the_rest() -> None:
    taker = fields(field("a", int), rest=int)
    assert taker.read_all(json_list("[1,2,3]"), {}) == Taken((1,), (2, 3))
    assert taker.read_all(json_one('{"a":1}'), {}) == Taken((1,))
    with pytest.raises(Refused, match=r"Expected `int`, got `str` - at `arguments\[1\]`"):
        taker.read_all(json_list('[1,"x"]'), {})


@pytest.mark.parametrize(
    ("args", "rest"),
    [
        (NO_ARGS, ()),
        (json_list('[1,"a"]'), (1, "a")),
        (json_one('{"a":1}'), ({"a": 1},)),
        (json_one('{"room":"lobby"}'), ({"room": "lobby"},)),
        (json_one("{}"), ({},)),
        (json_one("null"), (None,)),
        (Args("5", Form.TEXT), ("5",)),
        (Args(b"5", Form.BYTES), (b"5",)),
    ],
)
def test_a_catch_of_everything_hears_what_was_sent(args: Args, rest: tuple[object, ...]) -> None:
    assert fields(rest=object).read_all(args, PATH) == Taken((), rest)


@pytest.mark.parametrize(
    ("text", "row", "others"),
    [
        ('{"a":1,"b":2}', (1,), {"b": 2}),
        ('{"a":1}', (1,), {}),
        ('{"a":1,"room":"lobby"}', (1,), {}),
    ],
)
def test_keys_beside_the_fields_go_to_the_others(
    text: str, row: tuple[object, ...], others: Mapping[str, object]
) -> None:
    assert fields(field("a", int), others=int).read_all(json_one(text), PATH) == Taken(
        row, (), others
    )


def test_the_others_cannot_fill_what_is_no_field() -> None:
    taker = fields(field("a", int), others=int)
    with pytest.raises(Refused, match="`member` is no field"):
        taker.read_all(json_one('{"a":1,"member":2}'), PATH)
    with pytest.raises(Refused, match="Expected `int`, got `str` - at `b`"):
        taker.read_all(json_one('{"a":1,"b":"x"}'), PATH)


def test_a_list_fills_the_fields_beside_others() -> None:
    assert fields(field("a", int), others=int).read_all(json_list("[1]"), {}) == Taken((1,))


def test_defaults_are_the_very_objects_of_the_signature() -> None:
    default: list[int] = []
    taker = fields(field("a", int), field("b", list[int], default))
    assert taker.read(json_list("[1]"), {})[1] is default
    assert taker.read(json_one('{"a":1}'), {})[1] is default


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(["a", "b", "text", "order", "note", "room", "symbol", "filters"])
VALUES = PLAIN | st.dictionaries(KEYS, PLAIN, max_size=3)
TAKERS = st.sampled_from(
    [
        TEXT,
        TICKS,
        TWO,
        ORDER,
        MAYBE,
        NOTE,
        FILTERS,
        FILTERED,
        NAMED,
        STRICT,
        ONLY,
        NOTHING,
        DEFAULTS,
    ]
)


def outcome(read: Any, args: Args) -> object:
    try:
        taken = read(args, PATH)
    except Refused as refusal:
        return refusal.text
    return taken.row if isinstance(taken, Taken) else taken


@given(TAKERS, VALUES)
def test_json_fast_and_slow_and_msgpack_agree_on_one_value(taker: Fields, value: object) -> None:
    one = Args(msgspec.json.encode(value))
    expected = outcome(taker.read_all, one)
    assert outcome(taker.read, one) == expected
    assert outcome(taker.read, packed(one)) == expected
    assert outcome(taker.read, Args(msgspec.Raw(one.raw))) == expected


@given(TAKERS, st.lists(VALUES, max_size=3))
def test_json_fast_and_slow_and_msgpack_agree_on_a_list(
    taker: Fields, values: list[object]
) -> None:
    listed = Args(msgspec.json.encode(values), Form.JSON, Shape.LIST)
    expected = outcome(taker.read_all, listed)
    assert outcome(taker.read, listed) == expected
    assert outcome(taker.read, packed(listed)) == expected
