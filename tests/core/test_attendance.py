"""Tests of anywire.core.attendance."""

import asyncio
import logging
from typing import Any

import pytest

from anywire.brokers.memory import MemoryBroker
from anywire.core.attendance import LEASE, RELIST
from anywire.frames import Position
from tests.core.support import Bench, running, turns

# --- start and stop -------------------------------------------------------------------------------


async def test_a_node_renews_its_lease_three_times_as_often_as_it_ends() -> None:
    renewals: list[float] = []

    class Counting(MemoryBroker):
        async def renew(self, node: str, lease: float) -> None:
            renewals.append(lease)
            if len(renewals) == 2:
                raise OSError("the store is away")

    bench = Bench(broker=Counting())
    await bench.node.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger("anywire.core.node"), "disabled", True)
        bench.clock.move(LEASE)
    assert renewals == [LEASE] * 4
    await bench.node.stop()
    bench.clock.move(LEASE)
    assert len(renewals) == 4


async def test_the_key_of_presence_may_be_the_application_s_own() -> None:
    async with running() as bench:
        channel = bench.channel("chat", presence=lambda member: f"key of {member.user.id}")
        peer = bench.connect(user="ana")
        peer.join("chat")
        await peer.session.members["chat"].track()
        assert list(await bench.broker.list("chat")) == ["key of ana"]
        assert channel.presence


async def test_who_wants_to_be_listed_no_more_is_a_member_all_the_same() -> None:
    async with running() as bench:
        bench.channel("chat", presence=True)
        peer, other = bench.connect(user="ana"), bench.connect(user="bo")
        for one in (peer, other):
            one.join("chat")
        member = peer.session.members["chat"]
        await member.untrack()  # it was not
        await member.track(on="phone")
        bench.flush()
        other.news()
        await member.untrack()
        assert await bench.broker.list("chat") == {}
        bench.flush()
        (told,) = other.news()
        assert (told["t"], list(told["left"])) == ("Presence", ["ana"])
        assert not member.has_left
        await member.update(on="desk")
        assert list(await bench.broker.list("chat")) == ["ana"]
        await member.update(self="a name that clients may say")
        assert member.meta == {"on": "desk", "self": "a name that clients may say"}


@pytest.mark.parametrize("leaves", [True, False])
async def test_who_left_while_it_was_being_listed_is_not_listed(leaves: bool) -> None:
    gate = asyncio.Event()

    class Slow(MemoryBroker):
        async def enter(self, *args: Any, **named: Any) -> Position | None:
            await gate.wait()
            return await super().enter(*args, **named)

    async with running(broker=Slow()) as bench:
        bench.channel("chat", presence=True)
        peer = bench.connect(user="ana")
        peer.join("chat")
        member = peer.session.members["chat"]
        tracking = asyncio.create_task(member.track())
        await turns(2)
        if leaves:
            peer.cut()
        else:
            await member.untrack()
        await turns(3)
        gate.set()
        await tracking
        assert await bench.broker.list("chat") == {}


async def test_a_presence_key_that_is_no_text_is_a_mistake_that_is_named() -> None:
    async with running() as bench:
        bench.channel("chat", presence=lambda member: 5)
        peer = bench.connect(user="ana")
        peer.join("chat")
        with pytest.raises(TypeError, match="a presence key is a str, not 5"):
            await peer.session.members["chat"].track()


async def test_who_has_left_is_not_listed_though_a_handler_still_runs() -> None:
    gate = asyncio.Event()
    async with running() as bench:
        chat = bench.channel("chat", presence=True)

        @chat.on("wait")
        async def wait() -> None:
            await gate.wait()

        peer = bench.connect(user="ana")
        peer.join("chat")
        await peer.session.members["chat"].track()
        peer.say("Event", alias="chat", event="wait", args=[])
        peer.cut()
        await turns(3)
        assert await bench.broker.list("chat") == {}
        gate.set()
        await turns(3)


async def test_after_a_hole_everybody_is_told_who_is_here_once() -> None:
    async with running() as bench:
        bench.channel("{room}", presence=True)
        peers = [bench.connect(user="ana"), bench.connect(user="bo")]
        for peer in peers:
            peer.join("a")
            peer.join("b")
        for peer in peers:
            peer.news()
        bench.node.broken("a", None)
        bench.node.broken("b", None)
        assert peers[0].news() == []
        bench.clock.move(RELIST)
        await turns()
        for peer in peers:
            told = peer.news()
            assert [frame["t"] for frame in told] == ["Presence", "Presence"]
            assert all(frame["whole"] for frame in told)


async def test_who_is_told_again_is_at_the_address_itself_and_the_room_must_still_be() -> None:
    async with running() as bench:
        bench.channel("desk", presence=True)
        bench.channel("hall")
        there, visitor = bench.connect(user="ana"), bench.connect(user="bo")
        there.join("desk")
        visitor.join("hall")
        await visitor.session.members["hall"].enter(bench.node.room("desk"))
        there.news(), visitor.news()
        bench.node.broken("desk", None)
        bench.clock.move(RELIST)
        await turns()
        assert [frame["t"] for frame in there.news()] == ["Presence"]
        assert visitor.news() == []  # it hears the room, and is no member of the address
        bench.node.broken("desk", None)
        visitor.cut()
        there.cut()
        await turns()
        assert "desk" not in bench.node.rooms
        bench.clock.move(RELIST)
        await turns()
        assert there.news() == []
