"""Tests of anywire.core.parking: what waits for an answer has a bound, and its room a policy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from anywire.body import Body
from anywire.core.member import Member
from anywire.core.parking import Parked
from anywire.frames import At, Beat, Record
from anywire.limits import Limits
from anywire.payload import Policy
from tests.core.support import Bench, Peer, running, turns

AT = At("busy")
BOUND = 2000
TEXT = "x" * 96
"""A publication of a number and this is 104 or 105 bytes long."""


@dataclass(slots=True)
class Scene:
    """Somebody whose `join` handler has entered a busy room and waits."""

    bench: Bench
    peer: Peer
    gate: asyncio.Event
    members: list[Member] = field(default_factory=list)

    async def say(self, *numbers: int, room: str = "busy", volatile: bool = False) -> None:
        for number in numbers:
            await self.bench.node.room(room).publish("n", number, TEXT, volatile=volatile)

    async def goes_on(self) -> list[dict[str, Any]]:
        """The handler is done; what the peer hears then."""
        self.gate.set()
        await turns(2)
        return self.peer.news()

    def numbers(self, news: list[dict[str, Any]]) -> list[int]:
        return [one["args"][0] for one in news if one["t"] == "Event"]


@asynccontextmanager
async def waiting(**options: Any) -> AsyncIterator[Scene]:
    """`options`: of the busy room's channel."""
    async with running(limits=Limits(outbox=BOUND)) as bench:
        gate = asyncio.Event()
        desk = bench.channel("desk")
        bench.channel("busy", **options)
        scene = Scene(bench, bench.connect(), gate)

        @desk.join
        async def join(member: Member) -> None:
            await member.enter(bench.node.room("busy"))
            scene.members.append(member)
            await gate.wait()

        scene.peer.join("desk")
        await turns(2)
        scene.peer.news()
        yield scene


async def test_what_fits_is_heard_behind_the_answer_in_its_order() -> None:
    async with waiting() as scene:
        await scene.say(*range(19))
        news = await scene.goes_on()
        assert [one["t"] for one in news] == ["Joined"] + ["Event"] * 19
        assert scene.numbers(news) == list(range(19))


async def test_who_would_have_to_wait_for_more_than_may_wait_is_ended_and_nothing_is_kept() -> None:
    async with waiting() as scene:
        other = scene.bench.connect()
        other.join("busy")
        await scene.say(*range(20))
        parked = scene.members[0].parked
        assert parked is not None and parked.entries == []
        assert scene.peer.transport.closed is None  # others are being told: not at once
        await scene.say(20)
        assert parked.entries == []
        scene.bench.clock.move(0.0)
        assert scene.peer.transport.closed == (4408, "too slow")
        assert scene.numbers(other.news()) == list(range(21))
        assert not (await scene.goes_on())[1:]
        other.cut()
        assert not scene.bench.node.sessions and not scene.bench.node.rooms


async def test_an_answer_that_comes_first_is_the_last_word_too() -> None:
    async with waiting() as scene:
        await scene.say(*range(20))
        news = await scene.goes_on()
        assert [one["t"] for one in news] == ["Joined", "Bye"]
        assert scene.peer.transport.closed == (4408, "too slow")
        scene.bench.clock.move(0.0)  # it was to be ended now
        assert not scene.bench.node.sessions and not scene.bench.node.rooms


async def test_one_publication_that_is_larger_than_an_outbox_ends_nobody() -> None:
    async with waiting() as scene:
        await scene.say(1)
        await scene.bench.node.room("busy").publish("n", 2, "x" * 2 * BOUND)
        await scene.say(3)
        news = await scene.goes_on()
        assert scene.numbers(news) == [1, 2, 3]
        assert scene.peer.transport.closed is None


async def test_a_second_one_does() -> None:
    async with waiting() as scene:
        for _ in range(2):
            await scene.bench.node.room("busy").publish("n", 2, "x" * 2 * BOUND)
        scene.bench.clock.move(0.0)
        assert scene.peer.transport.closed == (4408, "too slow")


async def test_rooms_that_drop_their_oldest_do_and_say_how_many() -> None:
    async with waiting(policy=Policy.DROP_OLDEST) as scene:
        await scene.say(*range(50))
        news = await scene.goes_on()
        told = scene.numbers(news)
        assert told == list(range(50 - len(told), 50))
        assert BOUND // 2 < len(told) * 104 <= BOUND
        assert [one["t"] for one in news[:2]] == ["Joined", "Gap"]
        # More than one: what it looks like on the wire is longer than what was parked.
        assert sum(one["lost"] for one in news if one["t"] == "Gap") == 50 - len(told)
        assert scene.peer.transport.closed is None


async def test_what_was_dropped_of_a_room_that_was_left_is_not_told() -> None:
    async with waiting(policy=Policy.DROP_OLDEST) as scene:
        await scene.say(*range(50))
        await scene.members[0].exit(scene.bench.node.room("busy"))
        assert [one["t"] for one in await scene.goes_on()] == ["Joined"]


async def test_what_is_volatile_makes_place_without_a_word() -> None:
    async with waiting() as scene:
        await scene.say(*range(10), volatile=True)
        await scene.say(*range(10, 25))
        news = await scene.goes_on()
        told = scene.numbers(news)
        assert told[-15:] == list(range(10, 25))
        assert len(told) < 25
        assert [one["t"] for one in news] == ["Joined"] + ["Event"] * len(told)


async def test_what_was_dropped_and_read_from_history_is_no_gap() -> None:
    async with running(limits=Limits(outbox=BOUND)) as bench:
        gate = asyncio.Event()
        desk = bench.channel("desk")
        bench.channel("busy", policy=Policy.DROP_OLDEST, history=100)
        room = bench.node.room("busy")

        @desk.join
        async def join(member: Member) -> None:
            await member.enter(room)
            await gate.wait()

        first = await room.publish("n", 0)
        assert first is not None
        peer = bench.connect()
        peer.join("desk", since={"positions": {"busy": [first.offset, first.epoch]}})
        await turns(2)
        for number in range(1, 9):
            await room.publish("n", number, "x" * 300)
        gate.set()
        await turns(2)
        news = peer.news()
        assert "Gap" not in [one["t"] for one in news]
        told = [one["args"][0] for one in news if one["t"] == "Event"]
        assert told == list(range(9 - len(told), 9))
        assert next(one for one in news if one["t"] == "Joined")["reason"] == "limit"


def record(number: int, room: str = "busy") -> Record:
    return Record(room=room, event="n", body=Body.of(number, TEXT))


@pytest.mark.parametrize("fits", [True, False])
def test_the_bound_itself_may_wait(fits: bool) -> None:
    parked = Parked(2 * len(record(1).body.json) - (not fits))
    assert parked.put_record(record(1), AT, {})
    assert parked.put_record(record(2), AT, {}) is fits
    assert len(parked.entries) == 2 * fits
    assert parked.put_record(record(3), AT, {}) is not fits  # said the first time alone
    assert parked.is_overflown and not parked.entries


def test_what_is_told_otherwise_leaves_its_place_to_others() -> None:
    size = len(record(1).body.json)
    parked = Parked(2 * size)
    beat = Beat()
    parked.put(beat)
    for number in range(1, 9):
        assert parked.put_record(record(number, "told"), AT, {})
        parked.forget(lambda record: record.room == "told")
    assert parked.put_record(record(1), AT, {})
    assert parked.put_record(record(2), AT, {})
    assert [one.body.json for one in parked.records()] == [record(n).body.json for n in (1, 2)]
    assert parked.entries[0] is beat
    assert not parked.put_record(record(3), AT, {})
