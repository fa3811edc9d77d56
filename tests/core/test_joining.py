"""Tests of anywire.core.joining."""

import asyncio
from collections import deque
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anywire.body import NO_BODY, Body
from anywire.brokers.memory import MemoryBroker
from anywire.core.joining import SECRET
from anywire.core.member import Member
from anywire.errors import Refused
from anywire.frames import Join, Position, Record, Since
from anywire.limits import Limits
from anywire.wires.base import Cap
from tests.core.support import FULL, Bench, Boxed, Clock, Peer, TestWire, running, turns


class LateBroker:
    """A broker in another process: whatever it is asked or says is under way for as long as a test
    wants. Numbering and keeping are the memory broker's.
    """

    def __init__(self) -> None:
        self.memory = MemoryBroker(clock=lambda: Clock.WALL)
        self.under_way: list[asyncio.Future[None]] = []
        self.deliveries: deque[Record] = deque()
        self.is_late = True
        self._deliver: Any = None
        self.broken: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.memory, name)

    async def start(self, deliver: Any, broken: Any = None) -> None:
        self._deliver = deliver
        self.broken = broken
        await self.memory.start(self._take)

    def _take(self, record: Record) -> None:
        self.deliveries.append(record)
        if not self.is_late:
            self.deliver(len(self.deliveries))

    def deliver(self, count: int = 1) -> None:
        for _ in range(count):
            self._deliver(self.deliveries.popleft())

    async def _travel(self) -> None:
        if self.is_late:
            self.under_way.append(asyncio.get_running_loop().create_future())
            await self.under_way[-1]

    async def subscribe(self, room: str) -> Position | None:
        await self._travel()
        position = await self.memory.subscribe(room)
        await self._travel()
        return position

    async def unsubscribe(self, room: str) -> None:
        await self._travel()
        await self.memory.unsubscribe(room)
        await self._travel()

    async def since(self, room: str, since: Since, limit: int) -> Any:
        await self._travel()
        past = await self.memory.since(room, since, limit)
        await self._travel()
        return past

    async def list(self, room: str) -> Any:
        await self._travel()
        present = await self.memory.list(room)
        await self._travel()
        return present

    async def step(self, random: Random) -> bool:
        """Let one thing arrive; false when nothing is under way."""
        self.under_way = [future for future in self.under_way if not future.done()]
        if self.deliveries and (not self.under_way or random.random() < 0.5):
            self.deliver()
        elif self.under_way:
            random.choice(self.under_way).set_result(None)
        else:
            return False
        await turns(4)
        return True

    async def settle(self, random: Random) -> None:
        await turns(20)
        while await self.step(random):
            await turns(20)
        self.is_late = False


def told(peer: Peer) -> list[Any]:
    """The news, short."""
    short: list[Any] = []
    for one in peer.news():
        if one["t"] == "Event":
            short.append((one["event"], *one["args"]))
        elif one["t"] == "Joined":
            short.append(("joined", one.get("outcome", "FRESH"), one.get("reason", "")))
        else:
            short.append(one["t"])
    return short


async def published(bench: Bench, count: int, room: str = "log", start: int = 1) -> None:
    for number in range(start, start + count):
        await bench.node.room(room).publish("said", number)


def at(offset: int, epoch: str, room: str = "log") -> dict[str, Any]:
    return {"positions": {room: [offset, epoch]}}


async def epoch_of(bench: Bench, room: str = "log") -> str:
    _, position, _ = await bench.node.history.since(room, Since(last=0), 0)
    return position.epoch


# --- what a join is given -------------------------------------------------------------------------


async def test_a_join_without_parameters_takes_whatever_its_client_sent() -> None:
    async with running() as bench:
        one, two = bench.channel("one:{room}"), bench.channel("two")

        @one.join
        async def join(member: Member, room: str) -> str:
            return room

        @two.join
        def none() -> str:
            return "two"

        peer = bench.connect()
        for params in ({"token": "x"}, [1, 2], "text", None, {"room": "b"}):
            peer.join("one:a", params=params)
            peer.join("two", params=params)
            assert [one["data"] for one in peer.news()] == ["a", "two"]


async def test_a_join_with_parameters_is_bound_like_a_message() -> None:
    async with running() as bench:
        channel = bench.channel("desk")
        seen: list[Any] = []

        @channel.join
        async def join(name: str, **more: int) -> None:
            seen.append((name, more))

        peer = bench.connect()
        peer.join("desk", params={"name": "ana", "age": 7})
        peer.join("desk", params="bo")
        peer.join("desk", params={"name": 1})
        peer.join("desk")
        codes = [one.get("code", "") for one in peer.news()]
        assert codes == ["", "", "invalid", "invalid"]
        assert seen == [("ana", {"age": 7}), ("bo", {})]


async def test_parameters_that_are_no_arguments_count_as_none() -> None:
    async with running() as bench:

        @bench.channel("desk").join
        async def join(name: str = "nobody") -> str:
            return name

        peer = bench.connect()
        bench.node.dispatcher.join(peer.session, Join(1, "desk", "desk", NO_BODY))
        assert peer.news()[0]["data"] == "nobody"


async def test_the_answer_tells_the_id_and_how_to_go_on_where_the_wire_can() -> None:
    async with running() as bench:
        bench.channel("desk")
        for caps, limits, has_token in [
            (FULL, Limits(), False),
            (FULL | Cap.RESUME, Limits(), False),
            (FULL | Cap.ADOPT, Limits(), True),
            (FULL | Cap.ADOPT, Limits(resume=0), False),
        ]:
            bench.limits = limits
            peer = bench.connect(TestWire(caps))
            peer.join("desk")
            [joined] = peer.news()
            [member] = peer.session.members.values()
            assert joined["member"] == member.id
            if has_token:
                assert joined["token"] == f"{member.id}{SECRET}{member.token}"
                assert bench.node.adoptable[member.id] is member
                assert SECRET not in member.id
            else:
                assert "token" not in joined and member.token == ""
        assert len(bench.node.adoptable) == 1


async def test_a_secret_is_made_once_for_each_membership() -> None:
    async with running() as bench:
        bench.channel("desk")
        peer = bench.connect(TestWire(FULL | Cap.ADOPT))
        told = []
        for alias in ("a", "b", "a"):
            peer.join("desk", alias=alias)
            told.append(peer.news()[-1]["token"])
        assert len(set(told)) == 3
        assert set(bench.node.adoptable) == {one.id for one in peer.session.members.values()}


async def test_the_room_of_a_member_is_the_one_that_is_registered() -> None:
    async with running() as bench:
        channel = bench.channel("desk")
        gate = asyncio.Event()

        @channel.join
        async def join() -> None:
            await gate.wait()

        peers = [bench.connect() for _ in range(2)]
        for peer in peers:
            peer.join("desk")
        gate.set()
        await turns()
        for peer in peers:
            assert peer.session.members["desk"].room is bench.node.rooms["desk"]


# --- outcomes -------------------------------------------------------------------------------------


async def test_a_join_without_a_position_is_fresh_and_told_where_it_stands() -> None:
    async with running() as bench:
        bench.channel("log", history=10)
        bench.channel("desk")
        await published(bench, 2)
        peer = bench.connect()
        peer.join("log")
        peer.join("desk")
        log, desk = peer.news()
        assert log["positions"] == {"log": [2, await epoch_of(bench)]}
        assert "outcome" not in log
        assert desk["positions"] == {}
        await published(bench, 1, start=3)
        assert told(peer) == [("said", 3)]


async def test_a_join_with_a_position_hears_what_it_missed() -> None:
    async with running() as bench:
        bench.channel("log", history=10)
        await published(bench, 4)
        epoch = await epoch_of(bench)
        peer = bench.connect()
        peer.join("log", since=at(2, epoch))
        news = peer.news()
        assert news[0]["positions"] == {"log": [2, epoch]}
        assert news[0]["outcome"] == "RECOVERED"
        assert [one["position"] for one in news[1:]] == [[3, epoch], [4, epoch]]
        assert peer.session.members["log"].outcome.value == "recovered"


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ({"last": 2}, [("joined", "FRESH", ""), ("said", 4), ("said", 5)]),
        ({"last": 0}, [("joined", "FRESH", "")]),
        ({"time": 0.0}, [("joined", "LOST", "expired"), ("said", 3), ("said", 4), ("said", 5)]),
        ({"time": 9e9}, [("joined", "RECOVERED", "")]),
        ({"mark": 7}, [("joined", "LOST", "off")]),
        ({"positions": {"other": [1, "x"]}}, [("joined", "FRESH", "")]),
        (
            {"positions": {"log": [1, "other"]}},
            [("joined", "LOST", "epoch"), ("said", 3), ("said", 4), ("said", 5)],
        ),
    ],
)
async def test_what_was_asked_decides_what_is_replayed(
    since: dict[str, Any], expected: list[Any]
) -> None:
    async with running() as bench:
        bench.channel("log", history=3)
        await published(bench, 5)
        peer = bench.connect()
        peer.join("log", since=since)
        assert told(peer) == expected
        await published(bench, 1, start=6)
        assert told(peer) == [("said", 6)]


async def test_history_that_is_lost_says_why() -> None:
    async with running(limits=Limits(replay=2)) as bench:
        bench.channel("log", history=3)
        bench.channel("desk")
        await published(bench, 5)
        epoch = await epoch_of(bench)
        reasons = {}
        for room, offset in (("log", 1), ("log", 2), ("log", 3), ("log", 9), ("desk", 1)):
            peer = bench.connect()
            peer.join(room, since=at(offset, epoch, room))
            reasons[room, offset] = told(peer)[0][1:]
        assert reasons == {
            ("log", 1): ("LOST", "expired"),
            ("log", 2): ("LOST", "limit"),
            ("log", 3): ("RECOVERED", ""),
            ("log", 9): ("LOST", "epoch"),
            ("desk", 1): ("LOST", "off"),
        }


async def test_rooms_that_were_entered_in_join_are_recovered_too() -> None:
    async with running() as bench:
        channel = bench.channel("log", history=10)

        @channel.join
        async def join(member: Member) -> None:
            await member.enter("side")
            await member.enter("brief")
            await member.exit("brief")
            await member.send("hello")

        await published(bench, 3)
        await published(bench, 3, "log/side", 11)
        epoch = await epoch_of(bench)
        peer = bench.connect()
        since = {"positions": {"log": [2, epoch], "log/side": [1, epoch]}}
        peer.join("log", since=since)
        news = peer.news()
        assert news[0]["positions"] == {"log": [2, epoch], "log/side": [1, epoch]}
        heard = [(one.get("room"), one["args"]) for one in news[1:]]
        assert heard == [("log/side", [12]), ("log/side", [13]), (None, [3]), (None, [])]


async def test_one_room_that_is_lost_makes_the_join_lost() -> None:
    async with running() as bench:
        channel = bench.channel("log", history=2)

        @channel.join
        async def join(member: Member) -> None:
            await member.enter("side")

        await published(bench, 2)
        await published(bench, 5, "log/side")
        epoch = await epoch_of(bench)
        peer = bench.connect()
        peer.join("log", since={"positions": {"log": [1, epoch], "log/side": [1, epoch]}})
        assert told(peer)[0] == ("joined", "LOST", "expired")


async def test_what_is_not_meant_for_a_member_is_not_replayed_either() -> None:
    async with running() as bench:
        bench.channel("log", history=10, presence=True)
        staff = bench.node.room("log/staff")
        room = bench.node.room("log")
        epoch = await epoch_of(bench)
        ana = bench.connect(user="ana")
        ana.join("log")
        await ana.session.members["log"].track(on="phone")
        await room.publish("said", 1, but=staff)
        await room.publish("said", 2)
        channel = bench.channels.find("log")[0]

        @channel.join
        async def join(member: Member) -> None:
            await member.enter("staff")
            await room.publish("said", 3, but=staff)
            await room.publish("said", 4)

        peer = bench.connect()
        peer.join("log", since=at(0, epoch))
        assert told(peer) == [
            ("joined", "RECOVERED", ""),
            "Presence",
            ("said", 2),
            ("said", 4),
        ]


async def test_what_comes_during_a_join_is_told_after_it_to_those_who_are_meant() -> None:
    async with running() as bench:
        channel = bench.channel("log")
        gate = asyncio.Event()

        @channel.join
        async def join(member: Member) -> None:
            await member.enter(member.room)
            await gate.wait()

        peer = bench.connect()
        peer.join("log")
        room = bench.node.rooms["log"]
        await room.publish("said", 1)
        await room.publish("said", 2, but=peer.session.members["log"])
        await room.publish("said", 3, but=room)
        gate.set()
        await turns()
        assert told(peer) == [("joined", "FRESH", ""), ("said", 1)]


async def test_a_transport_that_changes_during_a_join_changes_nothing_of_it() -> None:
    async with running() as bench:
        channel = bench.channel("log")
        gate = asyncio.Event()

        @channel.join
        async def join() -> None:
            await gate.wait()

        peer = bench.connect(TestWire(FULL | Cap.RESUME), framing=Boxed("one"))
        peer.join("log")
        bench.flush()
        peer.cut()
        again = bench.resume(peer, received=0, framing=Boxed("two"))
        gate.set()
        await turns()
        await bench.node.room("log").publish("said", 1)
        assert told(again) == [("joined", "FRESH", ""), ("said", 1)]
        [lane] = bench.node.rooms["log"].lanes.values()
        assert list(lane.divisions) == [("two", 0)]


# --- the five steps, against time -----------------------------------------------------------------


class Heard:
    """What one client heard of each room, checked as it hears it: no gap, no double."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.stands: dict[str, list[Any]] = {}
        self.loose: list[int] = []
        self.is_joined = False

    def read(self) -> None:
        for one in self.peer.news():
            match one["t"]:
                case "Joined":
                    for room, position in one["positions"].items():
                        if one.get("outcome") == "RECOVERED" and room in self.stands:
                            assert position == self.stands[room]
                        self.stands[room] = position
                    self.is_joined = True
                case "Event" if "position" in one:
                    room = one.get("room", "log")
                    offset, epoch = self.stands[room]
                    assert one["position"] == [offset + 1, epoch]
                    assert one["args"] == [offset + 1]
                    self.stands[room] = one["position"]
                case "Event":
                    assert one["args"][0] not in self.loose
                    self.loose += one["args"]
                case "Leave":
                    self.is_joined = False
                case other:
                    raise AssertionError(other)


@pytest.mark.slow
@settings(max_examples=300)
@given(st.integers(0, 2**32))
async def test_no_order_of_events_loses_or_doubles_anything(seed: int) -> None:
    random = Random(seed)
    broker = LateBroker()
    async with running(broker=broker, limits=Limits(joins=1000)) as bench:
        channel = bench.channel("log", history=1000)
        enters = random.random() < 0.5

        @channel.join
        async def join(member: Member) -> None:
            if enters:
                await member.enter("side")
            await turns(random.randint(0, 3))

        rooms = ["log", "log/side"] if enters else ["log"]
        for room in rooms:
            await published(bench, random.randint(0, 4), room)
        clients = [Heard(bench.connect()) for _ in range(random.randint(1, 3))]
        tops = dict.fromkeys(rooms, 0)
        for room in rooms:
            _, position, _ = await broker.memory.since(room, Since(last=0), 0)
            tops[room] = position.offset
        loose = 0
        must: dict[Heard, list[int]] = {client: [] for client in clients}
        for _ in range(random.randint(5, 40)):
            match random.choice(["publish", "publish", "loose", "join", "leave", "step", "step"]):
                case "publish":
                    room = random.choice(rooms)
                    tops[room] += 1
                    await bench.node.room(room).publish("said", tops[room])
                case "loose":
                    loose += 1
                    for client in clients:
                        if client.is_joined:
                            must[client].append(loose)
                    await bench.node.room("log").publish("typing", loose, volatile=True)
                case "join":
                    client = random.choice(clients)
                    if "log" not in client.peer.session.members:
                        client.peer.join("log", since={"positions": client.stands})
                case "leave":
                    client = random.choice(clients)
                    if client.is_joined:
                        client.is_joined = False
                        client.peer.say("Leave", alias="log")
                        must[client] = [n for n in must[client] if n in client.loose]
                case "step":
                    await broker.step(random)
            for client in clients:
                client.read()
        for client in clients:
            if "log" not in client.peer.session.members:
                client.peer.join("log", since={"positions": client.stands})
        await broker.settle(random)
        for client in clients:
            client.read()
            assert client.is_joined
            assert {room: client.stands[room][0] for room in rooms} == tops
            assert set(must[client]) <= set(client.loose)
        for room in rooms:
            tops[room] += 1
            await bench.node.room(room).publish("said", tops[room])
        for client in clients:
            client.read()
            assert {room: client.stands[room][0] for room in rooms} == tops
            # Behind no more: what was read is delivered, so everybody stands in a lane.
            assert not client.peer.session.members["log"].behind
        assert not bench.node.rooms["log"].parked


async def test_a_member_ahead_of_its_node_waits_for_it_and_hears_what_is_new() -> None:
    broker = LateBroker()
    broker.is_late = False
    async with running(broker=broker) as bench:
        bench.channel("log", history=10)
        stays = bench.connect()
        stays.join("log")
        room = bench.node.rooms["log"]
        await broker.memory.start(broker.deliveries.append)
        await published(bench, 3)
        peer = bench.connect()
        peer.join("log", since=at(0, await epoch_of(bench)))
        assert told(peer) == [("joined", "RECOVERED", ""), ("said", 1), ("said", 2), ("said", 3)]
        member = peer.session.members["log"]
        assert list(member.behind) == ["log"]
        assert list(room.parked) == [member]
        assert member.delivered() == []
        await room.publish("typing", volatile=True)
        broker.deliver(2)
        assert told(peer) == []
        broker.deliver()
        assert not member.behind
        assert member.delivered() == [room]
        broker.deliver()
        assert told(peer) == [("typing",)]
        assert told(stays)[1:] == [("said", 1), ("said", 2), ("said", 3), ("typing",)]


async def test_what_is_not_meant_for_a_member_that_is_ahead_is_not_told() -> None:
    broker = LateBroker()
    broker.is_late = False
    async with running(broker=broker) as bench:
        bench.channel("log", history=10)
        bench.connect().join("log")
        room = bench.node.rooms["log"]
        await broker.memory.start(broker.deliveries.append)
        await published(bench, 1)
        peer = bench.connect()
        peer.join("log")
        member = peer.session.members["log"]
        await room.publish("typing", 1, volatile=True)
        await room.publish("typing", 2, volatile=True, but=member)
        broker.deliver()
        broker.deliveries.rotate(0)
        assert not member.behind
        broker.deliver(2)
        assert told(peer) == [("joined", "FRESH", ""), ("typing", 1)]


async def test_a_member_that_is_ahead_hears_loose_ones_at_once_and_can_go() -> None:
    broker = LateBroker()
    broker.is_late = False
    async with running(broker=broker) as bench:
        channel = bench.channel("log", history=10)

        @channel.on("again")
        async def again(member: Member) -> None:
            room = member.room
            await member.exit(room)
            await member.enter(room)

        bench.connect().join("log")
        room = bench.node.rooms["log"]
        await broker.memory.start(broker.deliveries.append)
        await published(bench, 2)
        one, two = bench.connect(), bench.connect()
        one.join("log")
        two.join("log")
        member = two.session.members["log"]
        bench.node.deliver(Record(room="log", event="typing", body=Body.of(1)))
        bench.node.deliver(Record(room="log", event="typing", body=Body.of(2), but=(member.id,)))
        assert told(one)[1:] == [("typing", 1), ("typing", 2)]
        assert told(two)[1:] == [("typing", 1)]
        two.call("log", "again")
        assert not member.behind  # it stands in the room as if it came now
        assert member.delivered() == [room]
        one.say("Leave", alias="log")
        assert list(room.parked) == []
        broker.deliver(2)
        assert told(two) == ["Reply", ("said", 1), ("said", 2)]


async def test_a_room_left_while_it_was_read_is_not_replayed() -> None:
    broker = LateBroker()
    broker.is_late = False
    async with running(broker=broker) as bench:
        channel = bench.channel("log", history=10)
        members: list[Member] = []

        @channel.join
        async def join(member: Member) -> None:
            members.append(member)
            await member.enter("side")

        await published(bench, 2, "log/side")
        epoch = await epoch_of(bench)
        broker.is_late = True
        peer = bench.connect()
        peer.join("log", since=at(0, epoch, "log/side"))
        random = Random(1)
        for _ in range(5):
            await broker.step(random)
        leaving = asyncio.ensure_future(members[0].exit("side"))
        entering = asyncio.ensure_future(members[0].enter("new"))
        await turns()
        await broker.settle(random)
        await leaving
        await entering
        assert told(peer) == [("joined", "RECOVERED", "")]
        await bench.node.room("log/new").publish("said", 1)
        await bench.node.room("log/side").publish("said", 3)
        assert told(peer) == [("said", 1)]


async def test_who_leaves_during_any_step_of_its_join_leaves_nothing() -> None:
    for steps in range(12):
        broker = LateBroker()
        async with running(broker=broker) as bench:
            channel = bench.channel("log", history=10, presence=True)

            @channel.join
            async def join(member: Member) -> None:
                await member.enter("side")

            peer = bench.connect()
            peer.join("log")
            random = Random(steps)
            for _ in range(steps):
                await broker.step(random)
            peer.say("Leave", alias="log")
            await broker.settle(random)
            assert not bench.node.rooms
            assert not peer.session.members
            assert not bench.node.dispatcher.stepper.tasks
            heard = told(peer)
            assert heard.count("Refusal") + sum(one[0] == "joined" for one in heard) == 1


async def test_a_broker_that_fails_ends_the_join(caplog: pytest.LogCaptureFixture) -> None:
    broker = LateBroker()
    async with running(broker=broker) as bench:
        bench.channel("log", history=10)
        peer = bench.connect()
        peer.join("log")
        broker.under_way[0].set_exception(OSError("the broker is gone"))
        await turns()
        await broker.settle(Random(1))
        [refusal] = peer.news()
        assert refusal["code"] == "internal"
        assert "the broker is gone" in caplog.text
        assert not bench.node.rooms


# --- presence -------------------------------------------------------------------------------------


async def test_who_joins_is_told_who_is_there_and_then_who_comes_and_goes() -> None:
    async with running() as bench:
        channel = bench.channel("chat", presence=True)

        @channel.join
        async def join(member: Member) -> None:
            await member.track(on="phone")

        ana, bo = bench.connect(user="ana"), bench.connect(user="bo")
        ana.join("chat")
        bo.join("chat")
        bench.flush()
        bo.cut()
        await turns()
        here, came, went = ana.news()[1:]
        assert (here["whole"], here["joined"]) == (True, {"ana": [{"on": "phone"}]})
        assert (came["joined"], went["left"]) == ({"bo": [{"on": "phone"}]},) * 2
        assert bo.heard[-1]["joined"] == {"ana": [{"on": "phone"}], "bo": [{"on": "phone"}]}


async def test_a_refused_member_is_not_present() -> None:
    async with running() as bench:
        channel = bench.channel("chat", presence=True)

        @channel.join
        async def join(member: Member) -> None:
            await member.track(on="phone")
            raise Refused("no")

        peer = bench.connect(user="ana")
        peer.join("chat")
        await turns()
        assert await bench.node.presence.list("chat") == {}


class Roster:
    """Who is here as one client sees it."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.metas: dict[str, list[Any]] = {}

    def read(self) -> None:
        for one in self.peer.news():
            if one["t"] == "Presence":
                if "whole" in one:
                    self.metas = {}
                for key, metas in one["joined"].items():
                    self.metas.setdefault(key, []).extend(metas)
                for key, metas in one["left"].items():
                    for meta in metas:
                        self.metas[key].remove(meta)
                    if not self.metas[key]:
                        del self.metas[key]


@pytest.mark.slow
@settings(max_examples=150)
@given(st.integers(0, 2**32), st.booleans())
async def test_the_list_of_who_is_here_and_the_changes_never_cross(seed: int, keeps: bool) -> None:
    random = Random(seed)
    broker = LateBroker()
    broker.is_late = False
    async with running(broker=broker, limits=Limits(joins=1000)) as bench:
        bench.channel("log", presence=True, history=100 if keeps else 0)
        others = [bench.connect(user=name) for name in "abc"]
        for peer in others:
            peer.join("log")
        await turns()
        rosters = [Roster(bench.connect(user="z")) for _ in range(2)]
        broker.is_late = True
        for roster in rosters:
            roster.peer.join("log")
        for _ in range(6):
            for _ in range(random.randint(0, 4)):
                await broker.step(random)
            member = random.choice(others).session.members["log"]
            await member.track(n=random.randint(0, 1))
            broker.deliver(len(broker.deliveries))  # in order, and at once
            await turns(random.randint(0, 3))
        await broker.settle(random)
        listed = await broker.memory.list("log")
        expected = {
            key: [msgspec.json.decode(pair)[1] for pair in pairs] for key, pairs in listed.items()
        }
        for roster in rosters:
            roster.read()
            assert roster.metas == expected


async def test_a_list_that_is_always_overtaken_is_taken_in_the_end() -> None:
    broker = LateBroker()
    broker.is_late = False
    async with running(broker=broker) as bench:
        bench.channel("log", presence=True)
        ana = bench.connect(user="ana")
        ana.join("log")
        member = ana.session.members["log"]
        broker.is_late = True
        peer = bench.connect(user="bo")
        peer.join("log")
        for number in range(40):
            await member.track(n=number)
            broker.deliver(len(broker.deliveries))
            if broker.under_way:
                broker.under_way.pop().set_result(None)
            await turns(4)
        news = [one["t"] for one in peer.news()]
        assert news[:2] == ["Joined", "Presence"]
        await broker.settle(Random(1))


async def test_who_waits_for_records_that_will_not_come_hears_the_new_epoch() -> None:
    broker = LateBroker()
    broker.is_late = False
    async with running(broker=broker) as bench:
        bench.channel("log", history=10)
        bench.connect().join("log")
        room = bench.node.rooms["log"]
        await broker.memory.start(broker.deliveries.append)
        await published(bench, 3)
        peer = bench.connect()
        peer.join("log", since=at(0, await epoch_of(bench)))
        told(peer)
        assert list(room.parked)
        broker.broken("log", Position(0, "next"))
        assert room.parked == {}
        assert room.delivered == Position(0, "next")
        (gap,) = peer.news()
        assert (gap["t"], gap["lost"]) == ("Gap", 0)
        await room.publish("typing", volatile=True)
        broker.deliver(len(broker.deliveries))
        assert told(peer)[-1] == ("typing",)


async def test_a_join_that_read_an_epoch_that_is_over_reads_again() -> None:
    broker = LateBroker()
    async with running(broker=broker) as bench:
        bench.channel("log", history=10)
        peer = bench.connect()
        peer.join("log")
        for _ in range(3):  # subscribing, there and back, and the reading on its way there
            broker.under_way.pop(0).set_result(None)
            await turns()
        broker.broken("log", Position(0, "next"))
        broker.memory = MemoryBroker(clock=lambda: Clock.WALL, random=lambda size: b"next")
        epoch = (await broker.memory.since("log", Since(last=0), 1))[1].epoch
        while broker.under_way:
            broker.under_way.pop(0).set_result(None)
            await turns()
        joined = next(frame for frame in peer.heard if frame["t"] == "Joined")
        assert epoch in str(joined["positions"])


async def test_an_address_may_be_told_by_the_name_of_its_channel_and_its_parts() -> None:
    async with running() as bench:
        heard: list[tuple[str, dict[str, object]]] = []
        channel = bench.channel("chat:{room}")

        @channel.join
        def join(room: str, **more: object) -> None:
            heard.append((room, more))

        peer = bench.connect()
        for alias, parts in (("one", {"room": "a", "as": "guest"}), ("two", {"room": "b"})):
            peer.say(t="Join", address="chat", alias=alias, parts=parts)
        assert heard == [("a", {"as": "guest"}), ("b", {})]
        assert [member.address for member in peer.session.members.values()] == ["chat:a", "chat:b"]
