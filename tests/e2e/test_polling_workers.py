"""Requests over several workers: whichever takes one, the session is found, and nothing is lost,
reordered or heard twice.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from anywire.client import Channel, Client, Event, HttpDialer, connect
from tests.e2e.processes import HERE
from tests.servers.supervised import Supervised, supervised

pytestmark = [pytest.mark.slow, pytest.mark.net]

WORKERS = 4
CLIENTS = 6
MESSAGES = 40


class Talker:
    """A client whose every request has a connection of its own, and so a worker by chance."""

    def __init__(self, client: Client, by: int) -> None:
        self.client = client
        self.by = by
        self.chat: Channel = client.channel("chat")
        self.said: list[tuple[int, int]] = []
        self.offsets: list[int] = []
        self.states: list[str] = []
        self.all_heard = asyncio.Event()
        client.on("state", lambda state, _: self.states.append(state))

    async def listen(self) -> None:
        async for event in self.chat:
            self.hear(event)

    def hear(self, event: Event) -> None:
        by, number = event.data
        assert event.position is not None
        self.said.append((by, number))
        self.offsets.append(event.position.offset)
        if len(self.said) == CLIENTS * MESSAGES:
            self.all_heard.set()

    async def talk(self) -> None:
        """Say the numbers in order, some at once: the order on one session is kept."""
        number = 0
        while number < MESSAGES:
            burst = range(number, min(MESSAGES, number + random.randint(1, 4)))
            offsets = await asyncio.gather(
                *(self.chat.call("say", by=self.by, number=one) for one in burst)
            )
            assert offsets == sorted(offsets)
            number = burst.stop


@pytest.fixture
async def server() -> AsyncIterator[Supervised]:
    async with supervised(HERE / "polled.py:app", count=WORKERS) as server:
        yield server


@pytest.mark.parametrize("carrier", ["events", "stream", "poll"])
async def test_each_request_may_reach_any_worker(carrier: Any, server: Supervised) -> None:
    async with AsyncExitStack() as stack:
        talkers: list[Talker] = []
        for by in range(CLIENTS):
            client = connect(f"{server.url}/ws", dialer=HttpDialer(carrier, fresh=True))
            talker = Talker(await stack.enter_async_context(client), by)
            await talker.chat.join()
            talkers.append(talker)
        listening = [asyncio.create_task(talker.listen()) for talker in talkers]
        await asyncio.gather(*(talker.talk() for talker in talkers))
        async with asyncio.timeout(20):
            await asyncio.gather(*(talker.all_heard.wait() for talker in talkers))
        counted = await talkers[0].chat.call("counters")
        for task in listening:
            task.cancel()
        await asyncio.wait(listening)

        first = talkers[0]
        assert sorted(first.said) == [(by, n) for by in range(CLIENTS) for n in range(MESSAGES)]
        assert first.offsets == sorted(set(first.offsets))
        for talker in talkers:
            assert talker.said == first.said  # one order, for all
            own = [number for by, number in first.said if by == talker.by]
            assert own == list(range(MESSAGES))
            assert talker.states == []  # nobody had to come back: no session was unknown

    assert len(counted) == WORKERS
    requests = sum(node["requests"] for node in counted)
    forwarded = sum(node["forwarded"] for node in counted)
    assert requests > CLIENTS * MESSAGES / 4
    assert forwarded >= requests / 2  # most reached a worker that does not own the session
