"""A client's own pace on every wire: typing goes on during a stream, and a cancel overtakes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from anywire import Anywire, Member
from anywire.testing import WIRES, TestMember, connect
from anywire.testing.clock import settled

NATIVE = {"anywire", "anywire.msgpack", "signalr", "signalr.msgpack"}
"""Wires with words for streams; on the others each item is an event, and so is the cancel."""
WAITING = 64
TIMEOUT = 2.0


class Desk:
    """An app whose stream goes on when it is fed, and whose slow handler ends when it is let."""

    def __init__(self) -> None:
        self.app = Anywire()
        self.food: asyncio.Queue[int] = asyncio.Queue()
        self.let = asyncio.Event()
        self.stopped = asyncio.Event()
        desk = self.app.channel("desk")

        @desk.on("ticks")
        async def ticks() -> AsyncIterator[int]:
            try:
                while True:
                    yield await self.food.get()
            finally:
                self.stopped.set()

        @desk.on("typing")
        async def typing(member: Member, n: int) -> None:
            await member.send("typed", n)

        @desk.on("slow")
        async def slow() -> None:
            await self.let.wait()

    def waiting(self) -> int:
        """Events that wait for a handler."""
        (session,) = self.app.node.sessions.values()
        return sum(len(member.queue or ()) for member in session.members.values())

    async def stops(self) -> None:
        """The generator of the stream is closed."""
        async with asyncio.timeout(TIMEOUT):
            await self.stopped.wait()


class Ticks:
    """A stream that a client hears, in the words of its wire."""

    def __init__(self, member: TestMember, wire: str) -> None:
        self._member = member
        self._items = member.stream("ticks") if wire in NATIVE else None
        self._id: object = None

    async def start(self) -> None:
        if self._items is None:
            await self._member.push("ticks")

    async def next(self) -> object:
        if self._items is not None:
            return await anext(self._items)
        item = await self._member.next("ticks.item")
        self._id = item["id"]
        return item["data"]

    async def cancel(self) -> None:
        if self._items is None:
            await self._member.push("ticks.cancel", id=self._id)
        else:
            await self._items.aclose()  # type: ignore[attr-defined]


@asynccontextmanager
async def ticking(wire: str) -> AsyncIterator[tuple[Desk, TestMember, Ticks]]:
    """A desk, a client at it, and a stream of which it has heard the first item."""
    desk = Desk()
    async with connect(desk.app, wire=wire, timeout=TIMEOUT) as client:
        member = await client.join("desk")
        ticks = Ticks(member, wire)
        desk.food.put_nowait(0)
        await ticks.start()
        assert await ticks.next() == 0
        yield desk, member, ticks


@pytest.mark.parametrize("wire", WIRES)
async def test_typing_works_during_a_stream(wire: str) -> None:
    async with ticking(wire) as (desk, member, ticks):
        for n in (1, 2):
            await member.push("typing", n)
            assert await member.next("typed") == n
            desk.food.put_nowait(n)
            assert await ticks.next() == n
        assert not desk.stopped.is_set()
        await ticks.cancel()
        await desk.stops()
        await member.push("typing", 3)
        assert await member.next("typed") == 3
        await member.silence()


@pytest.mark.parametrize("wire", WIRES)
async def test_a_cancel_works_while_as_many_events_wait_as_may(wire: str) -> None:
    async with ticking(wire) as (desk, member, ticks):
        await member.push("slow")
        for n in range(WAITING):
            await member.push("typing", n)
        await settled()
        assert desk.waiting() == WAITING
        await ticks.cancel()
        await desk.stops()
        assert desk.waiting() == WAITING
        await member.silence()
        desk.let.set()
        assert [await member.next("typed") for _ in range(WAITING)] == [*range(WAITING)]
        await member.silence()
