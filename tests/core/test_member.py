"""Tests of anywire.core.member."""

import asyncio
from typing import Any

import msgspec
import pytest

from anywire.body import Args, Form, Shape
from anywire.core.member import Member, converted
from anywire.errors import CallFailed, Refused, Unsupported
from anywire.frames import Reply
from anywire.limits import Limits
from anywire.wires.base import Cap
from tests.core.support import FULL, Bench, Peer, TestWire, running, turns


def joined(bench: Bench, address: str = "desk", **options: Any) -> tuple[Peer, Member]:
    peer = bench.connect(**options)
    peer.join(address)
    peer.news()
    return peer, peer.session.members[address]


# --- what it is -----------------------------------------------------------------------------------


async def test_a_member_knows_who_where_and_what_it_is() -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        peer, member = joined(bench, "chat:a", user="ana")
        assert (member.user.id, member.address, member.room.name) == ("ana", "chat:a", "chat:a")
        assert member.hello is peer.session.hello
        assert list(member.rooms) == ["chat:a"]
        assert (member.attached, member.carrier) == (True, "websocket")
        assert repr(member).startswith("Member('chat:a', user='ana', id='n1.")
        member.state["draft"] = "hi"
        assert member.state == {"draft": "hi"}
        peer.cut()
        assert (member.attached, member.carrier) == (False, None)


async def test_each_member_has_an_id_of_its_own() -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        peer, one = joined(bench, "chat:a")
        peer.join("chat:b")
        peer.join("chat:a")
        _, other = joined(bench, "chat:a")
        ids = {one.id, other.id, *(member.id for member in peer.session.members.values())}
        assert len(ids) == 4


async def test_an_id_is_kept_when_the_session_changes() -> None:
    async with running() as bench:
        bench.channel("desk")
        peer, member = joined(bench)
        before = member.id
        member.keep_id()
        member.session = bench.connect().session
        assert member.id == before
        member.keep_id()
        assert member.id == before
        member.session = peer.session


async def test_a_member_that_may_come_back_is_away_from_its_loss_on() -> None:
    async with running() as bench:
        channel = bench.channel("desk")
        seen: list[tuple[bool, bool, bool]] = []
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        @channel.leave
        async def leave(member: Member) -> None:
            seen.append((member.is_away, member.is_leaving, member.has_left))
            await gate

        peer, member = joined(bench, wire=TestWire(FULL | Cap.ADOPT))
        assert not member.is_away
        peer.cut()
        assert seen == [(True, True, False)]
        gate.set_result(None)
        await turns()
        assert (member.is_away, member.is_leaving, member.has_left) == (True, False, False)


async def test_the_secret_of_a_member_is_in_no_log() -> None:
    async with running() as bench:
        bench.channel("desk")
        _, member = joined(bench, wire=TestWire(FULL | Cap.ADOPT))
        assert member.token and member.token not in repr(member)
        _, plain = joined(bench)
        assert plain.token == ""


async def test_state_lives_through_a_resume() -> None:
    async with running() as bench:
        bench.channel("desk")
        peer, member = joined(bench, wire=TestWire(FULL | Cap.RESUME))
        member.state["draft"] = "hi"
        peer.cut()
        assert not member.attached
        again = bench.resume(peer, received=1)
        assert again.session.members["desk"] is member
        assert member.state == {"draft": "hi"}


# --- send -----------------------------------------------------------------------------------------


async def test_send_tells_one_member_alone() -> None:
    async with running() as bench:
        bench.channel("desk")
        peer, member = joined(bench)
        other, _ = joined(bench)
        await member.send("pos", 1, 2, volatile=True)
        await member.send("said")
        assert peer.events() == [("pos", [1, 2]), ("said", [])]
        assert [p.volatile for p in peer.transport.payloads[-2:]] == [True, False]
        assert other.news() == []
        with pytest.raises(ValueError, match="reserved"):
            await member.send("forged")
        with pytest.raises(ValueError, match="JSON"):
            await member.send("said", object())


async def test_what_join_sends_follows_the_answer() -> None:
    async with running() as bench:
        channel = bench.channel("desk", history=5)

        @channel.join
        async def join(member: Member) -> str:
            await member.send("hello", 1)
            await asyncio.sleep(0)
            await member.send("hello", 2)
            return "welcome"

        peer = bench.connect()
        peer.join("desk")
        await turns()
        assert [(one["t"], one.get("args")) for one in peer.news()] == [
            ("Joined", None),
            ("Event", [1]),
            ("Event", [2]),
        ]


async def test_send_waits_while_too_much_waits_for_the_client() -> None:
    async with running(limits=Limits(outbox=1000)) as bench:
        bench.channel("desk")
        peer, member = joined(bench)
        peer.transport.is_stuck = True
        sent: list[int] = []

        async def many() -> None:
            for number in range(20):
                await member.send("said", number, "x" * 100)
                sent.append(number)

        task = asyncio.ensure_future(many())
        await turns()
        assert 0 < len(sent) < 10
        for _ in range(10):
            peer.unstick()
            await turns()
        await task
        assert [args[0] for _, args in peer.events()] == list(range(20))
        assert peer.transport.closed is None


async def test_send_to_who_has_left_or_gone_is_dropped() -> None:
    async with running() as bench:
        bench.channel("desk")
        peer, member = joined(bench)
        peer.say("Leave", alias="desk")
        await member.send("said")
        peer.join("desk")
        await member.send("said")
        assert [one["t"] for one in peer.news()] == ["Joined"]
        again = peer.session.members["desk"]
        peer.cut()
        await again.send("said")


# --- call -----------------------------------------------------------------------------------------


class Quote(msgspec.Struct):
    symbol: str
    price: float


async def calling(member: Member, *args: object, **options: Any) -> "asyncio.Task[Any]":
    task = asyncio.ensure_future(member.call("confirm", *args, **options))
    await turns()
    return task


async def test_a_call_brings_the_answer_as_the_type_that_was_asked_for() -> None:
    async with running() as bench:
        bench.channel("desk")
        peer, member = joined(bench)
        for data, returns, expected in (
            (True, bool, True),
            ({"symbol": "A", "price": 1}, Quote, Quote("A", 1.0)),
            ({"a": [1]}, object, {"a": [1]}),
            (None, type(None), None),
        ):
            task = await calling(member, 1, returns=returns)
            [question] = peer.news()
            assert (question["args"], question["want"]) == ([1], "REPLY")
            peer.say("Reply", ref=question["ref"], alias="desk", data=data)
            assert await task == expected


async def test_an_answer_of_another_type_is_a_call_that_failed() -> None:
    async with running() as bench:
        bench.channel("desk")
        peer, member = joined(bench)
        task = await calling(member, returns=int)
        peer.say("Reply", ref=peer.news()[0]["ref"], alias="desk", data="x")
        with pytest.raises(CallFailed, match='invalid: the answer to "confirm": Expected `int`'):
            await task


async def test_a_client_may_answer_with_an_error() -> None:
    async with running() as bench:
        bench.channel("desk")
        peer, member = joined(bench)
        task = await calling(member)
        ref = peer.news()[0]["ref"]
        peer.say("Reply", ref=ref, alias="desk", code="no", text="never", data={"a": 1})
        with pytest.raises(CallFailed) as raised:
            await task
        assert (raised.value.code, raised.value.text) == ("no", "never")
        assert raised.value.data == {"a": 1}


async def test_a_call_fails_when_it_takes_too_long_or_the_client_goes() -> None:
    async with running() as bench:
        bench.channel("desk")
        peer, member = joined(bench)
        slow = await calling(member, timeout=5)
        lost = await calling(member, timeout=50)
        bench.clock.move(5)
        with pytest.raises(CallFailed, match="timeout"):
            await slow
        peer.cut()
        with pytest.raises(CallFailed, match="lost"):
            await lost
        with pytest.raises(CallFailed, match="lost"):
            await member.call("confirm")


async def test_a_wire_without_calls_says_so_with_its_name() -> None:
    async with running() as bench:
        bench.channel("desk")
        _, member = joined(bench, wire=TestWire(FULL & ~Cap.CALL, name="deaf"))
        with pytest.raises(Unsupported, match='"deaf" cannot carry the call "confirm"'):
            await member.call("confirm")
        _, member = joined(bench)
        with pytest.raises(ValueError, match="reserved"):
            await member.call("forged")


async def test_a_call_that_was_asked_in_join_comes_after_the_answer() -> None:
    async with running() as bench:
        channel = bench.channel("desk")
        tasks: list[asyncio.Task[Any]] = []

        @channel.join
        async def join(member: Member) -> None:
            tasks.append(await calling(member))

        peer = bench.connect()
        peer.join("desk")
        await turns(20)
        assert [one["t"] for one in peer.news()] == ["Joined", "Event"]
        peer.say("Reply", ref=1, alias="desk", data="yes")
        assert await tasks[0] == "yes"


def test_an_answer_as_a_list_of_arguments_is_one_value_or_several() -> None:
    def of(text: bytes, shape: Shape = Shape.LIST, form: Form = Form.JSON) -> object:
        return converted(Args(text, form, shape), object, "ask")

    assert of(b"[]") is None
    assert of(b"[1]") == 1
    assert of(b"[1,2]") == [1, 2]
    assert of(b"[1]", Shape.ONE) == [1]
    assert converted(None, object, "ask") is None
    for broken in ((b"{", Shape.ONE, Form.JSON), (b"1", Shape.LIST, Form.JSON)):
        with pytest.raises(CallFailed, match="invalid"):
            of(*broken)
    with pytest.raises(CallFailed, match="key 1 is not a string"):
        of(msgspec.msgpack.encode({1: 2}), Shape.ONE, Form.MSGPACK)


async def test_an_answer_that_cannot_be_read_fails_the_call_and_nothing_else() -> None:
    async with running() as bench:
        bench.channel("desk")
        peer, member = joined(bench)
        broken = Args(msgspec.msgpack.encode({1: 2}), Form.MSGPACK, Shape.ONE)
        for code in ("", "no"):
            task = await calling(member)
            ref = peer.news()[0]["ref"]
            bench.node.dispatcher.reply(peer.session, Reply(ref, "desk", broken, code))
            with pytest.raises(CallFailed, match="invalid"):
                await task


# --- rooms ----------------------------------------------------------------------------------------


async def test_a_member_enters_and_exits_rooms_of_its_channel() -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        peer, member = joined(bench, "chat:a")
        room = await member.enter("engineering")
        assert room.name == "chat/engineering"
        assert await member.enter("engineering") is room
        assert await member.enter(room) is room
        await room.publish("said", 1)
        [event] = peer.news()
        assert (event["alias"], event["room"]) == ("chat:a", "chat/engineering")
        await member.exit("engineering")
        await member.exit(room)
        await member.exit("never")
        await bench.node.room("chat/engineering").publish("said", 2)
        assert peer.news() == []
        assert set(bench.node.rooms) == {"chat:a"}


async def test_a_member_may_enter_any_room_the_application_names() -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        bench.channel("news")
        peer, member = joined(bench, "chat:a")
        await member.enter(bench.node.room("news"))
        await bench.node.room("news").publish("said", 1)
        assert peer.events() == [("said", [1])]
        await member.exit(bench.node.room("news"))
        await bench.node.room("news").publish("said", 2)
        assert peer.events() == []


async def test_a_member_is_in_so_many_rooms() -> None:
    async with running(limits=Limits(members=3)) as bench:
        bench.channel("chat:{room}")
        _, member = joined(bench, "chat:a")
        await member.enter("one")
        await member.enter("two")
        with pytest.raises(Refused, match="busy"):
            await member.enter("three")
        await member.enter("one")
        await member.exit("one")
        await member.enter("three")


class SlowBroker:
    """Subscribes when a test says so."""

    def __init__(self, bench: Bench) -> None:
        self.gates: list[asyncio.Future[None]] = []
        self._broker = bench.node.broker
        bench.node.broker = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    async def subscribe(self, room: str) -> Any:
        self.gates.append(asyncio.get_running_loop().create_future())
        await self.gates[-1]
        return await self._broker.subscribe(room)


async def test_who_enters_a_room_that_is_being_entered_waits_as_well() -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        _, member = joined(bench, "chat:a")
        slow = SlowBroker(bench)
        one = asyncio.ensure_future(member.enter("x"))
        two = asyncio.ensure_future(member.enter("x"))
        await turns()
        assert not one.done()
        assert not two.done()
        slow.gates[0].set_result(None)
        assert await one is await two
        assert len(slow.gates) == 1


async def test_who_leaves_while_it_enters_is_in_no_room() -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        peer, member = joined(bench, "chat:a")
        slow = SlowBroker(bench)
        entering = asyncio.ensure_future(member.enter("x"))
        await turns()
        peer.cut()
        await turns()
        slow.gates[0].set_result(None)
        await turns()
        assert entering.done()
        await turns()
        assert not bench.node.rooms
        with pytest.raises(Refused, match="left"):
            await member.enter("y")
        entering.exception()


async def test_names_enter_no_rooms_of_a_personal_channel() -> None:
    async with running() as bench:
        bench.channel("inbox", personal=True)
        bench.channel("news")
        _, bob = joined(bench, "inbox", user="bob")
        _, eve = joined(bench, "inbox", user="eve")
        assert (bob.room.name, eve.room.name) == ("inbox/bob", "inbox/eve")
        with pytest.raises(Unsupported, match="personal"):
            await eve.enter("bob")
        await eve.enter(bench.node.room("news"))
        assert set(eve.rooms) == {"inbox/eve", "news"}


async def test_a_personal_channel_is_for_those_who_are_known() -> None:
    async with running() as bench:
        bench.channel("inbox", personal=True)
        nobody = bench.connect()
        nobody.join("inbox")
        [refusal] = nobody.news()
        assert (refusal["code"], refusal["t"]) == ("refused", "Refusal")
        phone, _ = joined(bench, "inbox", user="bob")
        desk, _ = joined(bench, "inbox", user="bob")
        eve, _ = joined(bench, "inbox", user="eve")
        await bench.node.room("inbox/bob").publish("pm", "hi")
        for peer in (phone, desk):
            [event] = peer.news()
            assert (event["alias"], event["room"], event["args"]) == ("inbox", "inbox/bob", ["hi"])
        assert eve.news() == []


# --- presence -------------------------------------------------------------------------------------


async def test_presence_is_for_channels_that_have_it() -> None:
    async with running() as bench:
        bench.channel("desk")
        _, member = joined(bench)
        with pytest.raises(Unsupported, match='"desk" has no presence'):
            await member.track(on="phone")


async def test_a_member_is_listed_with_its_meta_until_it_leaves() -> None:
    async with running() as bench:
        bench.channel("desk", presence=lambda member: member.user.id.upper())
        ana, member = joined(bench, user="ana")
        bo, _ = joined(bench, user="bo")
        await member.track(on="phone", since=1)
        await member.update(on="desk")
        ana.cut()
        await turns()
        changes = [(one["joined"], one["left"]) for one in bo.news()]
        phone, desk = {"on": "phone", "since": 1}, {"on": "desk", "since": 1}
        assert changes == [
            ({"ANA": [phone]}, {}),
            ({"ANA": [desk]}, {"ANA": [phone]}),
            ({}, {"ANA": [desk]}),
        ]


async def test_update_begins_what_was_not_tracked() -> None:
    async with running() as bench:
        bench.channel("desk", presence=True)
        peer, member = joined(bench, user="ana")
        await member.update(on="desk")
        assert [one["joined"] for one in peer.news()] == [{"ana": [{"on": "desk"}]}]


# --- the session ----------------------------------------------------------------------------------


async def test_a_member_closes_its_whole_session() -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        peer, member = joined(bench, "chat:a")
        peer.join("chat:b")
        await member.close(4000, "enough", retry=2.5)
        assert peer.transport.closed == (4000, "enough")
        assert peer.heard[-1] == {"t": "Bye", "code": 4000, "text": "enough", "retry": 2.5}
        assert not bench.node.sessions
