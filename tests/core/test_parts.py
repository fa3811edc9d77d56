"""Parts: signatures that cannot work are errors at decoration; needs stand around the call."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pytest
from msgspec import Struct

from anywire.body import NO_ARGS, Args, Form, Shape
from anywire.core.needs import Needs
from anywire.core.parts import Parts
from anywire.core.signature import Function, Lookup, Scope
from anywire.errors import ConfigurationError, Refused


class Member:
    pass


class Order(Struct):
    symbol: str


MEMBER = Member()
LOOKUP = Lookup(("room",), {Member: "member"}, takes_event=True)


def scope(*uploads: object) -> Scope:
    return Scope(MEMBER, {"room": "lobby"}, "say", uploads=uploads)


def invoke(
    call: Callable[..., Any], args: Args = NO_ARGS, *uploads: object, is_stream: bool = False
) -> Any:
    parts = Parts(Function(call), LOOKUP)
    return parts.invoke(parts.fields(False, 32), is_stream=is_stream)(scope(*uploads), args)


def listed(text: str) -> Args:
    return Args(text.encode(), Form.JSON, Shape.LIST)


def one(text: str) -> Args:
    return Args(text.encode(), Form.JSON, Shape.ONE)


def given(*args: Any, **fields: Any) -> tuple[Any, ...]:
    return (*args, fields) if fields else args


def none() -> object:
    return given()


def lead(member: Member, text: str) -> object:
    return given(member, text)


def leads(member: Member, room: str, event: str, text: str, n: int = 1) -> object:
    return given(member, room, event, text, n)


def mixed(text: str, member: Member, n: int = 1) -> object:
    return given(text, member, n)


def by_name(member: Member, text: str, *, n: int = 1, room: str) -> object:
    return given(member, text, n=n, room=room)


def rest(member: Member, event: str, *args: int) -> object:
    return given(member, event, *args)


def others(text: str, **fields: int) -> object:
    return given(text, **fields)


def all_kinds(a: int, /, member: Member, *args: int, n: int = 2, **fields: int) -> object:
    return given(a, member, *args, n=n, **fields)


def uploads(first: AsyncIterator[int], text: str, second: AsyncIterable[str]) -> object:
    return given(first, text, second)


@pytest.mark.parametrize(
    ("call", "args", "expected"),
    [
        (none, NO_ARGS, ()),
        (lead, listed('["hi"]'), (MEMBER, "hi")),
        (lead, one('{"text":"hi"}'), (MEMBER, "hi")),
        (leads, listed('["hi",2]'), (MEMBER, "lobby", "say", "hi", 2)),
        (leads, one('{"text":"hi"}'), (MEMBER, "lobby", "say", "hi", 1)),
        (mixed, listed('["hi"]'), ("hi", MEMBER, 1)),
        (by_name, listed('["hi"]'), (MEMBER, "hi", {"n": 1, "room": "lobby"})),
        (by_name, one('{"n":3,"text":"hi"}'), (MEMBER, "hi", {"n": 3, "room": "lobby"})),
        (rest, listed("[1,2]"), (MEMBER, "say", 1, 2)),
        (rest, NO_ARGS, (MEMBER, "say")),
        (others, one('{"text":"hi","a":1}'), ("hi", {"a": 1})),
        (all_kinds, listed("[1,2,3]"), (1, MEMBER, 2, 3, {"n": 2})),
        (all_kinds, one('{"a":1,"n":3,"b":4}'), (1, MEMBER, {"n": 3, "b": 4})),
    ],
)
def test_each_kind_of_parameter_gets_its_own(
    call: Callable[..., Any], args: Args, expected: object
) -> None:
    assert invoke(call, args) == expected


def test_uploads_are_filled_in_their_order() -> None:
    first, second = object(), object()
    assert invoke(uploads, listed('["hi"]'), first, second) == (first, "hi", second)


def test_a_wrong_number_of_streams_is_refused() -> None:
    with pytest.raises(Refused, match="1 streams where 2 fit: first, second"):
        invoke(uploads, listed('["hi"]'), object())


def two_wholes(a: str | bytes, b: str | bytes) -> None: ...
def loose_rest(*args: str | bytes) -> None: ...
def loose_others(**fields: str | bytes) -> None: ...
def loose_beside_rest(a: str | bytes, *args: int) -> None: ...
def inside(a: list[str | bytes]) -> None: ...
def unknown(a: complex) -> None: ...
def several(a: int, b: int) -> None: ...
def one_and_rest(a: int, *args: int) -> None: ...
def optional_stream(a: AsyncIterator[int] | None) -> None: ...


@pytest.mark.parametrize(
    ("call", "is_message", "text"),
    [
        (two_wholes, False, r"`a` may be `str \| bytes` only as the lone argument"),
        (loose_beside_rest, False, r"`a` may be `str \| bytes` only as the lone argument"),
        (loose_rest, False, r"cannot catch `str \| bytes`; take `object`"),
        (loose_others, False, r"cannot catch `str \| bytes`; take `object`"),
        (inside, False, "`a` cannot be read from a message: Type unions may not contain"),
        (unknown, False, "`a` cannot be read from a message: complex is no type"),
        (optional_stream, False, "`a` cannot be read from a message: AsyncIterator is no type"),
        (several, True, "`a` is one of several, but a message is one whole value"),
        (one_and_rest, True, "`a` is one of several, but a message is one whole value"),
    ],
)
def test_a_signature_that_cannot_work_is_an_error_with_its_place(
    call: Callable[..., Any], is_message: bool, text: str
) -> None:
    with pytest.raises(ConfigurationError, match=text) as caught:
        Parts(Function(call), LOOKUP).fields(is_message, 32)
    line = call.__code__.co_firstlineno
    assert f"test_parts.py:{line}: {call.__name__}()" in str(caught.value)


def test_items_that_no_message_can_hold_are_an_error() -> None:
    def handler(items: AsyncIterator[complex]) -> None: ...

    parts = Parts(Function(handler), LOOKUP)
    with pytest.raises(ConfigurationError, match="`items` has items that no message can hold"):
        parts.items(parts.streams[0], 32)


def usage(member: Member, order: Order, many: list[int], plain, n=5, *args, **fields): ...  # type: ignore[no-untyped-def]


def test_a_refusal_shows_the_function_without_what_the_client_cannot_give() -> None:
    shown = r"usage\(order: Order, many: list\[int\], plain, n = ..., \*..., \*\*...\)"
    with pytest.raises(Refused, match=shown):
        invoke(usage)


class Resource:
    """A need that notes what happens to it."""

    def __init__(self, *, swallows: bool = False, replaces: bool = False) -> None:
        self.log: list[str] = []
        self.swallows = swallows
        self.replaces = replaces

    async def __call__(self) -> AsyncIterator["Resource"]:
        self.log.append("open")
        try:
            yield self
        except BaseException as error:
            self.log.append(type(error).__name__)
            if self.replaces:
                raise LookupError("replaced") from error
            if not self.swallows:
                raise
        finally:
            self.log.append("close")


def needing(resource: Resource, call: Callable[..., Any]) -> Callable[..., Any]:
    call.__annotations__["need"] = Annotated[Resource, Needs(resource)]
    return call


async def test_a_need_is_open_while_the_handler_runs() -> None:
    resource = Resource()

    async def handler(member: Member, need: Resource, text: str) -> object:
        await asyncio.sleep(0)
        need.log.append(text)
        return given(member, need, text)

    call = invoke(needing(resource, handler), listed('["hi"]'))
    assert resource.log == []
    assert await call == (MEMBER, resource, "hi")
    assert resource.log == ["open", "hi", "close"]


async def test_a_plain_handler_may_have_needs() -> None:
    resource = Resource()

    def handler(need: Resource, *args: int) -> object:
        return given(need, *args)

    assert await invoke(needing(resource, handler), listed("[1,2]")) == (resource, 1, 2)
    assert resource.log == ["open", "close"]


async def test_arguments_are_refused_before_a_need_is_made() -> None:
    resource = Resource()

    async def handler(need: Resource, text: str) -> None: ...

    with pytest.raises(Refused):
        invoke(needing(resource, handler), listed("[5]"))
    assert resource.log == []


@pytest.mark.parametrize("swallows", [False, True])
async def test_a_need_hears_of_a_failure_and_cannot_hide_it(swallows: bool) -> None:
    resource = Resource(swallows=swallows)

    async def handler(need: Resource) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await invoke(needing(resource, handler))
    assert resource.log == ["open", "RuntimeError", "close"]


async def test_a_need_may_put_another_exception_in_its_place() -> None:
    async def handler(need: Resource) -> None:
        raise RuntimeError("broken")

    with pytest.raises(LookupError, match="replaced"):
        await invoke(needing(Resource(replaces=True), handler))


async def test_a_need_is_closed_when_the_handler_is_cancelled() -> None:
    resource = Resource()
    started = asyncio.Event()

    async def handler(need: Resource) -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(invoke(needing(resource, handler)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert resource.log == ["open", "CancelledError", "close"]


async def test_a_need_made_before_one_that_fails_is_closed() -> None:
    resource = Resource()

    def fails() -> None:
        raise LookupError("no")

    async def handler(need: Resource, other: Annotated[None, Needs(fails)]) -> None: ...

    with pytest.raises(LookupError, match="no"):
        await invoke(needing(resource, handler))
    assert resource.log == ["open", "LookupError", "close"]


async def test_a_stream_keeps_its_needs_until_its_end() -> None:
    resource = Resource()

    async def handler(need: Resource, count: int) -> AsyncIterator[int]:
        for number in range(count):
            need.log.append(str(number))
            yield number

    stream = invoke(needing(resource, handler), listed("[2]"), is_stream=True)
    assert [item async for item in stream] == [0, 1]
    assert resource.log == ["open", "0", "1", "close"]


@pytest.mark.parametrize("swallows", [False, True])
async def test_a_stream_that_is_closed_early_closes_handler_and_needs(swallows: bool) -> None:
    resource = Resource(swallows=swallows)

    async def handler(need: Resource) -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            need.log.append("handler")

    stream = invoke(needing(resource, handler), is_stream=True)
    assert await anext(stream) == 1
    await stream.aclose()
    assert resource.log == ["open", "handler", "GeneratorExit", "close"]


async def test_a_stream_that_fails_is_told_to_its_needs() -> None:
    resource = Resource(swallows=True)

    async def handler(need: Resource) -> AsyncIterator[int]:
        yield 1
        raise RuntimeError("broken")

    stream = invoke(needing(resource, handler), is_stream=True)
    assert await anext(stream) == 1
    with pytest.raises(RuntimeError, match="broken"):
        await anext(stream)
    assert resource.log == ["open", "RuntimeError", "close"]


async def test_a_generator_need_closes_too() -> None:
    log: list[str] = []

    def connection() -> Iterator[str]:
        yield "open"
        log.append("close")

    async def handler(db: Annotated[str, Needs(connection)]) -> str:
        return db

    assert await invoke(handler) == "open"
    assert log == ["close"]
