"""Tests of anywire.core.calls."""

import asyncio

import pytest

from anywire.core.calls import Calls
from anywire.errors import CallFailed
from anywire.frames import Reply
from tests.core.support import Clock, turns


def calls(clock: Clock, bound: int = 3) -> Calls:
    return Calls(clock.deadlines, clock.now, bound)


async def test_an_answer_reaches_who_asked() -> None:
    clock = Clock()
    waiting = calls(clock)
    first, one = waiting.open(5)
    second, two = waiting.open(5)
    assert (first, second) == (1, 2)
    assert waiting.answer(Reply(second, "a"))
    assert await two == Reply(second, "a")
    assert not one.done()
    one.cancel()


async def test_what_was_answered_waits_no_more_and_leaves_no_deadline() -> None:
    clock = Clock()
    waiting = calls(clock)
    ref, future = waiting.open(5)
    assert len(waiting) == len(clock.deadlines) == 1
    waiting.answer(Reply(ref, "a"))
    await future
    await turns(1)
    assert len(waiting) == len(clock.deadlines) == 0


async def test_an_answer_that_nobody_waits_for_is_not_taken() -> None:
    clock = Clock()
    waiting = calls(clock)
    ref, future = waiting.open(5)
    assert not waiting.answer(Reply(99, "a"))
    assert waiting.answer(Reply(ref, "a"))
    assert not waiting.answer(Reply(ref, "again"))
    assert (await future).alias == "a"
    await turns(1)
    assert not waiting.answer(Reply(ref, "late"))


async def test_a_call_without_an_answer_fails_in_time() -> None:
    clock = Clock()
    waiting = calls(clock)
    _, future = waiting.open(5)
    clock.move(4.9)
    assert not future.done()
    clock.move(0.1)
    with pytest.raises(CallFailed, match=r"timeout: no answer within 5 s"):
        await future
    await turns(1)
    assert len(waiting) == len(clock.deadlines) == 0


async def test_the_answer_counts_that_came_before_the_deadline_of_the_same_turn() -> None:
    clock = Clock()
    waiting = calls(clock)
    ref, future = waiting.open(5)
    waiting.answer(Reply(ref, "a"))
    clock.move(5)
    assert (await future).alias == "a"


async def test_one_call_too_many_is_busy() -> None:
    clock = Clock()
    waiting = calls(clock, bound=2)
    futures = [waiting.open(5)[1] for _ in range(2)]
    with pytest.raises(CallFailed, match="busy: 2 calls"):
        waiting.open(5)
    for future in futures:
        future.cancel()
    await turns(1)
    waiting.open(5)[1].cancel()


async def test_a_caller_that_is_cancelled_leaves_nothing_behind() -> None:
    clock = Clock()
    waiting = calls(clock)

    async def ask() -> None:
        await waiting.open(5)[1]

    task = asyncio.create_task(ask())
    await turns(1)
    task.cancel()
    await asyncio.wait([task])
    await turns(1)
    assert len(waiting) == len(clock.deadlines) == 0


async def test_all_that_wait_are_lost_when_the_client_is() -> None:
    clock = Clock()
    waiting = calls(clock)
    ref, answered = waiting.open(5)
    _, one = waiting.open(5)
    _, two = waiting.open(5)
    waiting.answer(Reply(ref, "a"))
    waiting.lose()
    assert (await answered).alias == "a"
    for future in (one, two):
        with pytest.raises(CallFailed, match="lost"):
            await future
    await turns(1)
    assert len(waiting) == len(clock.deadlines) == 0


async def test_a_time_out_and_a_loss_in_one_turn_are_one_failure() -> None:
    clock = Clock()
    waiting = calls(clock)
    _, future = waiting.open(5)
    waiting.lose()
    clock.move(5)
    with pytest.raises(CallFailed, match="lost"):
        await future


async def test_to_close_what_is_not_open_changes_nothing() -> None:
    waiting = calls(Clock())
    waiting.close(7)
    assert len(waiting) == 0
