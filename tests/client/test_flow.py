"""Flow: values for a reader who may be slow, or gone."""

import asyncio

import pytest

from anywire.client.flow import Flow
from anywire.errors import CallFailed, Closed
from anywire.payload import Policy
from tests.client.memory import settle


async def read(flow: Flow[int]) -> list[int]:
    return [value async for value in flow]


async def test_values_come_in_order_then_the_end() -> None:
    flow: Flow[int] = Flow()
    flow.push(1)
    reading = asyncio.create_task(read(flow))
    await settle()
    flow.push(2)
    await settle()
    flow.push(3)
    flow.end()
    flow.end(Closed())
    flow.push(4)
    assert await reading == [1, 2, 3]


async def test_an_error_is_raised_after_what_came_before_it_and_only_once() -> None:
    flow: Flow[int] = Flow()
    flow.push(1)
    flow.end(Closed(1001, "gone"))
    assert await anext(flow) == 1
    with pytest.raises(Closed):
        await anext(flow)
    assert await read(flow) == []


async def test_past_its_bound_a_flow_ends_with_busy_and_says_so() -> None:
    told: list[bool] = []
    flow: Flow[int] = Flow(most=2, on_full=lambda: told.append(True))
    for value in range(4):
        flow.push(value)
    assert told == [True]
    with pytest.raises(CallFailed, match="busy: more than 2 items"):
        await anext(flow)
    quiet: Flow[int] = Flow(most=0)
    quiet.push(1)
    with pytest.raises(CallFailed, match="busy"):
        await anext(quiet)


async def test_drop_oldest_gives_the_oldest_up_and_counts() -> None:
    flow: Flow[int] = Flow(most=2, policy=Policy.DROP_OLDEST)
    for value in range(5):
        flow.push(value)
    flow.end()
    assert flow.dropped == 3
    assert await read(flow) == [3, 4]


async def test_a_reader_that_gives_up_leaves_its_value_to_the_next() -> None:
    flow: Flow[int] = Flow()
    first, second, third = (asyncio.create_task(anext(flow)) for _ in range(3))
    await settle()
    third.cancel()
    await settle()
    flow.push(1)
    first.cancel()
    assert await second == 1
    assert first.cancelled()


async def test_the_end_wakes_every_reader() -> None:
    flow: Flow[int] = Flow()
    tasks = [asyncio.create_task(read(flow)) for _ in range(3)]
    await settle()
    flow.end()
    assert await asyncio.gather(*tasks) == [[], [], []]
