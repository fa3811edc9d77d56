"""Line: what waits, what is kept, and who must wait, when the network is slow or gone."""

import asyncio
from collections.abc import Sequence
from typing import Any

from anywire.client.line import PRESSING
from anywire.payload import Payload
from tests.client.memory import settle
from tests.client.test_calls import Scripted


async def started() -> Scripted:
    desk = Scripted()
    await desk.begin()
    return desk


async def test_what_is_said_in_one_turn_goes_out_as_one_write() -> None:
    desk = await started()
    writes: list[int] = []
    link = desk.dialer.link
    write = link.write

    def counted(payloads: Sequence[Payload]) -> None:
        writes.append(len(payloads))
        write(payloads)

    link.write = counted  # type: ignore[method-assign]
    for number in range(10):
        await desk.chat.send("say", number)
    await settle()
    assert writes == [10]
    await desk.client.close()


async def test_while_the_network_is_slow_senders_wait_and_nothing_overtakes() -> None:
    desk = await started()
    link = desk.dialer.link
    link.is_blocked = True
    first = asyncio.create_task(desk.chat.send("say", 1))
    second = asyncio.create_task(desk.chat.send("say", 2))
    assert not await refused_volatile(desk)
    assert await desk.sent() == []
    assert not first.done()
    link.unblock()
    assert await first and await second
    await desk.chat.send("say", 3)
    assert [one["data"] for one in await desk.sent()] == [1, 2, 3]
    await desk.client.close()


async def refused_volatile(desk: Scripted) -> bool:
    sending = asyncio.create_task(desk.chat.send("pos", 1, volatile=True))
    await settle()
    is_waiting = not sending.done()
    sending.cancel()
    return not is_waiting


async def test_senders_wait_for_acknowledgements_so_that_a_resume_has_everything() -> None:
    desk = await started()
    sent: list[int] = []

    async def send() -> None:
        for number in range(PRESSING + 50):
            await desk.chat.send("say", number)
            sent.append(number)

    task = asyncio.create_task(send())
    first = await desk.sent()
    assert not task.done()
    assert len(first) + 1 == PRESSING  # beside the join
    desk.dialer.link.cut()
    await desk.clock.pass_(0.5)
    desk.dialer.welcome(resumed=True, received=101)
    again = await desk.sent()
    assert [one["data"] for one in again][:155] == list(range(100, 255))
    desk.say(type="ack", received=200)
    await settle()
    assert task.done()
    assert sent == list(range(PRESSING + 50))
    everything = [one["data"] for one in first[:100] + again + await desk.sent()]
    assert everything == list(range(PRESSING + 50))
    await desk.client.close()


async def test_a_large_heap_of_one_turn_is_written_before_more_is_taken() -> None:
    desk = await started()
    text = "x" * 20_000
    for _ in range(10):
        await desk.chat.send("say", text)
    assert len(await desk.sent()) == 10
    await desk.client.close()


async def test_counts_survive_cuts_and_nothing_is_said_or_heard_twice() -> None:
    desk = await started()
    heard: list[Any] = []
    desk.chat.on("said", heard.append)
    await desk.chat.send("say", "a")
    await desk.sent()
    desk.say(type="event", address="chat", event="said", data="x")
    desk.dialer.link.cut()
    await desk.clock.pass_(0.5)
    assert desk.dialer.requests[-1].query["received"] == "2"
    desk.dialer.welcome(resumed=True, received=2)
    assert await desk.sent() == []
    await desk.chat.send("say", "b")
    await desk.sent()
    desk.dialer.link.cut()
    await desk.clock.pass_(1)
    desk.dialer.welcome(resumed=True, received=2)
    assert [one["data"] for one in await desk.sent()] == ["b"]
    assert heard == ["x"]
    await desk.client.close()


async def test_the_server_is_told_at_the_latest_after_64_messages() -> None:
    desk = await started()
    for number in range(130):
        desk.say(type="event", address="chat", event="said", data=number)
    acks = [one["received"] for one in await desk.sent() if one["type"] == "ack"]
    assert acks == [64, 128]
    await desk.client.close()
