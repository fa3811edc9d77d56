"""The two ends of an ASGI connection."""

import asyncio
from typing import Any

import pytest

from anywire.core.stepping import Stepper
from anywire.servers.asgilink import Hearing, Sending
from anywire.servers.guest import Message


class Ear:
    """A `receive` that a test feeds, and what was taken from it."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()
        self.taken: list[Any] = []
        self.asked = 0
        self.hearing = Hearing(self.receive, self.take)

    async def receive(self) -> Message:
        self.asked += 1
        return await self.inbox.get()

    def take(self, message: Message) -> None:
        self.taken.append(message["n"])

    def tell(self, number: int) -> None:
        self.inbox.put_nowait({"n": number})

    async def turns(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_what_the_host_says_is_taken_in_order_until_it_is_left() -> None:
    ear = Ear()
    running = asyncio.create_task(ear.hearing.run())
    for number in range(3):
        ear.tell(number)
    await ear.turns()
    assert ear.taken == [0, 1, 2]
    assert ear.hearing.leave()
    assert ear.hearing.leave()
    await running
    assert running.cancelling() == 0


async def test_after_a_pause_the_host_is_asked_for_nothing() -> None:
    ear = Ear()
    running = asyncio.create_task(ear.hearing.run())
    await ear.turns()
    ear.hearing.pause()
    ear.hearing.pause()
    ear.tell(1)
    ear.tell(2)
    await ear.turns()
    assert (ear.taken, ear.asked) == ([], 1)
    ear.hearing.resume()
    ear.hearing.resume()
    await ear.turns()
    assert ear.taken == [1, 2]
    ear.hearing.leave()
    await running


async def test_who_leaves_while_paused_takes_nothing_more() -> None:
    ear = Ear()
    running = asyncio.create_task(ear.hearing.run())
    await ear.turns()
    ear.hearing.pause()
    ear.tell(1)
    await ear.turns()
    ear.hearing.leave()
    ear.hearing.pause()
    await running
    assert ear.taken == []


async def test_it_may_be_left_before_it_runs_and_from_inside() -> None:
    early, inside = Ear(), Ear()
    early.hearing.leave()
    await early.hearing.run()
    assert early.asked == 0

    def leave(message: Message) -> None:
        inside.hearing.leave()

    inside.hearing.take = leave
    inside.tell(1)
    await inside.hearing.run()
    assert inside.asked == 1


async def test_a_cancellation_of_the_host_is_not_ours_to_swallow() -> None:
    ear = Ear()
    running = asyncio.create_task(ear.hearing.run())
    await ear.turns()
    running.cancel()
    ear.hearing.leave()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_where_tasks_cannot_be_cancelled_the_next_message_is_the_end() -> None:
    ear = Ear()
    running = asyncio.create_task(ear.hearing.run())
    await ear.turns()
    ear.hearing._task = None
    assert not ear.hearing.leave()
    ear.tell(1)
    await running
    assert ear.taken == []


class Mouth:
    """A `send` that a test holds or breaks, and what was told of it."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.told: list[str] = []
        self.gate: asyncio.Future[None] | None = None
        self.error: Exception | None = None
        self.sending = Sending(
            self.send,
            Stepper(),
            drained=lambda: self.told.append("drained"),
            broken=lambda: self.told.append("broken"),
        )

    def hold(self) -> None:
        self.gate = asyncio.get_running_loop().create_future()

    def let_go(self) -> None:
        assert self.gate is not None
        self.gate.set_result(None)
        self.gate = None

    async def send(self, message: Message) -> None:
        if self.gate is not None:
            await self.gate
        if self.error is not None:
            raise self.error
        self.said.append(message["n"])

    def say(self, *numbers: int) -> None:
        self.sending.put([({"n": number}, 10) for number in numbers])

    async def turns(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_what_the_host_takes_at_once_costs_no_task_and_no_word() -> None:
    mouth = Mouth()
    before = asyncio.all_tasks()
    mouth.say(1, 2)
    mouth.say()
    assert mouth.said == [1, 2]
    assert (mouth.sending.size, mouth.sending.is_idle, mouth.told) == (0, True, [])
    assert asyncio.all_tasks() == before


async def test_what_waits_is_counted_and_leaves_in_order() -> None:
    mouth = Mouth()
    mouth.hold()
    mouth.say(1, 2)
    mouth.say(3)
    assert (mouth.said, mouth.sending.size, mouth.sending.is_idle) == ([], 30, False)
    mouth.let_go()
    await mouth.turns()
    assert mouth.said == [1, 2, 3]
    assert (mouth.sending.size, mouth.sending.is_idle, mouth.told) == (0, True, ["drained"])


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_host_that_breaks_is_told_once_and_given_nothing_more(is_late: bool) -> None:
    mouth = Mouth()
    mouth.error = OSError("gone")
    if is_late:
        mouth.hold()
    mouth.say(1, 2)
    if is_late:
        mouth.let_go()
        await mouth.turns()
    mouth.error = None
    mouth.say(3)
    assert (mouth.said, mouth.told, mouth.sending.is_broken) == ([], ["broken"], True)
    assert (mouth.sending.size, mouth.sending.is_idle) == (0, True)


async def test_after_an_abort_nothing_is_said_or_told() -> None:
    mouth = Mouth()
    mouth.hold()
    mouth.say(1, 2)
    mouth.sending.abort()
    await mouth.turns()
    mouth.gate = None
    mouth.say(3)
    mouth.sending.abort()
    assert (mouth.said, mouth.told, mouth.sending.is_idle) == ([], [], True)


async def test_an_abort_between_two_messages_drops_the_second() -> None:
    mouth = Mouth()
    mouth.hold()
    mouth.say(1, 2)
    mouth.let_go()
    mouth.sending._clear()
    await mouth.turns()
    assert mouth.said == [1]
