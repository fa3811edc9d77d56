"""Tests of anywire.core.restoring: who comes back to its session asks for what it missed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any, NamedTuple

import pytest

from anywire.body import Body
from anywire.core.channel import Left
from anywire.core.member import Member
from anywire.core.restoring import Restoring, restore
from anywire.frames import Past, Position, Reply, Since
from anywire.limits import Limits
from anywire.wires.base import Cap
from tests.core.support import (
    BOXED,
    FULL,
    Bench,
    Boxed,
    Peer,
    TestCodec,
    TestTransport,
    TestWire,
    running,
    turns,
)
from tests.core.test_joining import LateBroker, at, published

WIRE = FULL | Cap.CATCH_UP
KEEP = 100
Gate = asyncio.Future[None]


def desk(
    bench: Bench, pattern: str = "log", *, gate: Gate | None = None, **options: Any
) -> list[str]:
    """A channel with history; what its handlers did. `gate`: what `leave` waits for."""
    log: list[str] = []
    channel = bench.channel(pattern, **{"history": KEEP, **options})

    @channel.join
    def join(member: Member) -> None:
        log.append("join")

    @channel.leave
    async def leave(member: Member, why: Left) -> None:
        log.append(f"leave {why.code}")
        if gate is not None:
            await gate

    return log


def joined(bench: Bench, *addresses: str) -> Peer:
    """A client that is a member there, and has heard so."""
    peer = bench.connect(TestWire(WIRE), user="ana")
    for address in addresses or ("log",):
        peer.join(address)
    bench.flush()
    peer.news()
    return peer


def back(bench: Bench, peer: Peer, **more: Any) -> Peer:
    """The client has reconnected, and asked nothing yet."""
    return bench.resume(peer, received=0, **more)


def ask(peer: Peer, since: dict[str, Any], alias: str = "log", ref: str = "h") -> None:
    peer.say("Past", alias=alias, ref=ref, since=since, limit=0)


def told(peer: Peer) -> list[Any]:
    """The news: numbers that were said, and how questions were answered."""
    short: list[Any] = []
    for one in peer.news():
        if one["t"] == "Event":
            short += one["args"]
        elif one["t"] == "Reply":
            short.append(one.get("code") or "all")
        else:
            short.append(one["t"])
    return short


async def position(bench: Bench, room: str = "log") -> dict[str, Any]:
    """Where a client stands that has heard everything so far."""
    _, end, _ = await bench.node.history.since(room, Since(last=0), 1)
    return at(end.offset, end.epoch, room)


class Scene(NamedTuple):
    """A client that is back, and where it stood when it was cut."""

    bench: Bench
    broker: LateBroker
    client: Peer
    stood: dict[str, Any]
    log: list[str]

    async def begin(self) -> None:
        """It asks, and the reading is under way."""
        self.broker.is_late = True
        ask(self.client, self.stood)
        await turns()

    async def end(self) -> None:
        """All that is under way comes."""
        await self.broker.settle(Random(1))
        await turns()


@asynccontextmanager
async def returned(missed: int = 0, gate: Gate | None = None) -> AsyncIterator[Scene]:
    """A client that was cut, missed so much, is back, and has asked nothing yet."""
    broker = LateBroker()
    broker.is_late = False
    async with running(broker=broker) as bench:
        log = desk(bench, gate=gate)
        peer = joined(bench)
        stood = await position(bench)
        peer.cut()
        await published(bench, missed)
        yield Scene(bench, broker, back(bench, peer), stood, log)


# --- what goes on ---------------------------------------------------------------------------------


async def test_what_was_missed_is_said_once_it_is_asked_for_and_no_handler_runs() -> None:
    async with running() as bench:
        log = desk(bench)
        peer = joined(bench)
        member = peer.session.members["log"]
        member.state["draft"] = "hi"
        await published(bench, 1)
        assert told(peer) == [1]
        stood = await position(bench)
        peer.cut()
        assert (log, member.attached) == (["join"], False)
        await published(bench, 2, start=2)
        again = back(bench, peer, framing=BOXED)
        await published(bench, 1, start=4)
        assert told(again) == []
        ask(again, stood)
        assert told(again) == [2, 3, 4, "all"]
        await published(bench, 1, start=5)
        assert told(again) == [5]
        assert again.session.members == {"log": member}
        assert (member.state, log) == ({"draft": "hi"}, ["join"])


async def test_what_waits_during_a_cut_is_what_has_no_position() -> None:
    async with running() as bench:
        desk(bench)
        bench.channel("hall")
        peer = joined(bench)
        member = peer.session.members["log"]
        await member.enter(bench.node.room("hall"))
        peer.transport.is_stuck = True
        await published(bench, 1)
        bench.flush()
        await published(bench, 2, start=2)  # wait already when the client is cut
        await member.send("said", 29)  # as if it had been on its way
        peer.cut()
        peer.session.send(Reply(7, "log"))  # an answer to who does not wait for it any more
        await published(bench, 1, start=4)
        await published(bench, 1, room="hall", start=30)
        await member.send("said", 31)
        again = back(bench, peer)
        assert told(again) == [30, 31]
        ask(again, {"time": bench.clock.wall() - 5})
        assert told(again) == [1, 2, 3, 4, "all"]


async def test_who_waits_for_a_slow_client_goes_on_when_it_is_cut() -> None:
    async with running(limits=Limits(outbox=1000)) as bench:
        desk(bench)
        peer = joined(bench)
        peer.transport.is_stuck = True
        member = peer.session.members["log"]
        await member.send("said", 1)
        bench.flush()
        sending = asyncio.create_task(member.send("said", "x" * 600))
        await turns()
        assert not sending.done()
        peer.cut()
        await turns()
        assert sending.done()


async def test_who_waits_behind_answers_that_are_void_goes_on_when_the_client_is_back() -> None:
    async with running(limits=Limits(outbox=1000)) as bench:
        desk(bench)
        peer = joined(bench)
        member = peer.session.members["log"]
        peer.cut()
        peer.session.send(Reply(7, "log", Body.of("x" * 600)))
        sending = asyncio.create_task(member.send("said", 1))
        await turns()
        assert not sending.done()
        again = back(bench, peer)
        await turns()
        assert sending.done()
        assert told(again) == [1]


async def test_who_cannot_catch_up_has_left_with_the_connection() -> None:
    async with running() as bench:
        kept, other = desk(bench), desk(bench, "hall", history=0)
        peer = joined(bench, "log", "hall")
        peer.cut(1006)
        assert (kept, other) == (["join"], ["join", "leave 1006"])
        again = back(bench, peer)
        assert list(again.session.members) == ["log"]


async def test_a_session_without_anything_to_catch_up_ends_with_its_connection() -> None:
    async with running() as bench:
        log = desk(bench, history=0)
        for addresses in ((), ("log",)):
            peer = bench.connect(TestWire(WIRE))
            for address in addresses:
                peer.join(address)
            peer.cut()
            assert peer.session.has_ended
        assert log == ["join", "leave 1006"]
        assert not bench.node.sessions


async def test_a_join_that_is_under_way_at_the_cut_is_over() -> None:
    broker = LateBroker()
    async with running(broker=broker) as bench:
        desk(bench)
        desk(bench, "other")
        peer = bench.connect(TestWire(WIRE))
        peer.join("log")
        await broker.settle(Random(1))
        broker.is_late = True
        peer.join("other")
        await turns()
        peer.cut()
        await broker.settle(Random(1))
        await turns()
        assert list(peer.session.members) == ["log"]


async def test_a_session_that_nobody_comes_back_to_ends_in_time() -> None:
    async with running() as bench:
        log = desk(bench)
        peer = joined(bench)
        peer.cut()
        bench.clock.move(bench.limits.resume - 1)
        assert not peer.session.has_ended
        bench.clock.move(2)
        assert peer.session.has_ended
        assert log == ["join", "leave 4410"]


async def test_a_room_that_is_entered_during_the_cut_is_caught_up_too() -> None:
    async with running() as bench:
        desk(bench)
        peer = joined(bench)
        peer.cut()
        await peer.session.members["log"].enter("corner")
        await published(bench, 1, room="log/corner")
        again = back(bench, peer)
        assert told(again) == []
        ask(again, {"time": bench.clock.wall() - 5})
        assert told(again) == [1, "all"]
        await published(bench, 1, room="log/corner", start=2)
        assert told(again) == [2]


async def test_what_a_member_was_not_to_hear_it_does_not_hear_later() -> None:
    async with running() as bench:
        desk(bench)
        peer = joined(bench)
        stood = await position(bench)
        peer.cut()
        member = peer.session.members["log"]
        await bench.node.room("log").publish("said", 1, but=member)
        await published(bench, 1, start=2)
        again = back(bench, peer)
        ask(again, stood)
        assert told(again) == [2, "all"]


async def test_who_came_and_went_meanwhile_is_told_in_its_order() -> None:
    async with running() as bench:
        desk(bench, presence=lambda member: member.user.id)
        peer = joined(bench)
        stood = await position(bench)
        peer.cut()
        bo = bench.connect(user="bo")
        bo.join("log")
        await bo.session.members["log"].track(on="phone")
        bo.cut()
        await turns()
        again = back(bench, peer)
        ask(again, stood)
        news = again.news()
        assert [one["t"] for one in news] == ["Presence", "Presence", "Reply"]
        assert (list(news[0]["joined"]), list(news[1]["left"])) == (["bo"], ["bo"])


# --- what is not known ----------------------------------------------------------------------------


@pytest.mark.parametrize("since", [at(1, "another"), {"last": 0}, {}, at(1, "e", "other")])
async def test_who_cannot_say_where_it_stands_is_told_so_and_hears_what_is_new(
    since: dict[str, Any],
) -> None:
    async with returned() as scene:
        ask(scene.client, since)
        assert told(scene.client) == ["lost"]
        await published(scene.bench, 1)
        assert told(scene.client) == [1]


async def test_what_is_kept_no_more_is_told_as_lost_behind_what_is() -> None:
    async with running() as bench:
        desk(bench, history=2)
        peer = joined(bench)
        stood = await position(bench)
        peer.cut()
        await published(bench, 5)
        again = back(bench, peer)
        ask(again, stood)
        assert told(again) == [4, 5, "lost"]


async def test_a_history_that_cannot_be_read_is_refused_and_the_member_goes_live() -> None:
    async with returned() as scene:
        node = scene.bench.node
        history, node.history = node.history, _Broken()
        ask(scene.client, scene.stood)
        node.history = history
        assert told(scene.client) == ["internal"]
        await published(scene.bench, 1)
        assert told(scene.client) == [1]


class _Broken:
    gate: Gate | None = None

    async def since(self, *_: object) -> Any:
        if self.gate is not None:
            await self.gate
        raise RuntimeError("no")


async def test_a_hole_in_the_deliveries_does_not_end_the_waiting() -> None:
    async with returned(missed=1) as scene:
        scene.bench.node.broken("log", None)
        await published(scene.bench, 1, start=2)
        assert told(scene.client) == ["Gap"]
        ask(scene.client, scene.stood)
        assert told(scene.client) == [1, 2, "all"]


# --- in the middle of something -------------------------------------------------------------------


async def test_who_asks_while_a_handler_runs_is_answered_at_once() -> None:
    async with running() as bench:
        channel = bench.channel("log", history=KEEP)
        gate: Gate = asyncio.get_running_loop().create_future()

        @channel.on("say")
        async def say(member: Member) -> None:
            await gate
            await member.room.publish("said", 1)

        peer = joined(bench)
        stood = await position(bench)
        peer.push("log", "say")
        peer.cut()
        again = back(bench, peer)
        await published(bench, 1, start=5)
        ask(again, stood)
        assert told(again) == [5, "all"]
        gate.set_result(None)
        await turns()
        assert told(again) == [1]


async def test_who_asks_again_during_the_reading_hears_what_it_asked_first() -> None:
    async with returned(missed=2) as scene:
        later = await position(scene.bench)
        await published(scene.bench, 1, start=3)
        await scene.begin()
        ask(scene.client, later, ref="h2")
        await turns()
        assert told(scene.client) == ["busy"]
        await scene.end()
        news = scene.client.news()
        assert [one["t"] for one in news] == ["Event", "Event", "Event", "Reply"]
        assert ([one["args"] for one in news[:3]], news[3]["ref"]) == ([[1], [2], [3]], "h")


async def test_what_is_published_during_a_reading_that_is_nobodys_is_not_parked() -> None:
    async with returned() as scene:
        await scene.begin()
        await published(scene.bench, 3)
        scene.broker.deliver(3)
        member = scene.client.session.members["log"]
        scene.client.cut()
        await published(scene.bench, 3, start=4)
        scene.broker.deliver(3)
        assert member.parked is not None and len(member.parked.entries) == 3
        again = back(scene.bench, scene.client)
        ask(again, scene.stood, ref="h2")
        scene.broker.under_way[-1].set_result(None)
        await turns()
        scene.broker.under_way[-1].set_result(None)  # there and back: the second reading begins
        await turns()
        assert not member.parked.entries
        await scene.end()
        assert told(again) == [1, 2, 3, 4, 5, 6, "all"]


async def test_who_leaves_the_room_that_is_read_goes_on_behind_the_reading() -> None:
    async with returned() as scene:
        member = scene.client.session.members["log"]
        [channel] = scene.bench.channels

        @channel.on("say")
        async def say(number: int) -> int:
            return number

        hall = scene.bench.node.room("hall")
        await member.enter(hall)
        await scene.begin()
        leaving = asyncio.create_task(member.exit(member.room))
        await turns()
        ask(scene.client, scene.stood, ref="h2")
        scene.client.call("log", "say", 7, ref=9)
        await scene.end()
        await leaving
        refs = [one["ref"] for one in scene.client.news() if one["t"] == "Reply"]
        assert sorted(refs, key=str) == [9, "h", "h2"]


async def test_who_moves_during_the_reading_to_another_room_with_history_stays() -> None:
    async with returned() as scene:
        member = scene.client.session.members["log"]
        await member.enter("side")
        await scene.begin()
        leaving = asyncio.create_task(member.exit(member.room))
        await turns()
        scene.client.cut()
        assert list(scene.client.session.members) == ["log"]
        await scene.end()
        await leaving
        assert member.lacking() == [member.rooms["log/side"]]


async def test_what_a_member_says_meanwhile_is_done_and_heard_behind_what_it_missed() -> None:
    async with returned(missed=1) as scene:
        [channel] = scene.bench.channels

        @channel.on("say")
        async def say(member: Member, number: int) -> None:
            await member.room.publish("said", number)

        await scene.begin()
        scene.client.push("log", "say", 2)
        await turns()
        assert told(scene.client) == []
        await scene.end()
        assert told(scene.client) == [1, 2, "all"]


@pytest.mark.parametrize("asks", [1, 2, 3])
async def test_a_cut_in_the_middle_of_the_reading_loses_and_doubles_nothing(
    asks: int, caplog: pytest.LogCaptureFixture
) -> None:
    broker = LateBroker()
    broker.is_late = False
    async with running(broker=broker) as bench:
        desk(bench)
        bench.channel("hall")
        peer = joined(bench)
        await peer.session.members["log"].enter(bench.node.room("hall"))
        stood = await position(bench)
        peer.cut()
        await published(bench, 1)
        broker.is_late = True
        for number in range(asks):
            peer = back(bench, peer, framing=Boxed(str(number)))
            ask(peer, stood)
            await turns()
            await published(bench, 1, start=2 + number)
            broker.deliver(len(broker.deliveries))
            if number < asks - 1:
                peer.cut()
        bench.flush()
        await published(bench, 1, room="hall", start=20)
        broker.deliver(len(broker.deliveries))
        await broker.settle(Random(1))
        await turns()
        news = told(peer)
        assert [one for one in news if one != 20] == [*range(1, 2 + asks), "all"]
        assert news.count(20) == 1
        await published(bench, 1, room="hall", start=21)
        assert told(peer) == [21]
    assert not caplog.records


async def test_the_client_that_is_gone_when_all_is_read_asks_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with returned(missed=1) as scene:
        await scene.begin()
        scene.client.cut()
        await scene.end()
        again = back(scene.bench, scene.client)
        assert told(again) == []
        ask(again, scene.stood)
        assert told(again) == [1, "all"]
    assert not caplog.records


@pytest.mark.parametrize("asks_first", [True, False])
async def test_a_reading_that_fails_after_a_cut_is_nobodys_failure(asks_first: bool) -> None:
    async with returned(missed=2) as scene:
        node = scene.bench.node
        history = node.history
        node.history = broken = _Broken()
        broken.gate = asyncio.get_running_loop().create_future()
        ask(scene.client, scene.stood)
        await turns()
        scene.client.cut()
        again = back(scene.bench, scene.client)
        node.history = history
        if asks_first:
            ask(again, scene.stood, ref="h2")
        broken.gate.set_result(None)
        await turns()
        await published(scene.bench, 1, start=3)
        if asks_first:
            assert told(again) == [1, 2, "all", 3]
        else:
            assert told(again) == []
            ask(again, scene.stood, ref="h2")
            assert told(again) == [1, 2, 3, "all"]


async def test_a_second_room_with_history_is_asked_for_too_when_the_reading_is_cut() -> None:
    async with returned() as scene:
        await scene.client.session.members["log"].enter("side")
        side = await position(scene.bench, "log/side")
        await published(scene.bench, 1, room="log/side")  # on its way, and never heard
        scene.bench.flush()
        await scene.begin()
        scene.client.cut()
        again = back(scene.bench, scene.client)
        both = {"positions": {**scene.stood["positions"], **side["positions"]}}
        ask(again, both, ref="h2")
        await scene.end()
        assert told(again) == [1, "all"]


async def test_what_came_during_a_reading_that_is_nobodys_is_asked_for_too() -> None:
    async with returned() as scene:
        await scene.begin()
        await published(scene.bench, 1)
        scene.broker.deliver()
        scene.client.cut()
        again = back(scene.bench, scene.client)
        await scene.end()
        assert told(again) == []
        ask(again, scene.stood)
        assert told(again) == [1, "all"]


@pytest.mark.parametrize("is_cut", [True, False])
async def test_who_leaves_during_the_reading_hears_nothing_while_its_handler_runs(
    is_cut: bool,
) -> None:
    gate: Gate = asyncio.get_running_loop().create_future()
    async with returned(gate=gate) as scene:
        await scene.begin()
        client = scene.client
        if is_cut:
            client.cut()
            client = back(scene.bench, client)
        client.say("Leave", alias="log")
        await scene.end()
        await published(scene.bench, 1)
        assert [one for one in told(client) if one != "left"] == []
        gate.set_result(None)
        await turns()
        assert "log" not in scene.bench.node.rooms


async def test_a_session_that_ends_during_the_reading_leaves_nothing_behind() -> None:
    async with returned() as scene:
        await scene.begin()
        scene.client.cut()
        scene.client.session.close(4403, "enough")
        await scene.end()
        assert scene.log == ["join", "leave 4403"]
        assert "log" not in scene.bench.node.rooms


async def test_what_a_codec_cannot_say_is_left_out_wherever_it_comes() -> None:
    async with returned(missed=2) as scene:
        codec = scene.client.session.codec
        assert isinstance(codec, TestCodec)
        codec.unsayable = 1, 3
        await scene.begin()
        scene.broker.under_way.pop().set_result(None)
        await turns()
        scene.broker.is_late = False
        await published(scene.bench, 2, start=3)  # parked
        await scene.end()
        await published(scene.bench, 1, start=5)
        assert told(scene.client) == [2, 4, "all", 5]


async def test_who_is_not_restored_by_its_wire_has_left() -> None:
    async with running() as bench:
        log = desk(bench)
        desk(bench, "other")
        peer = joined(bench, "log", "other")
        wire = peer.session.wire
        assert isinstance(wire, TestWire)
        wire.over = ("log", "nothing")
        peer.cut()
        again = back(bench, peer)
        assert log == ["join", "leave lost"]
        assert list(again.session.members) == ["other"]


async def test_a_member_that_leaves_meanwhile_hears_nothing() -> None:
    async with returned(missed=1) as scene:
        await scene.begin()
        scene.client.say("Leave", alias="log")
        await scene.end()
        assert told(scene.client) == ["left"]
        assert scene.log == ["join", "leave left"]
        assert "log" not in scene.bench.node.rooms


async def test_reading_that_is_cancelled_leaves_a_member_that_hears() -> None:
    async with returned() as scene:
        scene.broker.is_late = True
        member = scene.client.session.members["log"]
        question = Restoring(Past("h", "log", Since(time=1.0), 0))
        task = asyncio.create_task(restore(scene.bench.node, member, question))
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        scene.broker.is_late = False
        await published(scene.bench, 1)
        assert told(scene.client) == [1]


async def test_a_room_of_another_epoch_is_read_again() -> None:
    async with returned(missed=1) as scene:
        await scene.begin()
        scene.bench.node.broken("log", None)
        for _ in range(2):  # there and back
            scene.broker.under_way.pop().set_result(None)
            await turns()
        assert told(scene.client) == []
        await scene.end()
        assert [one for one in told(scene.client) if one != "Gap"] == [1, "all"]


async def test_a_member_that_was_behind_when_it_was_cut_asks_for_all_of_it() -> None:
    broker = LateBroker()
    async with running(broker=broker) as bench:
        desk(bench)
        peer = bench.connect(TestWire(WIRE), user="ana")
        peer.join("log", since={"time": 1.0})
        for step in range(4):  # there and back: the subscription, the history
            if step == 2:
                await published(bench, 2)
            broker.under_way.pop().set_result(None)
            await turns()
        assert told(peer) == ["Joined", 1, 2]
        [end] = peer.session.members["log"].behind.values()
        assert end is not None
        broker.is_late = False
        stood = await position(bench)
        peer.cut()
        again = back(bench, peer)
        broker.deliver(2)
        await published(bench, 1, start=3)
        assert told(again) == []
        ask(again, stood)
        assert told(again) == [3, "all"]


# --- the second connection wins -------------------------------------------------------------------


async def test_a_second_connection_takes_the_session_over_as_after_a_cut() -> None:
    async with running() as bench:
        kept, other = desk(bench), desk(bench, "hall", history=0)
        peer = joined(bench, "log", "hall")
        stood = await position(bench)
        again = back(bench, peer)
        assert peer.transport.closed == (4409, "replaced by a newer connection")
        assert (kept, other) == (["join"], ["join", "leave 4409"])
        await published(bench, 1)
        assert told(again) == []
        ask(again, stood)
        assert told(again) == [1, "all"]


async def test_a_second_connection_to_a_session_without_history_begins_a_new_one() -> None:
    async with running() as bench:
        desk(bench, history=0)
        peer = joined(bench)
        again = back(bench, peer)
        assert again.session is not peer.session
        assert peer.session.has_ended


async def test_a_leave_handler_may_end_the_session_at_the_cut() -> None:
    async with running() as bench:
        desk(bench)
        hall = bench.channel("hall")

        @hall.leave
        async def leave(member: Member) -> None:
            await member.close(4403, "enough")

        peer = joined(bench, "log", "hall")
        peer.cut()
        assert peer.session.has_ended
        assert not bench.node.detached


async def test_another_transport_that_takes_over_at_once_is_no_cut() -> None:
    async with running() as bench:
        log = desk(bench)
        peer = joined(bench)
        other = TestTransport(BOXED)
        peer.session.swap(other)
        await published(bench, 1)
        bench.flush()
        assert [payload.data for payload in other.payloads][-1].count(b'"said"') == 1
        assert log == ["join"]


# --- all of it, in any order ----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
async def test_a_client_that_is_cut_at_any_moment_hears_everything_once_and_in_order(
    seed: int,
) -> None:
    random = Random(seed)
    broker = LateBroker()
    broker.is_late = False
    async with running(broker=broker) as bench:
        desk(bench, history=1000)
        peer = joined(bench)
        _, start, _ = await bench.node.history.since("log", Since(last=0), 1)
        client = _Client(peer, start)
        broker.is_late = True
        said = 0
        for _ in range(60):
            await random.choice(_MOVES)(client, broker, random)
            if random.random() < 0.5:
                said += 1
                await bench.node.room("log").publish("said", said)
        if not client.is_there:
            client.come_back()
        await broker.settle(random)
        await turns(20)
        client.hear()
        assert client.heard == list(range(1, said + 1))
        assert client.was_lost == 0


class _Client:
    """What `@anycable/core` does: knows its position, and asks from there when it is back."""

    def __init__(self, peer: Peer, start: Position) -> None:
        self.peer = peer
        self.position = start
        self.heard: list[int] = []
        self.is_there = True
        self.was_lost = 0
        self._asked = 0

    def hear(self) -> None:
        for one in self.peer.news():
            if one["t"] == "Event":
                self.heard += one["args"]
                self.position = Position(*one["position"])
            elif one["t"] == "Reply" and one["ref"] == f"h{self._asked}":
                self.was_lost += bool(one.get("code"))

    def cut(self) -> None:
        self.peer.bench.flush()
        if self.peer.bench.clock.now() % 2:  # what was written may have come, or not
            self.hear()
        self.peer.cut()
        self.is_there = False

    def come_back(self) -> None:
        self.peer = self.peer.bench.resume(self.peer, received=0)
        self.is_there = True
        self._asked += 1
        since = at(self.position.offset, self.position.epoch)
        ask(self.peer, since, ref=f"h{self._asked}")


async def _deliver(client: _Client, broker: LateBroker, random: Random) -> None:
    await broker.step(random)


async def _hear(client: _Client, broker: LateBroker, random: Random) -> None:
    if client.is_there:
        client.hear()


async def _cut_or_come_back(client: _Client, broker: LateBroker, random: Random) -> None:
    client.peer.bench.clock.move(1.0)
    if client.is_there:
        client.cut()
    else:
        client.come_back()


_MOVES: list[Callable[[_Client, LateBroker, Random], Any]] = [
    _deliver,
    _deliver,
    _hear,
    _cut_or_come_back,
]
