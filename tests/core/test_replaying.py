"""Tests of anywire.core.replaying: what was missed comes within what its client can take."""

from random import Random

import pytest

from anywire.limits import Limits
from tests.core.support import TestWire, running, turns
from tests.core.test_joining import LateBroker, published
from tests.core.test_restoring import WIRE, ask, back, desk, joined, told


async def test_a_replay_that_would_fill_the_outbox_is_cut_to_the_newest_and_lost() -> None:
    async with running(limits=Limits(outbox=2000)) as bench:
        bench.channel("log", history=9)
        room = bench.node.room("log")
        first = await room.publish("said", "0")
        assert first is not None
        for number in range(1, 6):
            await room.publish("said", str(number) * 300)
        peer = bench.connect()
        peer.join("log", since={"positions": {"log": [first.offset, first.epoch]}})
        await turns(2)
        answer, *replayed = peer.news()
        assert (answer["outcome"], answer["reason"]) == ("LOST", "limit")
        assert [one["args"][0][0] for one in replayed] == ["3", "4", "5"]


@pytest.mark.parametrize("comes_back", [True, False])
async def test_much_that_was_missed_in_many_rooms_comes_one_after_the_other(
    comes_back: bool,
) -> None:
    broker = LateBroker()
    broker.is_late = False
    async with running(broker=broker, limits=Limits(outbox=10_000)) as bench:
        desk(bench, "log:{name}")
        names = [f"log:{number}" for number in range(6)]
        peer = joined(bench, *names)
        since = {"time": bench.clock.wall() - 5}
        peer.cut()
        for name in names:
            await published(bench, 1, room=name)
            await bench.node.room(name).publish("said", "x" * 3000)
        if comes_back:
            again = back(bench, peer)
            asks = [
                {"t": "Past", "alias": name, "ref": name, "since": since, "limit": 0}
                for name in names
            ]
        else:
            again = bench.connect(TestWire(WIRE), user="ana")
            asks = [
                {"t": "Join", "address": name, "alias": name, "ref": name, "since": since}
                for name in names
            ]
        again.transport.is_stuck = True
        broker.is_late = True
        again.say_all(*asks)
        await broker.settle(Random(1))
        bench.flush()
        assert 5_000 < again.session.outbox.waiting <= 10_000
        members = list(again.session.members.values())
        await published(bench, 1, room=names[-1])
        broker.deliver(len(broker.deliveries))
        parked = [member.parked.entries for member in members if member.parked]
        assert not any(parked)  # it is in what will be read
        for _ in names:
            again.unstick()
            bench.flush()
            await turns()
            await broker.settle(Random(1))
        assert again.transport.closed is None
        news = told(again)
        assert (news.count(1), news.count("x" * 3000)) == (7, 6)
        assert news.count("all" if comes_back else "Joined") == 6
        assert not bench.node.replays


async def test_much_that_one_member_missed_in_many_rooms_is_cut_to_half_an_outbox() -> None:
    async with running(limits=Limits(outbox=10_000)) as bench:
        desk(bench)
        peer = joined(bench)
        (member,) = peer.session.members.values()
        rooms = [await member.enter(name) for name in ("red", "green", "blue")]
        peer.cut()
        for room in rooms:
            for _ in range(2):
                await room.publish("said", "x" * 2400)
        again = back(bench, peer)
        again.transport.is_stuck = True
        ask(again, {"time": bench.clock.wall() - 5})
        await turns()
        bench.flush()
        assert again.session.outbox.waiting < 10_000
        again.unstick()
        bench.flush()
        assert told(again) == ["x" * 2400] * 2 + ["lost"]
