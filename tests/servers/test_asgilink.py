"""The two ends of one ASGI connection: what is heard, what is said, and how both stop."""

import asyncio
from collections.abc import Generator

import pytest

from anywire.core.stepping import Stepper
from anywire.servers.asgilink import Hearing, Sending
from anywire.servers.guest import Message
from tests.core.support import turns


class Host:
    """A host of queues, and what was heard from it and taken by it."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.asked = 0
        self.hearing = Hearing(self._receive, self._take)
        self.said: list[str] = []
        self.drains = 0
        self.breaks = 0
        self.takes = asyncio.Event()
        self.takes.set()
        self.error: Exception | None = None
        stepper = Stepper()
        self.sending = Sending(self._send, stepper, drained=self._drained, broken=self._broken)
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()

    def tell(self, *kinds: str) -> None:
        """These are there to be received."""
        for kind in kinds:
            self._inbox.put_nowait({"type": kind})

    def say(self, *kinds: str) -> None:
        """Say these, each of ten bytes."""
        self.sending.put([({"type": kind}, 10) for kind in kinds])

    async def _receive(self) -> Message:
        self.asked += 1
        return await self._inbox.get()

    def _take(self, message: Message) -> None:
        self.heard.append(message["type"])
        if message["type"] == "pause":
            self.hearing.pause()
        if message["type"] == "leave":
            assert self.hearing.leave()

    async def _send(self, message: Message) -> None:
        await self.takes.wait()
        if self.error is not None:
            raise self.error
        self.said.append(message["type"])

    def _drained(self) -> None:
        self.drains += 1

    def _broken(self) -> None:
        self.breaks += 1


async def run(host: Host) -> asyncio.Task[None]:
    """Hears until it waits for more."""
    task = asyncio.create_task(host.hearing.run())
    await turns()
    return task


# --- hearing --------------------------------------------------------------------------------------


async def test_messages_are_taken_in_order_until_one_of_them_is_the_last() -> None:
    host = Host()
    host.tell("a", "b", "leave", "c")
    async with asyncio.timeout(5):
        await host.hearing.run()
    assert (host.heard, host.asked) == (["a", "b", "leave"], 3)


async def test_a_host_is_asked_for_nothing_while_hearing_is_paused() -> None:
    host = Host()
    host.tell("a", "pause", "b", "leave")
    task = await run(host)
    assert (host.heard, host.asked) == (["a", "pause"], 2)
    host.hearing.resume()
    await task
    assert host.heard == ["a", "pause", "b", "leave"]


async def test_what_was_asked_for_before_a_pause_is_kept_until_the_end_of_it() -> None:
    host = Host()
    task = await run(host)
    host.hearing.pause()
    host.tell("a", "b")
    await turns()
    assert (host.heard, host.asked) == ([], 1)
    host.hearing.resume()
    host.hearing.pause()
    await turns()
    assert host.heard == []
    host.hearing.resume()
    await turns()
    assert host.heard == ["a", "b"]
    host.hearing.leave()
    await task


async def test_leaving_from_elsewhere_ends_the_wait_and_nothing_else() -> None:
    host = Host()
    went_on = asyncio.Event()

    async def serve() -> None:
        await host.hearing.run()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await turns()
        went_on.set()

    task = asyncio.create_task(serve())
    await turns()
    assert host.hearing.leave()
    assert host.hearing.leave()
    host.hearing.pause()
    async with asyncio.timeout(5):
        await task
    assert went_on.is_set()
    assert host.heard == []


async def test_leaving_while_paused_drops_what_has_come() -> None:
    host = Host()
    task = await run(host)
    host.hearing.pause()
    host.tell("a")
    await turns()
    assert host.hearing.leave()
    async with asyncio.timeout(5):
        await task
    assert host.heard == []


async def test_who_has_left_before_asks_for_nothing() -> None:
    host = Host()
    assert host.hearing.leave()
    await host.hearing.run()
    assert host.asked == 0


async def test_leaving_between_two_messages_asks_for_no_other() -> None:
    host = Host()
    host.hearing.pause()
    task = await run(host)
    host.hearing.leave()
    async with asyncio.timeout(5):
        await task
    assert host.asked == 0


@pytest.mark.parametrize("has_left", [False, True])
async def test_what_cancels_the_host_itself_is_not_swallowed(has_left: bool) -> None:
    host = Host()
    task = await run(host)
    if has_left:
        host.hearing.leave()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Held:
    """Awaited outside of any task: whoever drives the coroutine answers."""

    def __await__(self) -> Generator[None, Message, Message]:
        return (yield)


async def test_a_host_without_tasks_is_heard_until_its_next_message() -> None:
    heard: list[Message] = []
    steps: list[object] = []

    async def receive() -> Message:
        return await Held()

    def drive() -> None:
        hearing = Hearing(receive, heard.append)
        coroutine = hearing.run()
        coroutine.send(None)
        steps.append(hearing.leave())
        try:
            coroutine.send({"type": "late"})
        except StopIteration:
            steps.append("ended")

    asyncio.get_running_loop().call_soon(drive)
    await turns()
    assert (steps, heard) == ([False, "ended"], [])


# --- sending --------------------------------------------------------------------------------------


async def test_what_a_host_takes_at_once_costs_no_task_and_is_no_news() -> None:
    host = Host()
    host.say("a", "b")
    assert (host.said, host.sending.size, host.sending.is_idle) == (["a", "b"], 0, True)
    await turns()
    assert host.drains == 0


async def test_a_slow_host_is_told_in_order_and_says_once_that_it_has_all() -> None:
    host = Host()
    host.takes.clear()
    host.say("a", "b")
    host.say("c")
    host.sending.put([])
    assert (host.said, host.sending.size, host.sending.is_idle) == ([], 30, False)
    host.takes.set()
    await turns()
    assert (host.said, host.sending.size, host.sending.is_idle) == (["a", "b", "c"], 0, True)
    assert (host.drains, host.breaks) == (1, 0)


@pytest.mark.parametrize("is_slow", [False, True])
async def test_a_host_that_hung_up_is_told_nothing_more(is_slow: bool) -> None:
    host = Host()
    host.error = OSError("gone")
    if is_slow:
        host.takes.clear()
    host.say("a", "b")
    host.takes.set()
    await turns()
    assert (host.breaks, host.drains) == (1, 0)
    assert (host.sending.size, host.sending.is_broken, host.sending.is_idle) == (0, True, True)
    host.error = None
    host.say("c")
    await turns()
    assert (host.said, host.breaks) == ([], 1)


async def test_an_abort_drops_what_waits_and_is_no_news() -> None:
    host = Host()
    host.takes.clear()
    host.say("a", "b")
    host.sending.abort()
    assert (host.sending.size, host.sending.is_broken) == (0, True)
    host.takes.set()
    await turns()
    host.say("c")
    await turns()
    assert (host.said, host.drains, host.breaks) == ([], 0, 0)
    assert host.sending.is_idle


async def test_a_host_that_takes_a_message_in_spite_of_an_abort_is_told_no_other() -> None:
    class Stubborn(Host):
        async def _send(self, message: Message) -> None:
            try:
                await self.takes.wait()
            except asyncio.CancelledError:
                self.said.append(message["type"])

    host = Stubborn()
    host.takes.clear()
    host.say("a", "b")
    await turns()
    host.sending.abort()
    await turns()
    assert (host.said, host.sending.size, host.sending.is_idle) == (["a"], 0, True)
