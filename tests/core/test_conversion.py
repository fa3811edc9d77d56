"""Conversion: every type a handler may name, the same from JSON and from MessagePack."""

import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NamedTuple, NewType, TypedDict

import msgspec
import pydantic
import pytest
from annotated_types import Ge
from msgspec import Meta, Struct

from anywire.body import Args, Body, Form
from anywire.core.conversion import Conversion, dec_hook, leaves
from anywire.errors import Refused


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Point(Struct):
    x: int
    y: float = 0.0


class Cat(Struct, tag="cat"):
    lives: int


class Dog(Struct, tag="dog"):
    name: str


class Pair(Struct, array_like=True):
    a: int
    b: int


class Tree(Struct):
    name: str
    children: "list[Tree]" = []


@dataclass
class Place:
    street: str
    number: int | None = None


class Movie(TypedDict, total=False):
    title: str
    year: int


class Span(NamedTuple):
    start: int
    end: int


class Model(pydantic.BaseModel):
    name: str
    age: Annotated[int, pydantic.Field(ge=0)] = 0


class Circle(pydantic.BaseModel):
    kind: Literal["circle"]
    radius: float


class Square(pydantic.BaseModel):
    kind: Literal["square"]
    side: float


Shape = Annotated[Circle | Square, pydantic.Field(discriminator="kind")]
UserId = NewType("UserId", int)


class Holder(Struct):
    model: Model
    extra: object = None


ID = uuid.UUID(int=5)

ACCEPTED: list[tuple[Any, object, object]] = [
    (str, "x", "x"),
    (int, 7, 7),
    (int, 2**62, 2**62),
    (float, 1.5, 1.5),
    (float, 1, 1.0),
    (bool, True, True),
    (None, None, None),
    (Any, {"a": [1, None, "x"]}, {"a": [1, None, "x"]}),
    (object, [1], [1]),
    (int | None, None, None),
    (int | None, 3, 3),
    (int | str, "x", "x"),
    (list[int], [1, 2], [1, 2]),
    (Sequence[int], [1, 2], [1, 2]),
    (tuple[int, str], [1, "a"], (1, "a")),
    (tuple[int, ...], [1, 2, 3], (1, 2, 3)),
    (set[int], [1, 1, 2], {1, 2}),
    (frozenset[str], ["a"], frozenset({"a"})),
    (dict[str, int], {"a": 1}, {"a": 1}),
    (dict[int, str], {"1": "a"}, {1: "a"}),
    (dict[str, object], {"a": [1]}, {"a": [1]}),
    (list[object], [1, {"a": 2}], [1, {"a": 2}]),
    (Mapping[str, int], {"a": 1}, {"a": 1}),
    (Literal["a", "b", 3], "b", "b"),
    (Colour, "red", Colour.RED),
    (Level, 2, Level.HIGH),
    (datetime, "2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    (date, "2026-01-02", date(2026, 1, 2)),
    (time, "03:04:05", time(3, 4, 5)),
    (timedelta, "PT90S", timedelta(seconds=90)),
    (uuid.UUID, str(ID), ID),
    (Decimal, "1.10", Decimal("1.10")),
    (Decimal, 1.5, Decimal("1.5")),
    (UserId, 4, 4),
    (Annotated[int, Meta(ge=0)], 0, 0),
    (bytes, b"\x00\xff", b"\x00\xff"),
    (bytes, "AP8=", b"\x00\xff"),
    (bytes | None, b"x", b"x"),
    (dict[str, bytes], {"a": b"x", "b": "eA=="}, {"a": b"x", "b": b"x"}),
    (str | bytes, "x", "x"),
    (str | bytes, b"x", b"x"),
    (Point, {"x": 1}, Point(1)),
    (Pair, [1, 2], Pair(1, 2)),
    (Tree, {"name": "a", "children": [{"name": "b"}]}, Tree("a", [Tree("b")])),
    (Cat | Dog, {"type": "dog", "name": "Rex"}, Dog("Rex")),
    (list[Cat | Dog], [{"type": "cat", "lives": 9}], [Cat(9)]),
    (Place, {"street": "Elm"}, Place("Elm")),
    (Movie, {"title": "Alien"}, {"title": "Alien"}),
    (Span, [1, 2], Span(1, 2)),
    (Model, {"name": "ana", "age": "7"}, Model(name="ana", age=7)),
    (Model | None, None, None),
    (list[Model], [{"name": "a"}], [Model(name="a")]),
    (dict[str, Model], {"k": {"name": "a"}}, {"k": Model(name="a")}),
    (Shape, {"kind": "square", "side": 2}, Square(kind="square", side=2)),
    (Circle | str, "none", "none"),
    (Annotated[int, Ge(1)], 1, 1),
    (Holder, {"model": {"name": "a"}, "extra": [1]}, Holder(Model(name="a"), [1])),
]

REFUSED: list[tuple[Any, object, str]] = [
    (str, 5, "Expected `str`, got `int` - at `field`"),
    (str, b"x", "Expected `str`, got `bytes` - at `field`"),
    (int, "5", "Expected `int`, got `str` - at `field`"),
    (int, 1.0, "Expected `int`, got `float` - at `field`"),
    (list[int], [1, "SECRET"], "Expected `int`, got `str` - at `field[1]`"),
    (dict[int, int], {"SECRET": 1}, "Expected `int`, got `str` - at `key` in `field`"),
    (Point, {"x": "SECRET"}, "Expected `int`, got `str` - at `field.x`"),
    (Point, {}, "Object missing required field `x` - at `field`"),
    (Colour, "SECRET", "Expected one of 'red', 'blue' - at `field`"),
    (Literal["a", "b"], "SECRET", "Expected one of 'a', 'b' - at `field`"),
    (list[Colour], ["SECRET"], "Invalid enum value - at `field[0]`"),
    (list[Colour], ["SECRET - at `$.x"], "Invalid enum value - at `field[0]`"),
    (Cat | Dog, {"type": "SECRET"}, "Invalid value - at `field.type`"),
    (uuid.UUID, "SECRET", "Invalid UUID - at `field`"),
    (Annotated[int, Meta(ge=0)], -1, "Expected `int` >= 0 - at `field`"),
    (bytes, "?", "Invalid base64 encoded string - at `field`"),
    (str | bytes, 5, "Expected `str | bytes`, got `int` - at `field`"),
    (Model, {"age": "SECRET"}, "name: Field required - at `field`"),
    (Model, "SECRET", "Input should be a valid dictionary or instance of Model - at `field`"),
    (Holder, {"model": {"name": 1}}, "name: Input should be a valid string - at `field.model`"),
    (Annotated[int, Ge(1)], 0, "Input should be greater than or equal to 1 - at `field`"),
]


def transported(value: object, form: Form) -> object:
    """The value as it arrives: through JSON with blobs, or through MessagePack."""
    body = Body.of(value)
    if form is Form.JSON:
        text, blobs = body.one
        return Args(text, Form.JSON, blobs=blobs).value()
    return Args(body.packed_one, Form.MSGPACK).value()


@pytest.mark.parametrize("form", [Form.JSON, Form.MSGPACK])
@pytest.mark.parametrize(("annotation", "value", "expected"), ACCEPTED, ids=str)
def test_each_type_is_read_from_both_encodings(
    annotation: Any, value: object, expected: object, form: Form
) -> None:
    got = Conversion(annotation).convert(transported(value, form), "field")
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [case for case in ACCEPTED if case[0] != str | bytes],  # only a blob says that it is bytes
    ids=str,
)
def test_the_decoder_of_json_accepts_the_same(
    annotation: Any, value: object, expected: object
) -> None:
    conversion = Conversion(annotation)
    decoder = msgspec.json.Decoder(conversion.type, dec_hook=dec_hook(conversion.hooks))
    assert decoder.decode(Body.of(value).inline_one) == expected


@pytest.mark.parametrize("form", [Form.JSON, Form.MSGPACK])
@pytest.mark.parametrize(("annotation", "value", "text"), REFUSED, ids=str)
def test_a_refusal_names_the_field_and_what_was_expected_but_never_the_value(
    annotation: Any, value: object, text: str, form: Form
) -> None:
    with pytest.raises(Refused) as caught:
        Conversion(annotation).convert(transported(value, form), "field")
    assert caught.value.code == "invalid"
    assert caught.value.text.startswith(text)
    assert "SECRET" not in caught.value.text


def test_a_long_refusal_is_cut_to_200_characters() -> None:
    class Strict(Struct, forbid_unknown_fields=True):
        pass

    with pytest.raises(Refused) as caught:
        Conversion(Strict).convert({"k" * 300: 1}, "field")
    assert len(caught.value.text) == 200


def test_nesting_past_what_python_can_hold_is_refused() -> None:
    value: object = None
    for _ in range(sys.getrecursionlimit() * 3):
        value = {"name": "a", "children": [value]}
    with pytest.raises(Refused):
        Conversion(Tree).convert(value, "field")


@pytest.mark.parametrize(
    ("annotation", "text", "expected"),
    [
        (int, "7", 7),
        (uuid.UUID, str(ID), ID),
        (Colour, "red", Colour.RED),
        (Level, "2", Level.HIGH),
    ],
)
def test_a_part_of_an_address_becomes_its_type(
    annotation: Any, text: str, expected: object
) -> None:
    assert Conversion(annotation).from_text(text, "part") == expected


def test_a_part_of_an_address_that_does_not_fit_is_refused() -> None:
    with pytest.raises(Refused, match="Expected `int`, got `str` - at `part`"):
        Conversion(int).from_text("seven", "part")


@pytest.mark.parametrize(
    ("annotation", "takes_object", "takes_none", "takes_text"),
    [
        (object, True, True, True),
        (Any, True, True, True),
        (str, False, False, True),
        (str | None, False, True, True),
        (str | bytes, False, False, True),
        (Annotated[str, Meta(max_length=3)], False, False, True),
        (int, False, False, False),
        (UserId, False, False, False),
        (Point, True, False, False),
        (Point | None, True, True, False),
        (Pair, False, False, False),
        (Cat | Dog, True, False, False),
        (Place, True, False, False),
        (Movie, True, False, False),
        (Span, False, False, False),
        (dict[str, int], True, False, False),
        (dict, True, False, False),
        (list[Point], False, False, False),
        (Literal["a"], False, False, False),
        (Model, True, False, False),
        (Shape, True, False, False),
        (list[Model], False, False, False),
    ],
    ids=str,
)
def test_a_type_knows_what_can_fill_it(
    annotation: Any, takes_object: bool, takes_none: bool, takes_text: bool
) -> None:
    conversion = Conversion(annotation)
    assert conversion.takes_object is takes_object
    assert conversion.takes_none is takes_none
    assert conversion.takes_text is takes_text


def test_an_alias_stands_for_its_value() -> None:
    class Alias:  # what `type Name = int | str` makes from Python 3.12 on
        __value__ = int | str

    assert list(leaves(Alias())) == [int, str]


class Foreign:
    pass


class Loose(Struct):
    data: str | bytes


class Broken(Struct):
    other: "Missing"  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (Foreign, "Foreign is no type that a message can hold"),
        (list[Foreign], "Foreign is no type that a message can hold"),
        (Foreign | None, "Foreign is no type that a message can hold"),
        (Iterator[int], "Iterator is no type that a message can hold"),
        (Callable[[int], str], "Callable is no type that a message can hold"),
        (complex, "complex is no type that a message can hold"),
        (list[str | bytes], "more than one str-like type"),
        (str | bytes | None, "more than one str-like type"),
        (Loose, "more than one str-like type"),
        (Point | Place, "more than one"),
        (msgspec.Raw, "differ from wire to wire"),
        (msgspec.msgpack.Ext, "differ from wire to wire"),
        (Broken, "name 'Missing' is not defined"),
    ],
    ids=str,
)
def test_a_type_that_no_message_can_hold_is_an_error_at_once(annotation: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        Conversion(annotation)


def test_constraints_that_nobody_would_obey_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pydantic")
    with pytest.raises(TypeError, match=r"need pydantic; msgspec\.Meta does without"):
        Conversion(Annotated[int, Ge(1)])
