"""Signatures: annotations resolved wherever they are written; what scope and address fill."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import pytest
from msgspec import Struct

from anywire.core.signature import EMPTY, Function, Lookup, Parameter, Scope
from anywire.errors import ConfigurationError, Refused

if TYPE_CHECKING:
    from decimal import Decimal


class Member:
    pass


class Left(Struct):
    code: str


class Floor(Enum):
    GROUND = "ground"


MEMBER = Member()
LEFT = Left("bye")
SCOPE = Scope(MEMBER, {"room": "lobby", "number": "7"}, "say", left=LEFT)
LOOKUP = Lookup(("room", "number"), {Member: "member", Left: "left"}, takes_event=True)


def values(call: Callable[..., Any], lookup: Lookup = LOOKUP, scope: Scope = SCOPE) -> list[object]:
    """What the scope gives to each parameter; EMPTY where it gives nothing."""
    function = Function(call)
    getters = [lookup.getter(function, each) for each in function.parameters]
    return [EMPTY if getter is None else getter(scope) for getter in getters]


def test_scope_kinds_are_found_by_class_and_by_name() -> None:
    def handler(who: Member, why: Annotated[Left, "a note"], member, event, text: str): ...  # type: ignore[no-untyped-def]

    assert values(handler) == [MEMBER, LEFT, MEMBER, "say", EMPTY]


def test_an_annotated_parameter_of_that_name_is_something_else() -> None:
    def handler(member: str, event: int) -> None: ...

    assert values(handler) == [EMPTY, EMPTY]


def test_only_handlers_of_any_event_get_its_name() -> None:
    def handler(event: str) -> None: ...

    assert values(handler) == ["say"]
    assert values(handler, Lookup((), {}, takes_event=False)) == [EMPTY]


def test_parts_of_the_address_are_converted() -> None:
    def handler(room: str, number: int) -> None: ...
    def untyped(room, number): ...  # type: ignore[no-untyped-def]

    assert values(handler) == ["lobby", 7]
    assert values(untyped) == ["lobby", "7"]


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (str, "7", "7"),
        (int, "7", 7),
        (UUID, str(UUID(int=3)), UUID(int=3)),
        (Floor, "ground", Floor.GROUND),
        (object, "7", "7"),
    ],
)
def test_each_type_of_an_address_is_read(kind: Any, text: str, expected: object) -> None:
    def handler(room: object) -> None: ...

    handler.__annotations__["room"] = kind
    assert values(handler, scope=Scope(MEMBER, {"room": text}, "say")) == [expected]


def test_a_part_of_the_address_that_does_not_fit_is_refused() -> None:
    def handler(number: int) -> None: ...

    with pytest.raises(Refused, match="Expected `int`, got `str` - at `number`"):
        values(handler, scope=Scope(MEMBER, {"number": "x"}, "say"))


def test_local_classes_of_a_running_function_are_known() -> None:
    class Local(Struct):
        x: int

    def handler(local: Local, more: list[Local]) -> None: ...

    assert [each.annotation for each in Function(handler).parameters] == [Local, list[Local]]


def test_a_return_annotation_may_be_unknown() -> None:
    def handler(text: str) -> Decimal:
        raise AssertionError

    assert Function(handler).parameters == (
        Parameter("text", str, EMPTY, inspect.Parameter.POSITIONAL_OR_KEYWORD),
    )


def test_an_unknown_annotation_is_an_error_with_its_place() -> None:
    def handler(price: Decimal) -> None: ...

    line = handler.__code__.co_firstlineno
    with pytest.raises(ConfigurationError) as caught:
        Function(handler)
    text = str(caught.value)
    assert f"test_signature.py:{line}: handler(): parameter `price`" in text
    assert "name 'Decimal' is not defined; its names must be imported in this module" in text


class Service:
    def __init__(self, text: str) -> None: ...

    def method(self, text: str) -> None: ...

    async def __call__(self, text: str) -> None: ...


def plain(text: str) -> None: ...


@functools.wraps(plain)
def wrapped(*args: Any, **kwargs: Any) -> None: ...


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (plain, "plain"),
        (wrapped, "plain"),
        (Service, "Service"),
        (Service("x"), "__call__"),
        (Service("x").method, "method"),
        (functools.partial(plain), "plain"),
    ],
)
def test_everything_that_can_be_called_is_read(call: Callable[..., Any], name: str) -> None:
    function = Function(call)
    assert [(each.name, each.annotation) for each in function.parameters] == [("text", str)]
    assert function.name == name


def test_an_object_with_an_async_call_counts_as_async() -> None:
    assert Function(Service("x")).is_kind(inspect.iscoroutinefunction)
    assert not Function(Service("x").method).is_kind(inspect.iscoroutinefunction)


@pytest.mark.parametrize("call", [5, dict, type("Odd", (), {"__call__": 3})()])
def test_what_has_no_signature_is_an_error(call: Any) -> None:
    with pytest.raises(ConfigurationError, match="has no signature to read"):
        Function(call)


@pytest.mark.parametrize(
    ("annotation", "name", "text"),
    [
        (Member, "room", "comes from the address; name the Member otherwise"),
        (Member | None, "who", "is asked for as `who: Member`, with nothing around it"),
        (complex, "room", "cannot be read from a message: complex is no type"),
    ],
)
def test_what_the_scope_cannot_fill_is_an_error(annotation: Any, name: str, text: str) -> None:
    function = Function(plain)
    parameter = Parameter(name, annotation, EMPTY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    with pytest.raises(ConfigurationError, match=text.replace("|", r"\|")):
        LOOKUP.getter(function, parameter)


def test_a_catch_of_all_with_the_name_of_a_part_is_not_filled_from_the_address() -> None:
    def handler(*room: str, **number: int) -> None: ...

    assert values(handler) == [EMPTY, EMPTY]
    assert all(each.is_catch_all for each in Function(handler).parameters)


def test_the_known_kinds_are_told_in_order() -> None:
    assert LOOKUP.known() == "Left, Member"
