"""Tests of anywire.core.entering."""

import asyncio

import pytest

from anywire.brokers.memory import MemoryBroker
from anywire.core.entering import exit
from anywire.core.member import Member
from anywire.errors import Refused
from anywire.frames import Position
from tests.core.support import Bench, running, turns


class SlowBroker(MemoryBroker):
    """Its subscriptions take as long as a test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.gates: list[asyncio.Future[None]] = []
        self.log: list[str] = []

    async def _gate(self, told: str) -> None:
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        await gate
        self.log.append(told)

    async def subscribe(self, room: str) -> Position | None:
        await self._gate(f"subscribe {room}")
        return await super().subscribe(room)

    async def unsubscribe(self, room: str) -> None:
        await self._gate(f"unsubscribe {room}")
        await super().unsubscribe(room)

    async def open(self, error: Exception | None = None) -> None:
        """Let the oldest that waits go on, or fail."""
        gate = self.gates.pop(0)
        if error is None:
            gate.set_result(None)
        else:
            gate.set_exception(error)
        await turns(5)


def slow(bench: Bench) -> SlowBroker:
    assert isinstance(bench.broker, SlowBroker)
    return bench.broker


async def test_a_room_is_subscribed_once_and_let_go_with_its_last_member() -> None:
    async with running(broker=SlowBroker()) as bench:
        bench.channel("chat")
        broker = slow(bench)
        peers = [bench.connect(), bench.connect()]
        for peer in peers:
            peer.join("chat")
        await broker.open()
        assert broker.log == ["subscribe chat"]
        for peer in peers:
            assert peer.news()[0]["t"] == "Joined"
        peers[0].cut()
        await turns(3)
        assert broker.gates == []
        peers[1].cut()
        await turns(3)
        await broker.open()
        assert broker.log == ["subscribe chat", "unsubscribe chat"]
        assert bench.node.rooms == {}


async def test_who_enters_while_the_room_is_let_go_hears_it_all_the_same() -> None:
    async with running(broker=SlowBroker()) as bench:
        bench.channel("chat")
        broker = slow(bench)
        one, two = bench.connect(), bench.connect()
        one.join("chat")
        await broker.open()
        one.cut()
        await turns(3)
        two.join("chat")
        await broker.open()
        await broker.open()
        assert broker.log == ["subscribe chat", "unsubscribe chat", "subscribe chat"]
        await bench.node.room("chat").publish("e")
        assert [one["t"] for one in two.news()] == ["Joined", "Event"]


async def test_who_leaves_while_the_room_is_subscribed_leaves_no_room_behind() -> None:
    async with running(broker=SlowBroker()) as bench:
        bench.channel("chat")
        broker = slow(bench)
        peer = bench.connect()
        peer.join("chat")
        peer.cut()
        await turns(3)
        assert list(bench.node.rooms) == ["chat"]
        await broker.open()
        await broker.open()
        assert broker.log == ["subscribe chat", "unsubscribe chat"]
        assert bench.node.rooms == {}


async def test_two_who_leave_at_once_let_the_room_go_once() -> None:
    async with running(broker=SlowBroker()) as bench:
        bench.channel("chat")
        broker = slow(bench)
        peer = bench.connect()
        peer.join("chat", alias="a")
        peer.join("chat", alias="b")
        await broker.open()
        a, b = peer.session.members.values()
        room = bench.node.rooms["chat"]
        exits = [asyncio.create_task(exit(bench.node, one, room)) for one in (a, b)]
        again = asyncio.create_task(exit(bench.node, b, room))
        await turns(3)
        await broker.open()
        await asyncio.gather(*exits, again)
        assert broker.log == ["subscribe chat", "unsubscribe chat"]
        assert bench.node.rooms == {}


async def test_who_enters_before_the_last_exit_has_its_turn_keeps_the_room() -> None:
    async with running(broker=SlowBroker()) as bench:
        bench.channel("chat")
        broker = slow(bench)
        one, two = bench.connect(), bench.connect()
        one.join("chat")
        await broker.open()
        room = bench.node.rooms["chat"]
        member = one.session.members["chat"]
        assert room.lock is not None
        async with room.lock:
            leaving = asyncio.create_task(exit(bench.node, member, room))
            await turns(2)
            two.join("chat")
            await turns(2)
        await leaving
        assert room.is_subscribed
        assert broker.gates == []


async def test_a_subscription_that_fails_leaves_nobody_in_the_room() -> None:
    async with running(broker=SlowBroker()) as bench:
        channel = bench.channel("chat")
        broker = slow(bench)
        errors: list[str] = []

        @channel.on("go")
        async def go(member: Member) -> list[str]:
            try:
                await member.enter("side")
            except OSError as error:
                errors.append(str(error))
            return list(member.rooms)

        peer = bench.connect()
        peer.join("chat")
        await broker.open()
        peer.call("chat", "go")
        await broker.open(OSError("away"))
        assert errors == ["away"]
        assert peer.news()[-1]["data"] == ["chat"]
        assert list(bench.node.rooms) == ["chat"]


async def test_an_unsubscription_that_fails_leaves_no_room_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(broker=SlowBroker()) as bench:
        bench.channel("chat")
        broker = slow(bench)
        peer = bench.connect()
        peer.join("chat")
        await broker.open()
        peer.cut()
        await turns(3)
        await broker.open(OSError("away"))
        assert bench.node.rooms == {}
    assert [record.getMessage() for record in caplog.records] == ["anywire dismiss failed"]


async def test_a_member_that_is_none_any_more_enters_nothing() -> None:
    async with running() as bench:
        channel = bench.channel("chat")
        ends: list[str] = []
        go = asyncio.Event()

        @channel.on("go", parallel=2)
        async def late(member: Member) -> None:
            await go.wait()
            try:
                await member.enter("side")
            except Refused as refused:
                ends.append(refused.code)

        peer = bench.connect()
        peer.join("chat")
        peer.push("chat", "go")
        peer.cut()
        go.set()
        await turns(5)
        assert ends == ["left"]
        assert bench.node.rooms == {}
