"""Tests of anywire.core.node."""

import asyncio
import logging
from typing import Any

import pytest

from anywire.body import NO_BODY, Body
from anywire.brokers.base import Ask, Question
from anywire.brokers.memory import MemoryBroker
from anywire.core.channel import Left
from anywire.core.member import Member
from anywire.core.node import FLUSH_SESSIONS, LEASE, Node
from anywire.errors import Refused
from anywire.frames import At, Position, Record
from anywire.limits import Limits
from anywire.payload import Payload
from anywire.wires.base import Cap, Hello, Identity, User
from tests.core.support import FULL, Bench, TestWire, running, turns


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


# --- start and stop -------------------------------------------------------------------------------


async def test_a_stop_sends_everybody_away_for_a_little_while() -> None:
    bench = Bench()
    await bench.node.start()
    peers = [bench.connect(), bench.connect(TestWire(FULL | Cap.RESUME))]
    away = bench.connect(TestWire(FULL | Cap.RESUME))
    away.cut()
    await bench.node.stop()
    for peer in peers:
        assert peer.transport.closed == (1001, "the server stops")
        bye = peer.heard[-1]
        assert bye["code"] == 1001
        assert 0 <= bye.get("retry", 0.0) < 2
    assert away.session.has_ended
    assert not bench.node.sessions
    assert not bench.node.users
    assert len(bench.clock.deadlines) == 0


async def test_a_stop_cancels_handlers_and_tells_who_waits_for_them() -> None:
    ended: list[object] = []
    async with running() as bench:
        channel = bench.channel("desk")

        @channel.on("work")
        async def work() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append("work")
                raise

        @channel.leave
        async def leave(why: Left) -> None:
            ended.append(why.code)

        peer = bench.connect()
        peer.join("desk")
        peer.push("desk", "work")
    assert ended == ["work", 1001]
    assert not bench.node.dispatcher.stepper.tasks


async def test_a_stop_does_not_wait_for_handlers_and_brokers_that_do_not_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release = asyncio.Event()

    class Stuck(MemoryBroker):
        async def stop(self) -> None:
            await release.wait()

    bench = Bench(limits=Limits(stop=0.02), broker=Stuck())
    channel = bench.channel("desk")

    @channel.on("work")
    async def work() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                pass

    await bench.node.start()
    peer = bench.connect()
    peer.join("desk")
    peer.push("desk", "work")
    await bench.node.stop()
    assert [record.getMessage() for record in caplog.records] == [
        "1 handlers did not stop in time",
        "the broker did not stop in time",
    ]
    release.set()
    await turns(5)


async def test_a_node_that_never_started_can_be_stopped() -> None:
    bench = Bench()
    await bench.node.stop()
    assert len(bench.clock.deadlines) == 0


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


async def test_a_bug_in_our_own_work_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise OSError("away")

    async def is_cancelled() -> None:
        raise asyncio.CancelledError

    bench = Bench()
    bench.node.spawn(fails(), "anywire test")
    bench.node.spawn(is_cancelled(), "anywire other")
    [record] = caplog.records
    assert record.getMessage() == "anywire test failed"
    assert record.exc_info is not None


# --- who ------------------------------------------------------------------------------------------


async def test_anonymous_sessions_each_have_an_id_of_their_own() -> None:
    bench = Bench()
    users = [await bench.node.authenticated(bench.hello()) for _ in range(3)]
    assert len({user.id for user in users}) == 3
    assert all(user.is_anonymous for user in users)


async def test_credentials_of_a_frame_are_shown_to_authenticate_with_the_request() -> None:
    shown: list[Hello] = []

    async def authenticate(hello: Hello) -> User:
        shown.append(hello)
        return User("ana")

    bench = Bench(authenticate=authenticate)
    hello = bench.hello(name="x")
    await bench.node.authenticated(hello)
    await bench.node.authenticated(hello, {"token": "t"})
    assert shown[0] is hello
    assert shown[1].credentials == {"token": "t"}
    assert shown[1].token == "t"
    assert shown[1].query == {"name": "x"}


async def test_all_sessions_of_a_user_are_found_and_forgotten() -> None:
    bench = Bench()
    one, two = bench.connect(user="ana"), bench.connect(user="ana")
    assert bench.node.users == {"ana": {one.session, two.session}}
    one.cut()
    assert bench.node.users == {"ana": {two.session}}
    two.cut()
    assert not bench.node.users
    assert not bench.node.sessions


async def test_a_user_known_by_frame_can_be_closed_like_any_other() -> None:
    async def authenticate(hello: Hello) -> User:
        return User("ana")

    async with running(authenticate=authenticate) as bench:
        peer = bench.connect(TestWire(auth=Identity.FRAME))
        assert await bench.node.close_user("", "") == 0
        peer.say("Auth")
        assert await bench.node.close_user("ana", "revoked") == 1
        assert peer.transport.closed == (4403, "revoked")


async def test_closing_a_user_closes_each_of_their_sessions_for_good() -> None:
    async with running() as bench:
        ana = [bench.connect(user="ana") for _ in range(2)]
        away = bench.connect(TestWire(FULL | Cap.RESUME), user="ana")
        away.cut()
        bo = bench.connect(user="bo")
        assert await bench.node.close_user("ana", "") == 3
        for peer in ana:
            assert peer.transport.closed == (4403, "closed by the server")
            assert peer.heard[-1]["retry"] is None
        assert away.session.has_ended
        assert bo.transport.closed is None
        assert await bench.node.close_user("nobody", "") == 0


# --- writing --------------------------------------------------------------------------------------


async def test_a_turn_serves_256_connections_and_then_the_loop_has_its_turn() -> None:
    bench = Bench(limits=Limits(beat=0.0))
    peers = [bench.connect() for _ in range(2 * FLUSH_SESSIONS + 1)]
    order: list[object] = []
    asyncio.get_running_loop().call_soon(order.append, "loop")

    def written() -> int:
        return sum(bool(peer.transport.writes) for peer in peers)

    for expected in (FLUSH_SESSIONS, 2 * FLUSH_SESSIONS, len(peers), len(peers)):
        await asyncio.sleep(0)
        assert written() == expected
    assert order == ["loop"]
    assert all(len(peer.transport.writes) == 1 for peer in peers)


async def test_what_is_marked_while_flushing_waits_for_the_next_turn() -> None:
    bench = Bench()
    one, two = bench.connect(), bench.connect()
    await turns(2)
    write = one.transport.write

    def answering(framed: Any) -> None:
        write(framed)
        if len(one.transport.writes) < 3:
            two.session.enqueue(Payload(b'{"t":"x"}'))

    one.transport.write = answering  # type: ignore[method-assign]
    one.session.enqueue(Payload(b'{"t":"x"}'))
    await asyncio.sleep(0)
    assert (len(one.transport.writes), len(two.transport.writes)) == (2, 1)
    await asyncio.sleep(0)
    assert (len(one.transport.writes), len(two.transport.writes)) == (2, 2)


async def test_a_transport_that_fails_loses_its_own_session_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    one, broken, two = bench.connect(), bench.connect(), bench.connect()
    broken.transport.failure = OSError("broken")
    await turns(2)
    assert broken.session.has_ended
    assert broken.transport.is_aborted
    assert one.welcome
    assert two.welcome
    assert [record.getMessage().split()[0] for record in caplog.records] == ["flushing"]


# --- publishing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ("forged", 'reserved by "test"'),
        ("presence", 'reserved by "presence"'),
        ("", "1 to 255"),
        ("x" * 256, "1 to 255"),
    ],
)
async def test_a_name_that_means_something_else_is_not_published(event: str, reason: str) -> None:
    async with running() as bench:
        with pytest.raises(ValueError, match=reason):
            await bench.node.room("chat").publish(event)


async def test_a_publication_reaches_who_is_in_the_room_and_not_who_is_meant_to_miss_it() -> None:
    async with running() as bench:
        bench.channel("chat")
        peers = [bench.connect() for _ in range(4)]
        for peer in peers:
            peer.join("chat")
        a, b, c, _ = members = [peer.session.members["chat"] for peer in peers]
        await c.enter("side")
        room = a.room

        async def heard(but: Any) -> list[int]:
            await room.publish("e", but=but)
            return [n for n, peer in enumerate(peers) if peer.events()]

        for peer in peers:
            peer.news()
        assert await heard(None) == [0, 1, 2, 3]
        assert await heard(a) == [1, 2, 3]
        assert await heard([a, b]) == [2, 3]
        assert await heard(bench.node.room("chat/side")) == [0, 1, 3]
        assert await heard([c.rooms["chat/side"], [a]]) == [1, 3]
        assert await heard(room) == []
        assert await heard(members) == []


async def test_a_room_with_history_numbers_what_is_published() -> None:
    async with running() as bench:
        bench.channel("news", history=10)
        bench.channel("chat")
        room = bench.node.room("news")
        first = await room.publish("e", 1)
        second = await room.publish("e", 2, id="a")
        assert first is not None
        assert second is not None
        assert (first.offset, second.offset) == (1, 2)
        assert await room.publish("e", 2, id="a") == second
        assert await room.publish("e", 3, volatile=True) is None
        assert await bench.node.room("chat").publish("e") is None
        assert await bench.node.room("elsewhere").publish("e") is None


async def test_each_publication_has_a_mark_unless_it_may_be_dropped() -> None:
    async with running() as bench:
        bench.channel("chat")
        peer = bench.connect()
        peer.join("chat")
        marks: list[int | None] = []
        codec = bench.wire.codec
        event = codec.event

        def marking(alias: str, name: str, body: Body, at: At) -> Payload:
            marks.append(at.mark)
            return event(alias, name, body, at)

        codec.event = marking  # type: ignore[method-assign, assignment]
        for volatile in (False, True, False):
            await bench.node.rooms["chat"].publish("e", volatile=volatile)
        bench.flush()
        assert marks == [1, None, 2]


async def test_a_record_for_a_room_that_nobody_here_is_in_goes_nowhere() -> None:
    async with running() as bench:
        bench.node.deliver(Record(room="nowhere", event="e", body=NO_BODY))
        assert bench.node.dirty == []


async def test_a_delivery_moves_the_room_s_position() -> None:
    async with running() as bench:
        bench.channel("news", history=5)
        peer = bench.connect()
        peer.join("news")
        room = bench.node.rooms["news"]
        position = await room.publish("e")
        assert room.delivered == position
        await room.publish("e", volatile=True)
        assert room.delivered == position


# --- rooms ----------------------------------------------------------------------------------------


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
        exits = [asyncio.create_task(bench.node.exit(one, room)) for one in (a, b)]
        again = asyncio.create_task(bench.node.exit(b, room))
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
        lock = bench.node._lock(room)
        async with lock:
            leaving = asyncio.create_task(bench.node.exit(member, room))
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


# --- presence, history, other nodes ---------------------------------------------------------------


async def test_who_tracks_is_listed_until_it_leaves() -> None:
    async with running() as bench:
        channel = bench.channel("chat", presence=True)

        @channel.join
        async def join(member: Member) -> None:
            await member.track(status="here")

        peer = bench.connect(user="ana")
        peer.join("chat")
        assert await bench.broker.list("chat") == {"ana": [b'{"status":"here"}']}
        await peer.session.members["chat"].update(status="away")
        assert await bench.broker.list("chat") == {"ana": [b'{"status":"away"}']}
        peer.cut()
        await turns(3)
        assert await bench.broker.list("chat") == {}


async def test_the_key_of_presence_may_be_the_application_s_own() -> None:
    async with running() as bench:
        channel = bench.channel("chat", presence=lambda member: f"key of {member.user.id}")
        peer = bench.connect(user="ana")
        peer.join("chat")
        await peer.session.members["chat"].track()
        assert list(await bench.broker.list("chat")) == ["key of ana"]
        assert channel.presence


async def test_who_left_while_it_was_being_listed_is_not_listed() -> None:
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
        peer.cut()
        await turns(3)
        gate.set()
        await tracking
        assert await bench.broker.list("chat") == {}


async def test_the_past_of_a_room_is_told_to_who_is_in_it() -> None:
    async with running(limits=Limits(replay=3)) as bench:
        channel = bench.channel("news", history=10, presence=True)

        @channel.emits
        def moved(x: int, y: int) -> None: ...

        peer = bench.connect()
        peer.join("news")
        await peer.session.members["news"].track()
        room = bench.node.room("news")
        first = await room.publish("e", 1)
        await room.publish("e")
        await room.publish("e", 1, 2)
        await room.publish("moved", 3, 4)
        assert first is not None
        peer.news()

        async def past(since: dict[str, Any], limit: int) -> list[dict[str, Any]]:
            peer.say("Past", ref=1, alias="news", since=since, limit=limit)
            await turns(2)
            [reply] = peer.news()
            found = reply["data"]
            assert isinstance(found, list)
            return found

        told = await past({}, 2)
        assert [{k: v for k, v in one.items() if k in ("args", "data")} for one in told] == [
            {"args": [1, 2]},
            {"data": {"x": 3, "y": 4}},
        ]
        assert told[0]["epoch"] == first.epoch
        assert told[0]["time"] == bench.clock.wall()
        assert [one["offset"] for one in await past({}, 0)] == [3, 4, 5]
        assert [one["offset"] for one in await past({}, 99)] == [3, 4, 5]
        assert await past({}, -1) == []
        assert "data" not in (await past({}, 3))[0]
        since = {"positions": {"news": [first.offset + 1, first.epoch]}}
        assert [one["offset"] for one in await past(since, 99)] == [4, 5]
        assert [one["offset"] for one in await past({"time": 0.0}, 99)] == [3, 4, 5]
        assert [one["offset"] for one in await past({"last": 1}, 99)] == [5]


async def test_a_channel_without_history_has_no_past_to_tell() -> None:
    async with running() as bench:
        bench.channel("chat")
        peer = bench.connect()
        peer.join("chat")
        peer.say("Past", ref=1, alias="chat", since={}, limit=1)
        reply = peer.news()[-1]
        assert (reply["code"], reply["text"]) == ("unsupported", '"chat" keeps no history')


async def test_members_are_counted_and_sent_out_by_room() -> None:
    async with running() as bench:
        bench.channel("chat")
        peers = [bench.connect() for _ in range(3)]
        for peer in peers:
            peer.join("chat")
        assert await bench.node.count("chat") == 3
        assert await bench.node.count("nowhere") == 0
        assert await bench.node.kick("chat", "closed") == 3
        assert await bench.node.kick("chat", "closed") == 0
        for peer in peers:
            leave = peer.news()[-1]
            assert (leave["t"], leave["code"], leave["text"]) == ("Leave", "kicked", "closed")
            assert peer.session.members == {}
            assert peer.transport.closed is None


async def test_a_question_of_a_newer_node_has_no_answer() -> None:
    bench = Bench()
    assert bench.node.answer(Question(ask=Ask.MOVE)) is None


async def test_a_broadcast_that_is_acknowledged_gathers_what_was_answered() -> None:
    async with running() as bench:
        bench.channel("chat")
        peers = [bench.connect() for _ in range(2)]
        for peer in peers:
            peer.join("chat")
            peer.news()
        room = bench.node.room("chat")
        asking = asyncio.create_task(room.call("question", 1))
        await turns(2)
        for n, peer in enumerate(peers):
            [event] = peer.news()
            peer.say("Reply", ref=event["ref"], alias="chat", data=n)
        answers = await asking
        assert answers.values == [0, 1]
        peers[0].say("Reply", ref="unasked", alias="chat", data=1)
        assert (await bench.node.room("nowhere").call("question")).values == []


async def test_a_room_is_the_same_object_while_somebody_is_in_it() -> None:
    async with running() as bench:
        chat = bench.channel("chat")
        assert bench.node.room("chat") is not bench.node.room("chat")
        assert bench.node.room("chat").channel is chat
        assert bench.node.room("elsewhere").channel is None
        bench.connect().join("chat")
        assert bench.node.room("chat") is bench.node.rooms["chat"]


async def test_a_node_without_an_id_makes_one() -> None:
    given = Bench().node
    made = [
        Node(
            channels=given.channels,
            backend=MemoryBroker(),
            now=given.now,
            wall=given.wall,
            deadlines=given.deadlines,
        )
        for _ in range(2)
    ]
    assert len({given.id, *(node.id for node in made)}) == 3
    assert made[0].limits == Limits()
