"""Binding: what a handler's signature makes of it, and what events that go out are held to."""

import inspect
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import msgspec
import pydantic
import pytest
from msgspec import Struct

from anywire.body import NO_ARGS, Args, Body, Form, Shape
from anywire.core.binding import Binder, Described, Emits, Needs, Scope
from anywire.errors import ConfigurationError, Refused


class Member:
    pass


class Later:
    pass


class Order(Struct):
    symbol: str
    amount: int = 1


@dataclass
class Place:
    symbol: str


class Movie(TypedDict):
    symbol: str


class Model(pydantic.BaseModel):
    symbol: str


class Cat(Struct, tag="cat"):
    symbol: str


class Dog(Struct, tag="dog"):
    symbol: str


MEMBER = Member()
LATER = Later()
KINDS: dict[type, str] = {Member: "member", Later: "later"}
SCOPE = Scope(MEMBER, {"room": "lobby"}, "say", later=LATER)


def bound(function: Any, **options: Any) -> Binder:
    return Binder(function, path=("room",), kinds=KINDS, **{"nesting": 32, **options})


def forms(value: object, shape: Shape) -> list[Args]:
    """The value, or the list of arguments, in each encoding."""
    text, packed = msgspec.json.encode(value), msgspec.msgpack.encode(value)
    return [Args(text, Form.JSON, shape), Args(packed, Form.MSGPACK, shape)]


async def test_a_typed_handler_is_called_with_what_the_message_holds() -> None:
    async def say(member: Member, room: str, text: str, times: int = 1) -> object:
        return member, room, text, times

    binder = bound(say)
    assert binder.is_async
    assert not binder.is_stream
    cases: list[tuple[object, Shape, object]] = [
        (["hi"], Shape.LIST, (MEMBER, "lobby", "hi", 1)),
        (["hi", 2], Shape.LIST, (MEMBER, "lobby", "hi", 2)),
        ("hi", Shape.ONE, (MEMBER, "lobby", "hi", 1)),
        ({"times": 3, "text": "hi"}, Shape.ONE, (MEMBER, "lobby", "hi", 3)),
    ]
    for value, shape, expected in cases:
        for args in forms(value, shape):
            assert await binder.invoke(SCOPE, args) == expected


async def test_no_payload_overrides_the_address() -> None:
    async def say(room: str, text: str, **fields: object) -> object:
        return room, text, fields

    binder = bound(say)
    for args in forms({"text": "hi", "room": "staff"}, Shape.ONE):
        with pytest.raises(Refused, match="`room` comes from the address"):
            binder.invoke(SCOPE, args)
    for args in forms({"text": "hi", "room": "lobby"}, Shape.ONE):
        assert await binder.invoke(SCOPE, args) == ("lobby", "hi", {})


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Order, Order("a")),
        (Place, Place("a")),
        (Movie, {"symbol": "a"}),
        (dict[str, str], {"symbol": "a"}),
        (object, {"symbol": "a"}),
        (Model, Model(symbol="a")),
        (Order | None, Order("a")),
    ],
    ids=str,
)
def test_one_parameter_that_an_object_can_fill_takes_the_payload_whole(
    kind: Any, expected: object
) -> None:
    def buy(member: Member, symbol: Any) -> object:
        return symbol

    buy.__annotations__["symbol"] = kind
    for value, shape in (({"symbol": "a"}, Shape.ONE), ([{"symbol": "a"}], Shape.LIST)):
        for args in forms(value, shape):
            assert bound(buy).invoke(SCOPE, args) == expected


def test_a_union_of_tagged_structs_takes_the_payload_whole() -> None:
    def pet(animal: Cat | Dog) -> object:
        return animal

    for args in forms({"type": "dog", "symbol": "a"}, Shape.ONE):
        assert bound(pet).invoke(SCOPE, args) == Dog("a")


def test_a_field_alone_is_matched_by_name() -> None:
    def price(symbol: str) -> object:
        return symbol

    for value in ({"symbol": "a"}, "a"):
        for args in forms(value, Shape.ONE):
            assert bound(price).invoke(SCOPE, args) == "a"


def test_a_message_is_always_one_whole_value() -> None:
    def message(data: list[int]) -> object:
        return data

    binder = bound(message, is_message=True)
    assert binder.invoke(SCOPE, Args("[1,2]", Form.TEXT)) == [1, 2]
    for args in forms([1, 2], Shape.ONE):
        assert binder.invoke(SCOPE, args) == [1, 2]
    with pytest.raises(Refused, match="Expected `array`, got `object` - at `data`"):
        binder.invoke(SCOPE, Args(b'{"data":[1]}'))


@pytest.mark.parametrize("message", ["text", b"bytes"])
def test_echo_of_text_and_bytes_is_one_line(message: str | bytes) -> None:
    def echo(data: str | bytes) -> object:
        return data

    form = Form.TEXT if isinstance(message, str) else Form.BYTES
    assert bound(echo, is_message=True).invoke(SCOPE, Args(message, form)) == message
    body = Body.of(message)
    args = Args(body.json, Form.JSON, Shape.LIST, body.blobs)
    assert bound(echo, is_message=True).invoke(SCOPE, args) == message


def test_the_catch_of_any_event_hears_its_name() -> None:
    def other(member: Member, event: str, *args: object) -> object:
        return member, event, args

    binder = bound(other, takes_event=True)
    for args in forms([1, {"a": 2}], Shape.LIST):
        assert binder.invoke(SCOPE, args) == (MEMBER, "say", (1, {"a": 2}))


def test_a_name_without_annotation_is_enough_for_the_scope() -> None:
    def handler(member, later):  # type: ignore[no-untyped-def]
        return member, later

    assert bound(handler).invoke(SCOPE, NO_ARGS) == (MEMBER, LATER)


async def test_a_stream_is_told_by_its_generator() -> None:
    async def ticks(count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number

    binder = bound(ticks)
    assert binder.is_stream
    assert not binder.is_async
    assert [item async for item in binder.invoke(SCOPE, Args(b"2"))] == [0, 1]


def test_a_plain_function_gives_its_value() -> None:
    def add(a: int, b: int) -> int:
        return a + b

    binder = bound(add)
    assert not binder.is_async
    assert binder.invoke(SCOPE, Args(b"[1,2]", Form.JSON, Shape.LIST)) == 3


async def test_needs_make_a_handler_async() -> None:
    def handler(number: Annotated[int, Needs(lambda: 7)], text: str) -> object:
        return number, text

    binder = bound(handler)
    assert binder.is_async
    call = binder.invoke(SCOPE, Args(b'"hi"'))
    assert inspect.iscoroutine(call)
    assert await call == (7, "hi")


def test_a_generator_is_no_stream() -> None:
    def ticks() -> Iterator[int]:
        yield 1

    with pytest.raises(ConfigurationError, match=r"ticks\(\) is a generator; a stream is an async"):
        bound(ticks)


def test_a_binder_describes_what_clients_may_send() -> None:
    async def bulk(
        member: Member, room: str, orders: AsyncIterator[Order], note: str, n: int = 1
    ) -> None: ...

    binder = bound(bulk)
    assert binder.parameters == (Described("note", str, True), Described("n", int, False))
    assert binder.uploads == (("orders", Order),)


def test_items_of_an_upload_are_read_as_their_type() -> None:
    async def bulk(orders: AsyncIterator[Order], any_: AsyncIterator) -> None: ...  # type: ignore[type-arg]

    binder = bound(bulk)
    for value, shape in (({"symbol": "a"}, Shape.ONE), ([{"symbol": "a"}], Shape.LIST)):
        for args in forms(value, shape):
            assert binder.item(0, args) == Order("a")
            assert binder.item(1, args) == {"symbol": "a"}
    with pytest.raises(Refused, match=r"Expected `str`, got `int` - at `orders\.symbol`"):
        binder.item(0, Args(b'{"symbol":5}'))


def said(by: str, text: str) -> None: ...
def bought(order: Order) -> None: ...
def drawn(data: bytes) -> None: ...
def received(*args: object) -> None: ...


def test_emits_names_the_fields_of_an_event() -> None:
    emits = Emits(said, nesting=32)
    assert (emits.event, emits.names) == ("said", ("by", "text"))
    assert Emits(said, "was-said", nesting=32).event == "was-said"
    assert Emits(received, nesting=32).names is None


@pytest.mark.parametrize(
    ("function", "values"),
    [
        (said, ("ana", "hi")),
        (said, ({"by": "ana", "text": "hi"},)),
        (bought, (Order("a"),)),
        (bought, ({"symbol": "a"},)),
        (drawn, (b"\x89",)),
        (received, (1, "two", [3])),
        (received, ()),
    ],
)
def test_what_was_declared_may_go_out(function: Any, values: tuple[object, ...]) -> None:
    body = Emits(function, nesting=32).body(values)
    assert (body.json, body.blobs) == (Body.of(*values).json, Body.of(*values).blobs)
    assert body.names == Emits(function, nesting=32).names


@pytest.mark.parametrize(
    ("function", "values", "text"),
    [
        (said, ("ana", 5), 'event "said": Expected `str`, got `int` - at `text`'),
        (said, ("ana",), 'event "said": `text` is missing'),
        (said, ("a", "b", "c"), 'event "said": 3 arguments where 2 fit'),
        (said, ({"by": "ana", "txt": "hi"},), 'event "said": unknown field `txt`'),
        (bought, (5,), 'event "bought": Expected `object`, got `int` - at `order`'),
        (said, ("ana", object()), 'event "said": cannot be sent as JSON'),
    ],
)
def test_what_was_not_declared_is_told_with_event_and_field(
    function: Any, values: tuple[object, ...], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        Emits(function, nesting=32).body(values)


def by_name(text: str, *, n: int) -> None: ...
def with_others(text: str, **fields: int) -> None: ...
def with_need(text: Annotated[int, Needs(lambda: 7)]) -> None: ...
def with_stream(items: AsyncIterator[int]) -> None: ...


@pytest.mark.parametrize("function", [by_name, with_others, with_need, with_stream])
def test_an_event_goes_out_by_position(function: Any) -> None:
    with pytest.raises(ConfigurationError, match="whose arguments are plain and go by position"):
        Emits(function, nesting=32)
