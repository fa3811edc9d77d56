"""Tests of anywire.core.node."""

import asyncio
from typing import Any

import pytest

from anywire.body import NO_BODY, Body
from anywire.brokers.memory import MemoryBroker
from anywire.core.channel import Left
from anywire.core.member import Member
from anywire.core.node import SPENT, Node
from anywire.core.session import Session
from anywire.errors import Refused
from anywire.frames import At, Position, Record
from anywire.limits import Limits
from anywire.payload import Payload
from anywire.wires.base import Cap, Hello, Opening, User
from tests.core.support import FULL, Bench, TestTransport, TestWire, running, turns

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


async def test_a_stop_lets_handlers_end_what_they_do() -> None:
    ended: list[object] = []
    async with running(limits=Limits(stop=20.0)) as bench:
        channel = bench.channel("desk")

        @channel.on("work")
        async def work(member: Member) -> None:
            await asyncio.sleep(0.02)
            await member.room.publish("worked")
            ended.append("work")

        @channel.leave
        async def leave(member: Member, why: Left) -> None:
            await asyncio.sleep(0.01)
            await member.room.publish("left")
            await asyncio.sleep(0.01)
            ended.append(why.code)

        peer = bench.connect()
        peer.join("desk")
        peer.push("desk", "work")
    assert ended == ["work", 1001]


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
    one, two, three = (bench.connect(user="ana") for _ in range(3))
    assert set(bench.node.users["ana"]) == {one.session, two.session, three.session}
    one.cut()
    assert set(bench.node.users["ana"]) == {two.session, three.session}
    two.cut()
    assert set(bench.node.users["ana"]) == {three.session}
    three.cut()
    assert not bench.node.users
    assert not bench.node.sessions


# --- publishing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ("forged", 'reserved by "test"'),
        ("presence", 'reserved by "presence"'),
        ("", "1 to 255"),
        ("x" * 256, "1 to 255"),
        ("\u20ac" * 86, "1 to 255"),
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


# --- presence -------------------------------------------------------------------------------------


async def test_who_tracks_is_listed_until_it_leaves() -> None:
    async with running() as bench:
        channel = bench.channel("chat", presence=True)

        @channel.join
        async def join(member: Member) -> None:
            await member.track(status="here")

        peer = bench.connect(user="ana")
        peer.join("chat")
        [[here]] = (await bench.broker.list("chat")).values()
        assert here.endswith(b',{"status":"here"}]')
        await peer.session.members["chat"].update(status="away")
        [[away]] = (await bench.broker.list("chat")).values()
        assert away.endswith(b',{"status":"away"}]')
        peer.cut()
        await turns(3)
        assert await bench.broker.list("chat") == {}


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


async def test_a_users_id_that_is_no_text_is_a_mistake_that_is_named() -> None:
    async def numbered(hello: Hello) -> User:
        return User(42)  # type: ignore[arg-type]

    async with running(authenticate=numbered) as bench:
        with pytest.raises(TypeError, match="a user's id is a str, not 42"):
            await bench.node.authenticated(Hello())


async def test_an_event_that_is_no_text_cannot_be_published() -> None:
    async with running() as bench:
        with pytest.raises(ValueError, match="surrogates"):
            bench.node.check_event("\ud800")
        bench.node.check_event("gr\u00fc\u00dfe")


async def test_so_many_sessions_wait_for_a_resume_and_no_more() -> None:
    async with running(limits=Limits(detached=2)) as bench:
        wire = TestWire(FULL | Cap.RESUME)
        peers = [bench.connect(wire=wire) for _ in range(4)]
        for peer in peers:
            peer.news()
        for peer in peers[:2]:
            peer.cut()
        bench.resume(peers[0], received=0)
        for peer in peers[2:]:
            peer.cut()
        assert [peer.session.has_ended for peer in peers] == [False, True, False, False]
        assert len(bench.node.detached) == 2


async def test_a_hole_in_a_room_is_told_to_who_relies_on_its_history_only() -> None:
    async with running() as bench:
        bench.channel("log", history=10)
        bench.channel("loose")
        kept, loose = bench.connect(), bench.connect()
        kept.join("log")
        loose.join("loose")
        kept.news(), loose.news()
        for room in ("log", "loose", "nowhere"):
            bench.node.broken(room, Position(3, "e"))
        assert [(frame["t"], frame["lost"]) for frame in kept.news()] == [("Gap", 0)]
        assert loose.news() == []


async def test_a_claimed_id_is_ours_until_its_session_ends() -> None:
    async with running() as bench:
        node = bench.node
        assert await node.claim(bench.wire, "s", User("ana")) == "n1"
        assert await bench.broker.owner("test", "s") == "n1"
        with pytest.raises(Refused):
            await node.claim(bench.wire, "s", User("eve"))
        peer = bench.connect(user="ana")
        peer.session.id, other = "s", peer.session.id
        node.sessions["s"] = node.sessions.pop(other)
        peer.cut()
        assert await bench.broker.owner("test", "s") is None
        assert await node.claim(bench.wire, "s", User("eve")) == "n1"


async def test_an_id_that_another_node_has_is_not_ours_to_release() -> None:
    async with running() as bench:
        await bench.broker.claim("test", "s", "n2", "", 60)
        user = User("anonymous.1", is_anonymous=True)
        assert await bench.node.claim(bench.wire, "s", user) == "n2"
        peer = bench.connect()
        peer.session.id, other = "s", peer.session.id
        bench.node.sessions["s"] = bench.node.sessions.pop(other)
        peer.cut()
        assert await bench.broker.owner("test", "s") == "n2"


async def given(bench: Bench, id: str = "s") -> Session:
    """A session whose id and secret were given away before."""
    assert await bench.node.claim(bench.wire, id, User("ana")) == "n1"
    hello, user = bench.hello(), User("ana")
    opening = bench.wire.open(hello)
    assert isinstance(opening, Opening) and opening.machine is not None
    opening.session, opening.token, opening.is_claimed = id, "secret", True
    return bench.node.open(bench.wire, hello, opening, opening.machine, user, TestTransport())


async def test_an_id_that_was_given_away_is_known_for_a_while_after_its_session() -> None:
    async with running() as bench:
        node = bench.node
        assert not node.has_ended("s")
        session = await given(bench)
        assert session.token == "secret" and not node.has_ended("s")
        session.close(1000)
        assert node.has_ended("s")
        bench.clock.move(SPENT - 0.1)
        assert node.has_ended("s") and await bench.broker.owner("test", "s") == "n1"
        bench.clock.move(0.1)
        assert not node.has_ended("s") and await bench.broker.owner("test", "s") is None


async def test_who_stops_knows_no_id_any_more() -> None:
    async with running() as bench:
        await given(bench)
        bench.node.send_away()
        assert not bench.node.has_ended("s") and await bench.broker.owner("test", "s") is None


async def test_every_app_has_a_key_that_nobody_knows() -> None:
    keys = {Bench().node.key for _ in range(3)}
    assert len(keys) == 3 and {len(key) for key in keys} == {32}
