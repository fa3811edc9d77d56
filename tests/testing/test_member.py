"""A member of a test: calls, streams both ways, questions, events that were put aside."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from anywire import Anywire, Member, Refused, Unsupported
from anywire.testing import connect

BOTH = pytest.mark.parametrize("wire", ["anywire", "anywire.msgpack"])


def make() -> Anywire:
    app = Anywire()
    desk = app.channel("desk")
    app.ended = []  # type: ignore[attr-defined]

    @desk.on("sum")
    async def sums(first: AsyncIterator[int], second: AsyncIterator[int]) -> list[int]:
        return [sum([item async for item in first]), sum([item async for item in second])]

    @desk.on("first")
    async def first(items: AsyncIterator[int]) -> int:
        async for item in items:
            return item
        return 0

    @desk.on("count")
    async def count() -> AsyncIterator[int]:
        try:
            for number in range(1000):
                yield number
                await asyncio.sleep(0)
        finally:
            app.ended.append("count")  # type: ignore[attr-defined]

    @desk.on("fail")
    async def fail() -> AsyncIterator[int]:
        yield 1
        raise Refused("enough", "no more than one")

    @desk.on("ask")
    async def ask(member: Member) -> object:
        return await member.call("question", 20, returns=int)

    @desk.on("tell")
    async def tell(member: Member) -> None:
        await member.send("one", 1)
        await member.send("two", 1, 2)
        await member.send("none")

    return app


@BOTH
async def test_uploads_reach_the_handler_in_the_order_of_its_parameters(wire: str) -> None:
    async def later() -> AsyncIterator[int]:
        for number in range(200):
            await asyncio.sleep(0)
            yield number

    async with connect(make(), wire=wire) as client:
        desk = await client.join("desk")
        assert await desk.call("sum", uploads=[[1, 2, 3], later()]) == [6, 19900]


@BOTH
async def test_an_upload_nobody_wants_any_more_ends(wire: str) -> None:
    async with connect(make(), wire=wire) as client:
        desk = await client.join("desk")
        assert await desk.call("first", uploads=[range(10_000)]) == 0
        assert len(client.log) < 100


async def test_an_upload_that_fails_here_fails_the_call_here() -> None:
    def broken() -> AsyncIterator[int]:
        return 1 / 0  # type: ignore[return-value]

    async def late() -> AsyncIterator[int]:
        yield broken()  # type: ignore[misc]

    async with connect(make(), timeout=0.05) as client:
        desk = await client.join("desk")
        with pytest.raises(ZeroDivisionError):
            await desk.call("first", uploads=[late()])


async def test_an_upload_that_is_refused_here_is_refused_there() -> None:
    async def late() -> AsyncIterator[int]:
        yield 1
        raise Refused("enough", "no more")

    async with connect(make()) as client:
        desk = await client.join("desk")
        with pytest.raises(Refused):
            await desk.call("sum", uploads=[late(), []])


async def test_leaving_a_stream_cancels_it() -> None:
    app = make()
    async with connect(app) as client:
        desk = await client.join("desk")
        items = desk.stream("count")
        assert [await anext(items), await anext(items)] == [0, 1]
        await items.aclose()  # type: ignore[attr-defined]
        await desk.silence()
        assert app.ended == ["count"]  # type: ignore[attr-defined]


async def test_a_stream_that_fails_raises_after_its_items() -> None:
    async with connect(make()) as client:
        desk = await client.join("desk")
        items = desk.stream("fail")
        assert await anext(items) == 1
        with pytest.raises(Refused, match="enough: no more than one"):
            await anext(items)


async def test_a_question_can_be_refused() -> None:
    def no(_: object) -> object:
        raise Refused("no", "not today")

    async with connect(make()) as client:
        desk = await client.join("desk")
        desk.answer("question", no)
        with pytest.raises(Refused):
            await desk.call("ask")


async def test_events_of_another_name_are_kept_for_later() -> None:
    async with connect(make()) as client:
        desk = await client.join("desk")
        await desk.call("tell")
        assert await desk.next("none") is None
        assert await desk.next("two") == [1, 2]
        assert await desk.next() == 1
        await desk.silence()


async def test_a_wire_without_answers_says_so_at_once() -> None:
    async with connect(make(), wire="raw") as client:
        desk = await client.join("desk")
        with pytest.raises(Unsupported, match="calls"):
            await desk.call("ask")
        with pytest.raises(Unsupported, match="uploads"):
            await desk.call("first", uploads=[[1]])
        with pytest.raises(Unsupported, match="streams"):
            await anext(desk.stream("count"))
