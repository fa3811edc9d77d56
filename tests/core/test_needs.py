"""Needs: made before the handler, once per message, and closed after it whatever happens."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Annotated, Any

import pytest

from anywire.core.needs import Needs, Plan
from anywire.core.signature import Function, Lookup, Scope
from anywire.errors import ConfigurationError, Refused


class Member:
    id = "ana"


SCOPE = Scope(Member(), {"room": "lobby", "number": "7"}, "say")
LOOKUP = Lookup(("room", "number"), {Member: "member"}, takes_event=True)


class Depends:
    """Has what FastAPI's has."""

    def __init__(self, dependency: Any = None, *, use_cache: bool = True) -> None:
        self.dependency = dependency
        self.use_cache = use_cache


def planned(call: Callable[..., Any]) -> tuple[Plan, list[int | None]]:
    plan = Plan(LOOKUP)
    function = Function(call)
    return plan, [plan.add(function, each) for each in function.parameters]


async def made(call: Callable[..., Any]) -> list[object]:
    plan, numbers = planned(call)
    async with AsyncExitStack() as stack:
        values = await plan.run(stack, SCOPE)
        return [values[number] for number in numbers if number is not None]
    raise AssertionError


def plain() -> str:
    return "plain"


async def waits() -> str:
    await asyncio.sleep(0)
    return "waits"


def generates() -> Iterator[str]:
    yield "generates"


async def generates_async() -> AsyncIterator[str]:
    await asyncio.sleep(0)
    yield "generates_async"


def returns_awaitable() -> Awaitable[str]:
    return waits()


class Made:
    def __init__(self, room: str) -> None:
        self.room = room


class Callable_:
    async def __call__(self) -> AsyncIterator[str]:
        yield "called"


@pytest.mark.parametrize(
    ("dependency", "value"),
    [
        (plain, "plain"),
        (waits, "waits"),
        (generates, "generates"),
        (generates_async, "generates_async"),
        (returns_awaitable, "waits"),
        (Callable_(), "called"),
    ],
)
async def test_a_need_may_be_made_in_each_way(dependency: Any, value: str) -> None:
    def handler(need: str, other: int) -> None: ...

    handler.__annotations__["need"] = Annotated[str, Needs(dependency)]
    assert await made(handler) == [value]


async def test_a_need_may_ask_for_the_scope_the_address_and_other_needs() -> None:
    def base(member: Member) -> str:
        return member.id

    def positional(event: str, /, base: Annotated[str, Needs(base)], limit: int = 3) -> str:
        return f"{event} {base} {limit}"

    def top(
        own: Annotated[str, Needs(positional)], room: str, number: int, *args: int, **rest: int
    ) -> str:
        return f"{own} {room} {number + 1}"

    def handler(need: Annotated[str, Needs(top)]) -> None: ...

    assert await made(handler) == ["say ana 3 lobby 8"]


async def test_a_need_is_made_once_per_message() -> None:
    calls: list[int] = []

    def counted() -> int:
        calls.append(1)
        return len(calls)

    def inner(number: Annotated[int, Needs(counted)]) -> int:
        return number

    def handler(
        a: Annotated[int, Needs(counted)],
        b: Annotated[int, Needs(inner)],
        c: Annotated[int, "a note"],
    ) -> None: ...

    plan, numbers = planned(handler)
    assert numbers == [0, 1, None]
    assert len(plan) == 2
    assert await made(handler) == [1, 1]
    assert await made(handler) == [2, 2]


async def test_depends_of_fastapi_is_understood() -> None:
    calls: list[int] = []

    def counted() -> int:
        calls.append(1)
        return len(calls)

    def handler(
        a: Annotated[int, "a note", Depends(counted)],
        b: int = Depends(counted),  # type: ignore[assignment]
        c: int = Depends(counted, use_cache=False),  # type: ignore[assignment]
        d: Made = Depends(),  # type: ignore[assignment]  # noqa: B008
    ) -> None: ...

    one, two, three, four = await made(handler)
    assert (one, two, three) == (1, 1, 2)
    assert isinstance(four, Made)
    assert four.room == "lobby"


async def test_needs_are_closed_in_reverse_and_hear_the_exception() -> None:
    heard: list[str] = []

    async def outer() -> AsyncIterator[str]:
        try:
            yield "outer"
        except RuntimeError as error:
            heard.append(f"outer {error}")
            raise

    def inner(outer: Annotated[str, Needs(outer)]) -> Iterator[str]:
        try:
            yield "inner"
        finally:
            heard.append("inner")

    def handler(need: Annotated[str, Needs(inner)]) -> None: ...

    plan, _ = planned(handler)
    with pytest.raises(RuntimeError, match="broken"):
        async with AsyncExitStack() as stack:
            await plan.run(stack, SCOPE)
            raise RuntimeError("broken")
    assert heard == ["inner", "outer broken"]


async def test_a_part_of_the_address_that_does_not_fit_a_need_is_refused() -> None:
    def handler(need: Annotated[int, Needs(lambda room: room)]) -> None: ...
    def strict(room: int) -> int:
        return room

    handler.__annotations__["need"] = Annotated[int, Needs(strict)]
    with pytest.raises(Refused):
        await made(handler)


def unfillable(request: object) -> None: ...


def in_a_circle(other: object) -> None: ...


in_a_circle.__annotations__["other"] = Annotated[object, Needs(in_a_circle)]


@pytest.mark.parametrize(
    ("dependency", "text"),
    [
        (unfillable, "parameter `request` of a need cannot be filled; it may be Member, a part"),
        (in_a_circle, "parameter `other` needs what needs it"),
        (5, "parameter `need` needs 5, which is no function"),
    ],
)
def test_a_need_that_cannot_be_made_is_an_error_at_once(dependency: Any, text: str) -> None:
    def handler(need: object) -> None: ...

    handler.__annotations__["need"] = Annotated[object, Needs(dependency)]
    with pytest.raises(ConfigurationError, match=text):
        planned(handler)
