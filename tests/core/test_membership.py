"""Tests of anywire.core.membership."""

import asyncio
from typing import Any

import pytest

from anywire.core.channel import Channel, Left
from anywire.core.member import Member
from anywire.errors import CallFailed, Refused
from anywire.frames import Join
from anywire.limits import Limits
from anywire.wires.base import Cap
from tests.core.support import FULL, Bench, Peer, TestWire, running, turns


class Desk:
    """A channel whose joins and leaves wait for a test, in order of their coming."""

    def __init__(self, bench: Bench, pattern: str = "desk", *, waits: str = "") -> None:
        self.log: list[str] = []
        self.gates: list[asyncio.Future[Any]] = []
        self.channel = channel = bench.channel(pattern)
        self.numbers: dict[str, int] = {}

        @channel.join
        async def join(member: Member) -> int:
            number = self.numbers[member.id] = len(self.numbers) + 1
            self.log.append(f"join {number}")
            if "join" in waits:
                await self.gate()
                self.log.append(f"joined {number}")
            return number

        @channel.leave
        async def leave(member: Member, why: Left) -> None:
            number = self.numbers[member.id]
            self.log.append(f"leave {number} {why.code}")
            if "leave" in waits:
                await self.gate()
            self.log.append(f"left {number}")

    def gate(self) -> "asyncio.Future[Any]":
        self.gates.append(asyncio.get_running_loop().create_future())
        return self.gates[-1]

    async def open(self, error: Exception | None = None) -> None:
        """Let the oldest that waits go on."""
        gate = self.gates.pop(0)
        if error is None:
            gate.set_result(None)
        else:
            gate.set_exception(error)
        await turns()


def told(peer: Peer) -> list[Any]:
    """The news, short."""
    return [(one["t"], one.get("ref"), one.get("code", "")) for one in peer.news()]


# --- joins ----------------------------------------------------------------------------------------


async def test_a_join_is_answered_with_what_its_handler_returns() -> None:
    async with running() as bench:
        Desk(bench)
        bench.channel("mute")
        peer = bench.connect()
        peer.join("desk", ref="a")
        peer.join("mute", ref="b")
        one, two = peer.news()
        assert (one["t"], one["ref"], one["alias"], one["data"]) == ("Joined", "a", "desk", 1)
        assert (two["t"], two["ref"], "data" in two) == ("Joined", "b", False)
        assert set(bench.node.rooms) == {"desk", "mute"}


async def test_an_unknown_address_is_told_the_known_patterns() -> None:
    async with running() as bench:
        bench.channel("desk")
        bench.channel("chat:{room}")
        peer = bench.connect()
        peer.join("x" * 100)
        [refusal] = peer.news()
        assert refusal["code"] == "unknown_address"
        assert refusal["text"] == f'no channel takes "{"x" * 80}"; known: "desk", "chat:{{room}}"'


@pytest.mark.parametrize(
    "address",
    [
        "user:bob",
        "chat:staff/secret",
        "chat:a/../staff",
        "../",
        "",
        "chat:",
        "chat:a\x00b",
        "chat:a\nb",
        "chat:" + "x" * 300,
        "chat:\ud800" + "ü" * 130,
        "personal/bob",
    ],
)
async def test_an_address_that_is_none_reaches_no_room(address: str) -> None:
    async with running() as bench:
        bench.channel("chat:{room}")
        bench.channel("personal", personal=True)
        for name in ("user:bob", "chat:staff", "chat/secret", "personal/bob"):
            await bench.node.room(name).publish("secret")
        peer = bench.connect()
        peer.join(address, ref=1)
        [refusal] = peer.news()
        assert refusal["t"] == "Refusal"
        assert refusal["code"] in ("unknown_address", "invalid")
        assert not bench.node.rooms
        assert not peer.session.members


async def test_an_alias_has_a_bound_too() -> None:
    async with running(limits=Limits(name=10)) as bench:
        bench.channel("desk")
        peer = bench.connect()
        peer.join("desk", alias="x" * 11)
        peer.join("desk", alias="x" * 10)
        assert told(peer) == [("Refusal", "j", "invalid"), ("Joined", "j", "")]


async def test_joins_are_bounded_in_number_and_in_rate() -> None:
    async with running(limits=Limits(joins=5, members=3)) as bench:
        bench.channel("desk")
        peer = bench.connect()
        for alias in "abcd":
            peer.join("desk", alias=alias)
        assert [code for *_, code in told(peer)] == ["", "", "", "busy"]
        peer.join("desk", alias="a")  # again: no more than before
        assert told(peer) == [("Joined", "j", "")]
        peer.join("desk", alias="a")
        assert told(peer) == [("Refusal", "j", "rate")]
        bench.clock.move(0.25)
        peer.join("desk", alias="a")
        assert told(peer) == [("Joined", "j", "")]


async def test_a_refused_join_leaves_no_member() -> None:
    async with running() as bench:
        desk = Desk(bench, waits="join")
        peer = bench.connect()
        peer.join("desk", ref=1)
        peer.call("desk", "nothing", ref=2)
        await desk.open(Refused("staff_only", "for staff", data={"room": "staff"}))
        reply, refusal = peer.news()
        assert (reply["ref"], reply["code"]) == (2, "unknown_address")
        assert (refusal["code"], refusal["text"]) == ("staff_only", "for staff")
        assert refusal["data"] == {"room": "staff"}
        assert not peer.session.members
        assert not bench.node.rooms
        assert desk.log == ["join 1"]  # who never joined never leaves
        peer.join("desk")
        await desk.open()
        assert told(peer) == [("Joined", "j", "")]


async def test_the_log_says_why_a_join_was_refused_and_which_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", "anywire")
    async with running() as bench:
        channel = bench.channel("desk")

        @channel.join
        async def join(seat: int) -> None:
            pass

        peer = bench.connect()
        peer.join("desk")
        peer.join("nowhere")
        peer.push("desk", "sit")
        told = [(record.levelname, record.getMessage()) for record in caplog.records]
        assert [level for level, _ in told] == ["INFO", "INFO", "DEBUG"]
        seat, nowhere, sit = [text for _, text in told]
        assert "the join of 'desk' was refused: 'invalid: `seat` is missing" in seat
        assert "the join of 'nowhere' was refused: 'unknown_address: " in nowhere
        assert "the event 'sit' was refused: 'unknown_address: " in sit


async def test_what_a_refused_member_says_is_not_heard() -> None:
    async with running() as bench:
        kept: list[Member] = []

        @bench.channel("desk").join
        async def join(member: Member) -> None:
            kept.append(member)
            await member.send("before")
            raise Refused("no")

        peer = bench.connect()
        peer.join("desk")
        await kept[0].send("after")
        with pytest.raises(CallFailed, match="lost"):
            await kept[0].call("after")
        with pytest.raises(Refused, match="left"):
            await kept[0].enter("room")
        assert told(peer) == [("Refusal", "j", "no")]
        assert not bench.node.rooms


@pytest.mark.parametrize("value", [object(), "raises"])
async def test_a_bug_in_join_ends_the_membership(
    value: object, caplog: pytest.LogCaptureFixture
) -> None:
    async with running() as bench:

        @bench.channel("desk").join
        async def join() -> object:
            if value == "raises":
                raise RuntimeError("secret")
            return value

        peer = bench.connect()
        peer.join("desk")
        [refusal] = peer.news()
        assert refusal["code"] == "internal"
        assert refusal["data"]["id"] in caplog.text
        assert 'join of "desk" failed' in caplog.text
        assert not peer.session.members
        assert not bench.node.rooms


async def test_a_join_that_is_stopped_is_lost() -> None:
    async with running() as bench:
        Desk(bench, waits="join")
        peer = bench.connect()
        peer.join("desk")
        for task in bench.node.dispatcher.stepper.tasks:
            task.cancel()
        await turns()
        assert told(peer) == [("Refusal", "j", "lost")]


async def test_a_wire_with_one_membership_is_closed_when_it_is_refused() -> None:
    async with running() as bench:
        bench.channel("desk")
        wire = TestWire(FULL, home="nowhere", is_single=True)
        peer = bench.connect(wire)
        assert peer.transport.closed is not None
        assert peer.transport.closed[0] == 4403
        assert peer.transport.closed[1].startswith('no channel takes "nowhere"')
        assert [one["t"] for one in peer.heard] == ["Welcome", "Refusal", "Bye"]


# --- leaves ---------------------------------------------------------------------------------------


async def test_a_client_leaves_and_is_told_so_if_it_asks() -> None:
    async with running() as bench:
        desk = Desk(bench)
        peer = bench.connect()
        peer.join("desk")
        peer.say("Leave", alias="desk", ref="l", code="bored")
        peer.say("Leave", alias="desk", ref="m")
        peer.say("Leave", alias="desk")
        assert told(peer)[1:] == [("Leave", "l", ""), ("Leave", "m", "")]
        assert desk.log == ["join 1", "leave 1 bored", "left 1"]
        assert not bench.node.rooms


async def test_leave_runs_while_the_rooms_are_full_and_delivery_has_stopped() -> None:
    async with running() as bench:
        channel = bench.channel("desk")
        rooms: list[str] = []

        @channel.join
        async def join(member: Member) -> None:
            await member.enter("one")
            await member.enter("two")

        @channel.leave
        async def leave(member: Member, why: Left) -> None:
            rooms.extend(member.rooms)
            await asyncio.sleep(0)
            for room in member.rooms.values():
                await room.publish("gone", member.user.id)
            await member.send("not heard")

        ana, bo = bench.connect(user="ana"), bench.connect(user="bo")
        ana.join("desk")
        bo.join("desk")
        ana.news(), bo.news()
        ana.say("Leave", alias="desk")
        await turns()
        assert sorted(rooms) == ["desk", "desk/one", "desk/two"]
        assert bo.events() == [("gone", ["ana"])] * 3
        assert ana.news() == []


async def test_the_end_of_a_session_runs_leave_for_each_member_and_says_why() -> None:
    async with running() as bench:
        channel = bench.channel("desk:{name}")
        log: list[object] = []

        @channel.leave
        async def leave(member: Member, name: str, why: Left) -> None:
            log.append((name, list(member.rooms), why.code, why.text, why.clean))

        peer = bench.connect()
        peer.join("desk:a")
        peer.join("desk:b")
        peer.cut(1006, "cut", is_clean=False)
        assert log == [
            ("a", ["desk:a"], 1006, "cut", False),
            ("b", ["desk:b"], 1006, "cut", False),
        ]
        await turns()
        assert not bench.node.rooms
        assert not bench.node.sessions


async def test_a_bug_in_leave_is_in_the_log_and_the_rooms_forget_the_member(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as bench:
        one, two = bench.channel("one"), bench.channel("two")

        @one.leave
        async def leave() -> None:
            raise RuntimeError("in one")

        @two.leave
        def plain() -> None:
            raise RuntimeError("in two")

        peer = bench.connect()
        peer.join("one")
        peer.join("two")
        peer.cut()
        await turns()
        assert "in one" in caplog.text
        assert "in two" in caplog.text
        assert not bench.node.rooms


async def test_a_leave_that_is_no_coroutine_runs_too() -> None:
    async with running() as bench:
        log: list[str] = []

        @bench.channel("desk").leave
        def leave(why: Left) -> None:
            log.append(why.text)

        peer = bench.connect()
        peer.join("desk")
        peer.say("Leave", alias="desk", text="bye")
        assert log == ["bye"]
        await turns()
        assert not bench.node.rooms


async def test_the_application_ends_a_membership_and_the_client_hears_why() -> None:
    async with running() as bench:
        channel = bench.channel("desk")
        log: list[Left] = []

        @channel.on("go")
        async def go(member: Member, how: str) -> None:
            if how == "leave":
                await member.leave("done")
                await member.leave("twice")
            else:
                await member.fail("broken")

        @channel.leave
        async def leave(why: Left) -> None:
            log.append(why)

        peer = bench.connect()
        for how in ("leave", "fail"):
            peer.join("desk")
            peer.call("desk", "go", how)
        left = [(one["code"], one["text"]) for one in peer.news() if one["t"] == "Leave"]
        assert left == [("left", "done"), ("internal", "broken")]
        assert [(why.code, why.clean) for why in log] == [("left", True), ("internal", False)]


async def test_a_wire_with_one_membership_is_closed_when_it_ends() -> None:
    async with running() as bench:
        channel = bench.channel("desk")

        @channel.on("go")
        async def go(member: Member, text: str) -> None:
            await member.leave(text)

        for text in ("enough", ""):
            peer = bench.connect(TestWire(Cap.NONE, home="desk", is_single=True))
            peer.push("desk", "go", text)
            assert peer.transport.closed == (4403, text or "the membership has ended")
            assert [one["t"] for one in peer.heard] == ["Welcome", "Joined", "Leave", "Bye"]


async def test_a_member_that_leaves_in_its_leave_leaves_once() -> None:
    async with running() as bench:
        channel = bench.channel("desk")
        log: list[str] = []

        @channel.leave
        async def leave(member: Member) -> None:
            log.append("left")
            await member.leave()

        peer = bench.connect()
        peer.join("desk")
        peer.cut()
        assert log == ["left"]


# --- one after the other --------------------------------------------------------------------------


async def test_a_second_join_under_an_alias_replaces_the_first_which_leaves_before() -> None:
    async with running() as bench:
        desk = Desk(bench, waits="leave")
        peer = bench.connect()
        peer.join("desk", ref=1)
        peer.join("desk", ref=2)
        assert told(peer) == [("Joined", 1, "")]
        assert desk.log == ["join 1", "leave 1 replaced"]
        peer.call("desk", "nope", ref=3)  # for the second one: it waits for its join
        assert told(peer) == []
        await desk.open()
        assert desk.log == ["join 1", "leave 1 replaced", "left 1", "join 2"]
        assert told(peer) == [("Joined", 2, ""), ("Reply", 3, "unknown_event")]


async def test_a_join_after_a_leave_waits_for_it() -> None:
    async with running() as bench:
        desk = Desk(bench, waits="leave")
        peer = bench.connect()
        peer.join("desk", ref=1)
        peer.say("Leave", alias="desk", ref="l")
        peer.join("desk", ref=2)
        assert told(peer) == [("Joined", 1, ""), ("Leave", "l", "")]
        await desk.open()
        assert told(peer) == [("Joined", 2, "")]
        assert desk.log == ["join 1", "leave 1 left", "left 1", "join 2"]


async def test_of_many_joins_under_one_alias_the_last_one_stays() -> None:
    async with running() as bench:
        desk = Desk(bench, waits="leave")
        peer = bench.connect()
        for ref in (1, 2, 3):
            peer.join("desk", ref=ref)
        peer.say("Leave", alias="desk")
        peer.join("desk", ref=4)
        assert told(peer) == [("Joined", 1, "")]
        await desk.open()
        assert told(peer) == [
            ("Refusal", 2, "left"),
            ("Refusal", 3, "left"),
            ("Joined", 4, ""),
        ]
        assert desk.log == ["join 1", "leave 1 replaced", "left 1", "join 2"]
        peer.cut()
        await desk.open()
        assert desk.log[4:] == ["leave 2 1006", "left 2"]


async def test_a_member_that_is_replaced_while_it_joins_is_refused_first() -> None:
    async with running() as bench:
        desk = Desk(bench, waits="join")
        peer = bench.connect()
        peer.join("desk", ref=1)
        peer.join("desk", ref=2)
        await desk.open()
        assert told(peer) == [("Refusal", 1, "left")]
        await desk.open()
        assert told(peer) == [("Joined", 2, "")]
        assert desk.log == ["join 1", "joined 1", "join 2", "joined 2"]
        assert len(bench.node.rooms["desk"].members()) == 1


async def test_a_client_that_leaves_before_it_is_joined_is_no_member() -> None:
    async with running() as bench:
        desk = Desk(bench, waits="join")
        peer = bench.connect()
        peer.join("desk", ref=1)
        peer.say("Leave", alias="desk", ref="l")
        await desk.open()
        assert told(peer) == [("Leave", "l", ""), ("Refusal", 1, "left")]
        assert not bench.node.rooms


async def test_a_session_that_ends_while_it_joins_leaves_nothing() -> None:
    async with running() as bench:
        desk = Desk(bench, waits="join leave")
        one, two = bench.connect(), bench.connect()
        one.join("desk")
        await desk.open()
        one.join("desk")
        two.join("desk")
        one.cut()
        two.cut()
        while desk.gates:
            await desk.open()
        assert desk.log.count("join 1") == 1
        assert "join 3" not in desk.log
        assert not bench.node.rooms
        assert not bench.node.dispatcher.stepper.tasks


async def test_a_join_that_its_client_has_left_needs_no_answer_where_it_has_no_ref() -> None:
    async with running() as bench:
        desk = Desk(bench, waits="join")
        peer = bench.connect()
        peer.join("desk", ref=None)
        peer.say("Leave", alias="desk")
        await desk.open()
        assert told(peer) == []
        peer.join("desk", ref=None)
        await desk.open(Refused("no"))
        assert told(peer) == [("Refusal", None, "no")]
        assert not bench.node.rooms


# --- memberships that may go on elsewhere ---------------------------------------------------------


def adopting() -> TestWire:
    return TestWire(FULL | Cap.ADOPT)


async def test_who_is_lost_leaves_at_once_and_its_membership_stays_for_a_while() -> None:
    async with running(limits=Limits(resume=60.0)) as bench:
        desk = Desk(bench)
        peer = bench.connect(adopting())
        peer.join("desk")
        [member] = peer.session.members.values()
        peer.cut()
        assert desk.log == ["join 1", "leave 1 1006", "left 1"]
        assert not member.has_left and list(member.rooms) == ["desk"]
        assert bench.node.room("desk").members() == [member]
        bench.clock.move(60.0)
        assert desk.log == ["join 1", "leave 1 1006", "left 1"]
        assert member.has_left
        await turns()
        assert not bench.node.rooms and not bench.node.adoptable


async def test_who_is_lost_while_it_joins_leaves_when_it_has_joined() -> None:
    async with running() as bench:
        desk = Desk(bench, waits="join")
        peer = bench.connect(adopting())
        peer.join("desk")
        peer.cut()
        assert desk.log == ["join 1"]
        await desk.open()
        assert desk.log == ["join 1", "joined 1", "leave 1 1006", "left 1"]
        assert not peer.session.has_ended


async def test_who_is_lost_while_it_joins_and_is_refused_does_not_leave() -> None:
    async with running() as bench:
        desk = Desk(bench, waits="join")
        peer = bench.connect(adopting())
        peer.join("desk")
        peer.cut()
        await desk.open(Refused("no"))
        assert desk.log == ["join 1"]
        assert not bench.node.rooms and not bench.node.adoptable


async def test_who_was_lost_and_is_sent_out_has_left_once() -> None:
    async with running() as bench:
        desk = Desk(bench, waits="leave")
        peer = bench.connect(adopting())
        peer.join("desk")
        [member] = peer.session.members.values()
        peer.cut()
        await member.leave()
        bench.node.dispatcher.lose(peer.session, 1006, "again", is_clean=False)
        assert desk.log == ["join 1", "leave 1 1006"]
        await desk.open()
        assert desk.log == ["join 1", "leave 1 1006", "left 1"]
        await turns()
        assert not bench.node.rooms and not bench.node.adoptable


async def test_who_leaves_is_not_lost() -> None:
    async with running() as bench:
        desk = Desk(bench, waits="leave")
        peer = bench.connect(adopting())
        peer.join("desk")
        [member] = peer.session.members.values()
        peer.say("Leave", alias="desk")
        bench.node.dispatcher._memberships.lose(member, Left(1006, "", clean=False))
        await desk.open()
        assert desk.log == ["join 1", "leave 1 left", "left 1"]
        assert not member.is_leaving


async def test_a_channel_without_handlers_is_lost_and_left_too() -> None:
    async with running() as bench:
        bench.channel("mute")
        peer = bench.connect(adopting())
        peer.join("mute")
        [member] = peer.session.members.values()
        peer.cut()
        assert member.is_told and not member.is_leaving
        peer.session.end(4410, "", is_clean=False)
        await turns()
        assert not bench.node.rooms


async def test_a_secret_shown_on_a_session_that_has_ended_moves_nothing() -> None:
    async with running() as bench:
        bench.channel("desk")
        peer, other = bench.connect(adopting()), bench.connect(adopting())
        peer.join("desk")
        [joined] = peer.news()
        other.say("Bye", code=1000)
        join = Join(1, "desk", "desk", token=joined["token"])
        bench.node.dispatcher.join(other.session, join)
        assert list(peer.session.members) == ["desk"] and not other.session.members


async def test_a_join_behind_a_goodbye_is_none() -> None:
    async with running() as bench:
        desk = Desk(bench)
        peer = bench.connect()
        peer.say("Bye", code=1000)
        bench.node.dispatcher.join(peer.session, Join(1, "desk", "desk"))
        assert desk.log == []
        assert not bench.node.rooms


# --- hostile names --------------------------------------------------------------------------------


def entering(channel: Channel) -> None:
    @channel.on("enter")
    async def enter(member: Member, name: str) -> str:
        return (await member.enter(name)).name

    @channel.on("say")
    async def say(member: Member, name: str, text: str) -> None:
        await member.rooms[name].publish("said", text)


@pytest.mark.parametrize(
    "name", ["user:bob", "chat:staff", "../", "../../chat:staff", "/", "chat/x", "bob", "*", "{x}"]
)
async def test_a_hostile_room_name_reaches_no_other_room(name: str) -> None:
    async with running() as bench:
        chat = bench.channel("chat:{room}")
        entering(chat)
        bench.channel("user:{id}")
        bench.channel("inbox", personal=True)
        evil, bob = bench.connect(), bench.connect(user="bob")
        for address in ("user:bob", "chat:staff", "chat:lobby", "inbox"):
            bob.join(address)
        evil.join("chat:evil")
        evil.call("chat:evil", "enter", name, ref=1)
        evil.push("chat:evil", "say", f"chat/{name}", "hi")
        await turns()
        _, reply, said = evil.news()
        assert reply["data"] == f"chat/{name}"
        assert said["args"] == ["hi"]
        assert bob.events() == []
        for room in ("user:bob", "chat:staff", "chat:lobby", "inbox/bob"):
            await bench.node.room(room).publish("secret")
        assert evil.events() == []
        assert len(bob.events()) == 4


@pytest.mark.parametrize("name", ["", "x" * 300, "ü" * 128, "a\x00b", "a\nb", "\u202e", "\ud800"])
async def test_a_room_name_that_is_none_is_refused(name: str) -> None:
    async with running() as bench:
        entering(bench.channel("chat:{room}"))
        peer = bench.connect()
        peer.join("chat:a")
        peer.call("chat:a", "enter", name)
        assert told(peer)[1] == ("Reply", 1, "invalid")
        assert set(bench.node.rooms) == {"chat:a"}
