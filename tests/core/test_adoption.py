"""Tests of anywire.core.adoption: a membership goes on in another session, as Socket.IO's do."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import Body
from anywire.brokers.memory import MemoryBroker
from anywire.core.adoption import adopted
from anywire.core.channel import Channel, Left
from anywire.core.member import Member
from anywire.errors import CallFailed, Refused
from anywire.frames import Join, Record
from anywire.limits import Limits
from anywire.payload import Policy
from anywire.wires.base import Hello, User
from anywire.wires.socketio import SocketIO
from tests.core.guest import Guest, io, kinds, told
from tests.core.support import Bench, running, turns

PING, PONG = "2", "3"


class Desk:
    """A channel whose handlers write down what happens; a gate holds the next one that comes."""

    def __init__(self, bench: Bench, pattern: str = "desk", **options: Any) -> None:
        self.log: list[str] = []
        self.gates: dict[str, asyncio.Future[None]] = {}
        self.channel: Channel = bench.channel(pattern, **options)
        self.refusal: Refused | None = None

        @self.channel.join
        async def join(member: Member) -> None:
            await self.does("join")
            if self.refusal is not None:
                raise self.refusal

        @self.channel.leave
        async def leave(member: Member, why: Left) -> None:
            await self.does(f"leave {why.code}")

        @self.channel.on("say")
        async def say(text: str) -> str:
            await self.does(f"say {text}")
            return text

    async def does(self, what: str) -> None:
        self.log.append(what)
        gate = self.gates.get(what.partition(" ")[0])
        if gate is not None:
            await gate
            self.log.append(f"{what}, done")

    def hold(self, what: str) -> None:
        """Whoever does this waits."""
        self.gates[what] = asyncio.get_running_loop().create_future()

    async def open(self, what: str) -> None:
        """Whoever waits there goes on."""
        self.gates.pop(what).set_result(None)
        await turns()


def joined(bench: Bench, *namespaces: str, **options: Any) -> Guest:
    """A client that has joined, and heard so."""
    guest = Guest(bench, io(bench, **options))
    for namespace in namespaces or ("/",):
        guest.join(namespace)
    guest.hear()
    return guest


async def publish(bench: Bench, *numbers: int, room: str = "desk") -> None:
    for number in numbers:
        await bench.node.room(room).publish("n", number)


def numbers(guest: Guest) -> list[int]:
    return [said[1] for said in guest.said() if said[0] == "n"]


# --- what goes on ---------------------------------------------------------------------------------


async def test_rooms_state_and_id_are_as_they_were_and_what_was_missed_is_said_once() -> None:
    async with running() as bench:
        bench.channel("desk")
        guest = joined(bench)
        member = guest.member()
        member.state["score"] = 7
        await member.enter("corner")
        before = member.id
        await publish(bench, 1)
        assert numbers(guest) == [1]
        guest.cut()
        await publish(bench, 2)
        await publish(bench, 3, room="desk/corner")
        await member.send("n", 4)
        await publish(bench, 5)
        guest.connect()
        guest.join()
        assert numbers(guest) == [2, 3, 4, 5]
        assert guest.recovered["/"]
        assert guest.member() is member
        assert (member.id, member.state) == (before, {"score": 7})
        assert set(member.rooms) == {"desk", "desk/corner"}
        await publish(bench, 6)
        await publish(bench, 7, room="desk/corner")
        assert numbers(guest) == [6, 7]


async def test_its_id_is_not_given_to_anybody_else_and_names_it_still() -> None:
    async with running() as bench:
        bench.channel("desk")
        guest, other = joined(bench), joined(bench)
        guest.come_back()
        guest.hear()
        assert guest.member().id != other.member().id
        assert guest.member().id.split(".")[1] != guest.session.id
        await bench.node.room("desk").publish("n", 1, but=guest.member())
        assert numbers(guest) == []
        assert numbers(other) == [1]


@pytest.mark.parametrize("seen", range(6))
async def test_what_the_client_has_read_is_not_said_again(seen: int) -> None:
    async with running() as bench:
        bench.channel("desk")
        guest = joined(bench)
        for number in range(5):
            if number % 2:
                await guest.member().send("n", number)
            else:
                await publish(bench, number)
        guest.come_back(seen=seen)
        assert numbers(guest) == list(range(5))[seen:]
        assert guest.recovered["/"]


async def test_what_was_said_again_and_is_lost_again_is_said_once_more() -> None:
    async with running() as bench:
        bench.channel("desk")
        guest = joined(bench)
        await publish(bench, 0, 1, 2, 3)
        guest.come_back(seen=1)
        guest.come_back(seen=3)  # the handshake, the answer, 1
        guest.come_back(seen=0)
        assert numbers(guest) == [2, 3]
        assert guest.recovered["/"]


async def test_what_was_published_in_the_same_turn_is_not_lost() -> None:
    async with running() as bench:
        bench.channel("desk")
        bench.channel("hall")
        guest = joined(bench, "/", "/hall")
        guest.cut()
        guest.connect()
        guest.join()
        guest.hear()
        await publish(bench, 1, 2, room="hall")  # waits for the end of this turn
        guest.join("/hall")
        assert [args[1] for _, args in guest.events()] == [1, 2]


async def test_what_is_published_while_its_join_waits_comes_after_what_was_missed() -> None:
    async with running() as bench:
        desk = Desk(bench)
        guest = joined(bench)
        guest.cut()
        await publish(bench, 1)
        desk.hold("join")
        guest.connect()
        guest.join()
        await publish(bench, 2)
        await guest.member().send("n", 3)
        await publish(bench, 4)
        assert numbers(guest) == []
        await desk.open("join")
        heard = guest.hear()
        assert kinds(heard) == ["40", "42", "42", "42", "42"]
        assert [told(one)[3][1] for one in heard[1:]] == [1, 2, 3, 4]  # type: ignore[index,arg-type]


async def test_bytes_that_were_missed_come_with_their_event() -> None:
    async with running() as bench:
        bench.channel("desk")
        guest = joined(bench)
        guest.cut()
        await bench.node.room("desk").publish("file", b"\x00\x01", {"and": b"\x02"})
        guest.connect()
        guest.join()
        text, *attachments = guest.hear()[2:]
        assert isinstance(text, str) and text.startswith(
            '452-["file",{"_placeholder":true,"num":0}'
        )
        assert attachments == [b"\x00\x01", b"\x02"]


async def test_its_name_is_said_again_and_what_its_join_says_too() -> None:
    async with running() as bench:

        @bench.channel("desk").join
        async def join(member: Member) -> dict[str, int]:
            return {"times": member.state.setdefault("times", 0)}

        guest = joined(bench)
        member = guest.member()
        member.state["times"] = 2
        guest.come_back()
        _, answer = guest.hear()
        assert isinstance(answer, str) and f'"sid":"{member.id}"' in answer
        assert answer.endswith('"data":{"times":2}}')


async def test_several_namespaces_of_a_connection_come_back_one_by_one() -> None:
    async with running() as bench:
        for pattern in ("desk", "hall", "yard"):
            bench.channel(pattern)
        guest = joined(bench, "/", "/hall", "/yard")
        old = guest.session
        guest.cut()
        for number, room in enumerate(("desk", "hall", "yard", "desk", "hall")):
            await publish(bench, number, room=room)
        guest.connect()
        guest.join("/hall")
        assert [args[1] for _, args in guest.events()] == [1, 4]
        assert not old.has_ended
        guest.join("/")
        assert [args[1] for _, args in guest.events()] == [0, 3]
        assert set(old.members) == {"/yard"}
        guest.join("/yard")
        assert [args[1] for _, args in guest.events()] == [2]
        assert old.has_ended
        assert old.id not in bench.node.sessions
        assert not bench.node.detached
        assert all(guest.recovered.values())


async def test_one_namespace_may_come_back_and_another_be_joined_anew() -> None:
    async with running() as bench:
        bench.channel("desk")
        bench.channel("hall")
        guest = joined(bench, "/", "/hall")
        del guest.pids["/hall"]
        guest.come_back("/hall", "/")
        guest.hear()
        assert guest.recovered == {"/": True, "/hall": False}
        await publish(bench, 1, room="hall")
        assert [args[1] for _, args in guest.events()] == [1]


async def test_an_old_connection_that_still_stands_is_hung_up_after_its_last_membership() -> None:
    async with running() as bench:
        desk = Desk(bench)
        guest = joined(bench)
        old, transport = guest.session, guest.transport
        await publish(bench, 1)
        guest.connect()  # the server has not heard yet that the other one is dead
        guest.join()
        assert numbers(guest) == [1]
        assert transport.closed == (4409, "replaced by a newer connection")
        assert old.has_ended
        assert desk.log == ["join", "leave 4409", "join"]
        old.detached(transport, 1006, "", is_clean=False)
        assert desk.log == ["join", "leave 4409", "join"]


async def test_an_old_connection_with_another_membership_stays() -> None:
    async with running() as bench:
        bench.channel("desk")
        bench.channel("hall")
        guest = joined(bench, "/", "/hall")
        old, transport = guest.session, guest.transport
        guest.connect()
        guest.join()
        await publish(bench, 1)
        await publish(bench, 2, room="hall")
        assert numbers(guest) == [1]
        assert transport.closed is None and set(old.members) == {"/hall"}
        assert any(b'"n",2' in payload.data for payload in transport.payloads)


# --- marks ----------------------------------------------------------------------------------------


async def test_a_broadcast_has_one_mark_for_all_who_hear_it() -> None:
    async with running() as bench:
        bench.channel("desk")
        wire = io(bench)
        guests = [Guest(bench, wire) for _ in range(3)]
        for guest in guests:
            guest.join()
            guest.hear()
        await publish(bench, 1, 2)
        heard = [guest.hear() for guest in guests]
        assert heard[0] == ['42["n",1,"~1"]', '42["n",2,"~2"]']
        assert heard == [heard[0]] * 3
        last = [guest.transport.payloads[-1] for guest in guests]
        assert last[0] is last[1] is last[2], "it is written once"
        for guest in guests:
            await guest.member().send("n", 3)
        assert len({str(guest.hear()) for guest in guests}) == 3


async def test_volatile_and_acknowledged_events_have_none_and_are_not_said_again() -> None:
    async with running() as bench:
        bench.channel("desk")
        guest = joined(bench)
        room = bench.node.room("desk")
        await room.publish("v", 1, volatile=True)
        asking = asyncio.create_task(room.call("q", timeout=0.0))
        await turns()
        await asking
        await guest.member().send("v", 2, volatile=True)
        bench.flush()
        heard = [payload.data for payload in guest.transport.payloads[2:]]
        assert len(heard) == 3 and not any(b"~" in data for data in heard)
        guest.come_back(seen=0)
        assert guest.events() == []
        assert guest.recovered["/"]


# --- what is not said again -----------------------------------------------------------------------


async def test_what_a_pong_has_acknowledged_is_not_kept() -> None:
    async with running() as bench:
        bench.channel("desk")
        guest = joined(bench)
        await publish(bench, 1, 2)
        guest.hear()
        bench.clock.move(25.0)
        await publish(bench, 3)
        assert guest.hear()[0] == PING
        assert len(guest.session.outbox.tail()) == 3
        guest.say(PONG)
        assert len(guest.session.outbox.tail()) == 1  # 3 came after the ping
        guest.come_back()
        assert numbers(guest) == []
        assert guest.recovered["/"]


async def test_a_pong_that_nobody_asked_for_acknowledges_nothing() -> None:
    async with running() as bench:
        bench.channel("desk")
        guest = joined(bench)
        await publish(bench, 1, 2)
        bench.flush()
        guest.say(PONG)
        assert len(guest.session.outbox.tail()) == 2
        guest.come_back(seen=0)
        assert numbers(guest) == [1, 2]


async def test_a_pong_says_nothing_of_what_came_after_the_ping() -> None:
    async with running() as bench:
        bench.channel("desk")
        guest = joined(bench)
        await publish(bench, 1)
        bench.clock.move(25.0)
        await publish(bench, 2, 3)
        bench.flush()
        guest.hear(2)  # 1 and the ping
        guest.say(PONG)
        guest.come_back(seen=0)
        assert numbers(guest) == [2, 3]


async def test_what_was_dropped_before_the_ping_acknowledges_nothing_behind_it() -> None:
    async with running(limits=Limits(outbox=600)) as bench:
        bench.channel("desk", policy=Policy.DROP_OLDEST)
        guest = joined(bench)
        room, transport = bench.node.room("desk"), guest.transport
        transport.is_stuck = True
        await publish(bench, 0)
        bench.flush()
        for number in range(1, 4):
            await room.publish("n", number, "x" * 100)
        bench.node.settle()
        bench.clock.move(25.0)
        for number in range(4, 9):
            await room.publish("n", number, "x" * 100)  # instead of those that waited
        bench.node.settle()
        transport.is_stuck, transport.buffered = False, 0
        guest.session.writable()
        bench.flush()
        assert [said[1] for said in guest.said(count=2)] == [0]
        guest.say(PONG)
        guest.come_back(seen=0)
        assert numbers(guest) == [4, 5, 6, 7, 8]
        assert guest.recovered["/"]


async def test_who_was_away_is_not_slow_however_much_it_missed() -> None:
    async with running(limits=Limits(outbox=1000)) as bench:
        bench.channel("desk")
        guest = joined(bench)
        for number in range(8):
            await bench.node.room("desk").publish("n", number, "x" * 100)
        bench.flush()
        guest.cut()
        for number in range(8, 15):
            await bench.node.room("desk").publish("n", number, "x" * 100)
        guest.connect()
        guest.transport.is_stuck = True
        guest.join()
        bench.flush()
        await publish(bench, 15)
        bench.flush()
        guest.transport.is_stuck, guest.transport.buffered = False, 0
        guest.session.writable()
        assert numbers(guest) == list(range(16))
        assert guest.transport.closed is None


async def test_what_the_outbox_has_forgotten_makes_the_join_a_fresh_one() -> None:
    async with running(limits=Limits(kept_messages=2)) as bench:
        desk = Desk(bench)
        guest = joined(bench)
        member = guest.member()
        await publish(bench, 1, 2, 3, 4)
        guest.come_back(seen=1)  # 2 is not kept any more
        heard = guest.hear()
        assert kinds(heard) == ["0{", "40"]
        assert not guest.recovered["/"]
        assert guest.member() is not member
        assert member.session.members == {"/": member}  # until its time is up
        assert desk.log == ["join", "leave 1006", "join"]


async def test_where_nothing_is_kept_every_join_is_a_fresh_one() -> None:
    for limits in (Limits(kept_messages=0), Limits(kept_bytes=0)):
        async with running(limits=limits) as bench:
            bench.channel("desk")
            guest = joined(bench)
            await publish(bench, 1, 2)
            guest.come_back(seen=1)
            assert numbers(guest) == []
            assert not guest.recovered["/"]


async def test_what_is_kept_is_enough_for_who_heard_the_rest() -> None:
    async with running(limits=Limits(kept_messages=2)) as bench:
        bench.channel("desk")
        guest = joined(bench)
        await publish(bench, 1, 2, 3, 4)
        guest.come_back(seen=3)
        assert numbers(guest) == [4]
        assert guest.recovered["/"]


async def test_a_client_whose_offset_is_no_mark_begins_anew() -> None:
    async with running() as bench:
        bench.channel("desk")
        guest = joined(bench)
        await publish(bench, 1)
        await bench.node.room("desk").publish("typing", "ana", volatile=True)
        guest.come_back()
        assert guest.offsets["/"] == "ana"  # its library takes any text behind an event for one
        assert guest.events() == []
        assert not guest.recovered["/"]


async def test_questions_are_not_asked_again_by_who_has_given_up() -> None:
    async with running() as bench:
        bench.channel("desk")
        guest = joined(bench)
        member = guest.member()
        guest.cut()
        first = asyncio.create_task(member.call("first", b"\x00"))
        everybody = asyncio.create_task(bench.node.room("desk").call("all"))
        await turns()
        guest.connect()
        guest.join()
        with pytest.raises(CallFailed, match="lost"):
            await first
        assert (await everybody).missing == []  # it was away
        second = asyncio.create_task(member.call("second"))
        await turns()
        assert [args for _, args in guest.events()] == [["second"]]
        guest.say('431["yes"]')
        assert await second == "yes"


async def test_an_answer_that_comes_after_the_loss_is_said_in_the_new_session() -> None:
    async with running() as bench:
        desk = Desk(bench)
        guest = joined(bench)
        desk.hold("say")
        guest.emit("say", "hi", id=5)
        guest.cut()
        guest.connect()
        guest.join()
        await desk.open("say")
        assert desk.log == ["join", "say hi", "say hi, done", "leave 1006", "join"]
        assert "435" + '["hi"]' in guest.hear()
        assert not guest.session.streams
        guest.emit("say", "again", id=6)
        assert '436["again"]' in guest.hear()


async def test_streams_end_with_the_session_that_began_them() -> None:
    async with running() as bench:
        ended = []
        channel = bench.channel("desk")

        @channel.on("count")
        async def count() -> Any:
            try:
                for number in range(100):
                    yield number
                    await asyncio.get_running_loop().create_future()
            finally:
                ended.append("count")

        guest = joined(bench)
        guest.emit("count")
        guest.come_back()
        await turns()
        assert ended == ["count"]
        assert not guest.session.streams
        await publish(bench, 1)
        assert numbers(guest) == [1]


# --- who may --------------------------------------------------------------------------------------


async def test_another_identity_does_not_go_on_with_it() -> None:
    async def authenticate(hello: Hello) -> User | None:
        name = (hello.credentials or {}).get("name")
        return User(name) if name else None

    async with running(authenticate=authenticate) as bench:
        bench.channel("desk")
        for first, then, is_same in [
            ("ana", "ana", True),
            ("ana", "bo", False),
            ("ana", "", False),
            ("", "ana", False),
            ("", "", True),
        ]:
            guest = Guest(bench, io(bench))
            guest.join(name=first)
            guest.hear()
            member = guest.member()
            guest.cut()
            guest.connect()
            guest.join(name=then)
            guest.hear()
            assert guest.recovered["/"] is is_same, (first, then)
            assert (guest.member() is member) is is_same
            assert member.session.members["/"] is member


async def test_another_wire_does_not_go_on_with_it() -> None:
    async with running() as bench:
        bench.channel("desk")
        guest = joined(bench)
        guest.wire = io(bench)
        guest.come_back()
        guest.hear()
        assert not guest.recovered["/"]


async def test_another_namespace_does_not_go_on_with_it() -> None:
    async with running() as bench:
        bench.channel("desk")
        bench.channel("hall")
        guest = joined(bench)
        guest.cut()
        guest.connect()
        guest.pids["/hall"] = guest.pids["/"]
        guest.join("/hall")
        guest.hear()
        assert not guest.recovered["/hall"]
        guest.join()
        guest.hear()
        assert guest.recovered["/"]


@pytest.mark.parametrize("wrong", ["{id}~", "{id}~x", "{id}", "~{token}", "x~{token}", "~", "é~ü"])
async def test_a_wrong_secret_opens_a_new_membership_and_hurts_nobody(wrong: str) -> None:
    async with running() as bench:
        bench.channel("desk")
        guest = joined(bench)
        right = guest.pids["/"]
        id, _, token = right.partition("~")
        guest.cut()
        thief = Guest(bench, guest.wire)
        thief.pids["/"] = wrong.format(id=id, token=token)
        thief.join()
        thief.hear()
        assert not thief.recovered["/"]
        guest.connect()
        guest.join()
        guest.hear()
        assert guest.recovered["/"]


async def test_a_secret_that_is_no_text_is_a_wrong_one() -> None:
    async with running() as bench:
        bench.channel("desk")
        guest, thief = joined(bench), Guest(bench, io(bench))
        for token in (f"{guest.member().id}~\ud800", "\ud800~\ud800"):
            assert adopted(bench.node, thief.session, Join(None, "desk", "/", token=token)) is None


async def test_the_secret_of_a_membership_is_not_its_name() -> None:
    async with running() as bench:
        bench.channel("desk")
        guest, other = joined(bench), joined(bench)
        assert guest.pids["/"].startswith(f"{guest.member().id}~")
        assert guest.pids["/"].partition("~")[2] not in repr(guest.member())
        assert guest.pids["/"].partition("~")[2] != other.pids["/"].partition("~")[2]


async def test_a_client_that_shows_the_secret_on_the_same_connection_joins_as_ever() -> None:
    async with running() as bench:
        desk = Desk(bench)
        guest = joined(bench)
        guest.say("41")
        guest.join()
        guest.hear()
        assert not guest.recovered["/"]
        assert desk.log == ["join", "leave left", "join"]


async def test_a_membership_that_stands_already_is_not_replaced_by_an_older_one() -> None:
    async with running() as bench:
        bench.channel("desk")
        guest = joined(bench)
        first = guest.member()
        guest.cut()
        guest.connect()
        guest.say("40")
        second = guest.member()
        machine = guest.session.machine
        machine._forget("/")  # type: ignore[attr-defined]  # as if it had been put out
        guest.join()
        assert second.has_left and not first.has_left
        assert guest.member() not in (first, second)


async def test_nobody_goes_on_where_a_leave_is_under_way() -> None:
    async with running() as bench:
        desk = Desk(bench)
        guest = joined(bench)
        guest.cut()
        guest.connect()
        guest.say("40")
        desk.hold("leave")
        guest.say("41")
        guest.join()
        assert desk.log == ["join", "leave 1006", "join", "leave left"]
        await desk.open("leave")
        assert desk.log[4:] == ["leave left, done", "join"]
        guest.hear()
        assert not guest.recovered["/"]


async def test_where_recovery_is_off_there_is_no_secret() -> None:
    async with running() as bench:
        bench.channel("desk")
        guest = joined(bench, recovery=False)
        assert guest.pids["/"] == ""
        assert bench.node.adoptable == {}
        guest.cut()
        assert not bench.node.sessions
    async with running(limits=Limits(resume=0)) as bench:
        bench.channel("desk")
        guest = joined(bench)
        assert guest.pids["/"] == ""
        guest.cut()
        assert not bench.node.sessions


# --- joins and leaves -----------------------------------------------------------------------------


async def test_it_leaves_when_its_client_is_lost_and_joins_when_it_is_back() -> None:
    async with running() as bench:
        desk = Desk(bench)
        guest = joined(bench)
        guest.cut()
        assert desk.log == ["join", "leave 1006"]
        guest.connect()
        guest.join()
        guest.hear()
        assert desk.log == ["join", "leave 1006", "join"]
        guest.cut()
        assert desk.log == ["join", "leave 1006", "join", "leave 1006"]


async def test_why_it_left_is_told_and_kept() -> None:
    async with running() as bench:
        whys: list[Left | None] = []

        @bench.channel("desk").leave
        async def leave(member: Member, why: Left) -> None:
            whys.extend((why, member.left))

        guest = joined(bench)
        guest.session.detached(guest.transport, 1000, "bye", is_clean=True)
        one, two = whys
        assert one is not None and one is two
        assert (one.code, one.text, one.clean) == (1000, "bye", True)
        assert not guest.session.has_ended


async def test_joins_and_leaves_take_turns() -> None:
    async with running() as bench:
        desk = Desk(bench)
        guest = joined(bench)
        desk.hold("leave")
        guest.cut()
        guest.connect()
        guest.join()
        await publish(bench, 1)
        assert numbers(guest) == []
        assert desk.log == ["join", "leave 1006"]
        desk.hold("join")
        await desk.open("leave")
        assert desk.log == ["join", "leave 1006", "leave 1006, done", "join"]
        assert numbers(guest) == []
        await desk.open("join")
        assert numbers(guest) == [1]


async def test_what_it_says_waits_for_the_answer_to_its_join() -> None:
    async with running() as bench:
        desk = Desk(bench)
        guest = joined(bench)
        guest.cut()
        guest.connect()
        desk.hold("join")
        guest.join()
        guest.emit("say", "hi", id=1)
        guest.emit("say", "ho")
        assert desk.log == ["join", "leave 1006", "join"]
        await desk.open("join")
        assert desk.log[3:] == ["join, done", "say hi", "say ho"]
        assert kinds(guest.hear()) == ["0{", "40", "43"]


async def test_its_join_may_be_refused_now() -> None:
    async with running() as bench:
        desk = Desk(bench)
        guest = joined(bench)
        member = guest.member()
        old = guest.session
        guest.cut()
        await publish(bench, 1)
        desk.refusal = Refused("banned", "you are banned", data={"until": 5})
        guest.connect()
        guest.join()
        refusal = '44{"message":"you are banned","data":{"until":5}}'
        assert guest.hear()[1:] == [refusal]
        assert desk.log == ["join", "leave 1006", "join"]  # who was refused does not leave
        assert member.has_left and old.has_ended
        await turns()
        assert bench.node.adoptable == {} and bench.node.rooms == {}
        desk.refusal = None
        guest.join()
        guest.hear()
        assert not guest.recovered["/"]


async def test_what_it_says_before_it_is_refused_is_not_heard() -> None:
    async with running() as bench:
        desk = Desk(bench)
        guest = joined(bench)
        guest.cut()
        desk.hold("join")
        desk.refusal = Refused("banned")
        guest.connect()
        guest.join()
        guest.emit("say", "hi", id=1)
        await desk.open("join")
        assert desk.log == ["join", "leave 1006", "join", "join, done"]
        _, reply, refusal = guest.hear()
        assert isinstance(reply, str) and reply.startswith('431[{"error":{"code":"unknown_address"')
        assert refusal == '44{"message":"banned","data":{"code":"banned"}}'


async def test_a_bug_in_its_join_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as bench:
        channel = bench.channel("desk")
        errors = [None, RuntimeError("secret")]

        @channel.join
        async def join() -> None:
            error = errors.pop(0)
            if error is not None:
                raise error

        guest = joined(bench)
        guest.come_back()
        refusal = guest.hear()[-1]
        assert isinstance(refusal, str) and refusal.startswith('44{"message":"the server failed')
        assert "secret" not in refusal and "secret" in caplog.text


async def test_who_leaves_again_before_its_join_is_over_does_not_leave_twice() -> None:
    async with running() as bench:
        desk = Desk(bench)
        guest = joined(bench)
        member = guest.member()
        guest.cut()
        desk.hold("join")
        guest.connect()
        guest.join()
        guest.say("41")
        await desk.open("join")
        assert desk.log == ["join", "leave 1006", "join", "join, done"]
        assert member.has_left
        assert kinds(guest.hear()) == ["0{"]
        await turns()
        assert bench.node.adoptable == {} and bench.node.rooms == {}


async def test_who_leaves_again_before_its_join_begins_does_not_join() -> None:
    async with running() as bench:
        desk = Desk(bench)
        guest = joined(bench)
        desk.hold("leave")
        guest.cut()
        guest.connect()
        guest.join()
        guest.say("41")
        await desk.open("leave")
        assert desk.log == ["join", "leave 1006", "leave 1006, done"]
        assert kinds(guest.hear()) == ["0{"]
        await turns()
        assert bench.node.rooms == {}


async def test_a_membership_that_is_joined_anew_meanwhile_is_answered_once() -> None:
    async with running() as bench:
        desk = Desk(bench)
        guest = joined(bench)
        guest.cut()
        desk.hold("join")
        guest.connect()
        guest.join()
        guest.say("41", "40")
        assert desk.log == ["join", "leave 1006", "join"]
        await desk.open("join")
        assert desk.log[3:] == ["join, done", "join"]
        assert kinds(guest.hear()) == ["0{", "40"]
        await publish(bench, 1)
        assert numbers(guest) == [1]


async def test_a_membership_that_is_joined_anew_before_its_join_begins_is_answered_once() -> None:
    async with running() as bench:
        desk = Desk(bench)
        guest = joined(bench)
        desk.hold("leave")
        guest.cut()
        guest.connect()
        guest.join()
        guest.say("41", "40")
        await desk.open("leave")
        assert desk.log == ["join", "leave 1006", "leave 1006, done", "join"]
        assert kinds(guest.hear()) == ["0{", "40"]
        assert not guest.recovered["/"]
        await publish(bench, 1)
        assert numbers(guest) == [1]


async def test_a_client_that_is_lost_again_before_its_join_is_over_leaves_after_it() -> None:
    async with running() as bench:
        desk = Desk(bench)
        guest = joined(bench)
        guest.cut()
        await publish(bench, 1)
        desk.hold("join")
        guest.connect()
        guest.join()
        guest.cut()
        assert desk.log == ["join", "leave 1006", "join"]
        await publish(bench, 2)
        await desk.open("join")
        assert desk.log[3:] == ["join, done", "leave 1006"]
        guest.connect()
        guest.join()
        assert numbers(guest) == [1, 2]
        assert guest.recovered["/"]
        assert desk.log[5:] == ["join"]


async def test_a_client_that_is_lost_again_before_its_join_begins_leaves_after_it() -> None:
    async with running() as bench:
        desk = Desk(bench)
        guest = joined(bench)
        desk.hold("leave")
        guest.cut()
        guest.connect()
        guest.join()
        guest.cut()
        await desk.open("leave")
        assert desk.log == ["join", "leave 1006", "leave 1006, done", "join", "leave 1006"]
        assert await bench.node.room("desk").count() == 0


async def test_a_client_that_comes_back_while_its_join_still_runs_begins_anew() -> None:
    async with running() as bench:
        desk = Desk(bench)
        guest = joined(bench)
        first = guest.member()
        guest.cut()
        desk.hold("join")
        guest.connect()
        guest.join()
        guest.cut()
        guest.connect()
        guest.join()
        await desk.open("join")
        guest.hear()
        assert not guest.recovered["/"]
        assert guest.member() is not first
        assert not first.has_left and first.is_away


async def test_events_that_wait_are_handled_before_the_leave() -> None:
    async with running() as bench:
        desk = Desk(bench)
        guest = joined(bench)
        desk.hold("say")
        guest.emit("say", "one")
        guest.emit("say", "two")
        guest.cut()
        assert guest.session.members["/"].is_away
        guest.connect()
        guest.join()
        assert desk.log == ["join", "say one"]
        await desk.open("say")
        assert desk.log[2:] == ["say one, done", "say two", "leave 1006", "join"]


async def test_a_leave_that_closes_the_session_leaves_nothing_waiting() -> None:
    async with running() as bench:
        channel = bench.channel("desk")

        @channel.leave
        async def leave(member: Member) -> None:
            await member.close()

        guest = joined(bench)
        guest.cut()
        assert guest.session.has_ended
        assert not bench.node.detached and not bench.node.sessions
        bench.clock.move(1000.0)


async def test_a_bug_in_its_leave_is_in_the_log_and_it_may_come_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as bench:
        channel = bench.channel("desk")

        @channel.leave
        async def leave() -> None:
            raise RuntimeError("a bug")

        guest = joined(bench)
        guest.come_back()
        guest.hear()
        assert 'leave of "desk" failed' in caplog.text
        assert guest.recovered["/"]


async def test_a_membership_that_cannot_be_told_one_thing_stands_without_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as bench:
        channel = bench.channel("desk")
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        @channel.join
        async def join(member: Member) -> None:
            await member.enter("corner")
            await gate

        guest = Guest(bench, io(bench))
        guest.join()
        bench.node.deliver(Record(room="desk/corner", event="presence", body=Body.of("junk")))
        gate.set_result(None)
        await turns()
        assert kinds(guest.hear()) == ["0{", "40"]
        assert "not a presence record" in caplog.text
        assert list(bench.node.adoptable.values()) == [guest.member()]


# --- presence -------------------------------------------------------------------------------------


async def test_who_is_lost_is_not_present_and_who_is_back_is() -> None:
    async with running() as bench:
        channel = bench.channel("desk", presence=True)

        @channel.join
        async def join(member: Member) -> None:
            await member.track(on="phone")

        guest, other = Guest(bench, io(bench), "ana"), Guest(bench, io(bench), "bo")
        guest.join()
        other.join()
        guest.hear(), other.hear()
        guest.cut()
        await turns()
        [(_, gone)] = other.events()
        assert gone[1]["left"] == {"ana": [{"on": "phone"}]}
        await publish(bench, 1)
        guest.connect()
        guest.join()
        await turns()
        heard = [args for _, args in guest.events()]
        assert [args[0] for args in heard] == ["presence", "n", "presence"]
        assert heard[2][1]["whole"] and set(heard[2][1]["joined"]) == {"ana", "bo"}
        [_, (_, back)] = other.events()
        assert back[1]["joined"] == {"ana": [{"on": "phone"}]}
        assert set(await bench.node.presence.list("desk")) == {"ana", "bo"}


async def test_who_leaves_while_the_list_is_read_does_not_go_on() -> None:
    class Slow(MemoryBroker):
        gate: asyncio.Future[None] | None = None

        async def list(self, room: str) -> Mapping[str, Sequence[bytes]]:
            if self.gate is not None:
                await self.gate
            return await super().list(room)

    broker = Slow()
    async with running(broker=broker) as bench:
        bench.channel("desk", presence=True)
        guest = joined(bench)
        broker.gate = asyncio.get_running_loop().create_future()
        guest.cut()
        guest.connect()
        guest.join()
        guest.say("41")
        broker.gate.set_result(None)
        await turns()
        assert kinds(guest.hear()) == ["0{"]
        assert bench.node.rooms == {}


# --- the end --------------------------------------------------------------------------------------


async def test_a_session_that_nobody_comes_back_for_ends_and_its_members_have_left_once() -> None:
    async with running(limits=Limits(resume=60.0)) as bench:
        desk = Desk(bench)
        guest = joined(bench)
        guest.cut()
        bench.clock.move(59.0)
        assert not guest.session.has_ended
        bench.clock.move(1.0)
        await turns()
        assert guest.session.has_ended
        assert desk.log == ["join", "leave 1006"]
        assert bench.node.adoptable == {} and bench.node.rooms == {} and not bench.node.sessions
        guest.connect()
        guest.join()
        guest.hear()
        assert not guest.recovered["/"]


async def test_a_session_that_ends_while_a_leave_runs_does_not_run_it_again() -> None:
    async with running(limits=Limits(resume=60.0)) as bench:
        desk = Desk(bench)
        guest = joined(bench)
        desk.hold("leave")
        guest.cut()
        bench.clock.move(60.0)
        assert desk.log == ["join", "leave 1006"]
        await desk.open("leave")
        assert desk.log == ["join", "leave 1006", "leave 1006, done"]
        await turns()
        assert bench.node.rooms == {}


async def test_a_session_without_a_membership_does_not_wait() -> None:
    async with running() as bench:
        Desk(bench)
        guest = joined(bench)
        guest.say("41")
        guest.cut()
        assert guest.session.has_ended
        assert not bench.node.detached


async def test_a_client_that_says_goodbye_may_come_back_all_the_same() -> None:
    async with running() as bench:
        desk = Desk(bench)
        guest = joined(bench)
        await publish(bench, 1)
        bench.flush()
        guest.say("1")
        assert guest.transport.closed == (1000, "")
        assert desk.log == ["join", "leave 1000"]
        assert list(bench.node.detached) == [guest.session]
        guest.connect()
        guest.join()
        assert numbers(guest) == [1]
        assert guest.recovered["/"]


async def test_a_client_that_says_goodbye_without_a_membership_is_gone() -> None:
    async with running() as bench:
        bench.channel("desk")
        for guest in (Guest(bench, io(bench)), joined(bench)):
            if guest.session.members:
                guest.say("41")
            guest.say("1")
            assert guest.session.has_ended
            assert guest.transport.closed == (1000, "")


async def test_a_client_that_is_put_out_while_it_is_away_does_not_come_back() -> None:
    async with running() as bench:
        desk = Desk(bench)
        guest = joined(bench)
        guest.cut()
        assert await bench.node.room("desk").kick() == 1
        guest.connect()
        guest.join()
        guest.hear()
        assert not guest.recovered["/"]
        assert desk.log == ["join", "leave 1006", "join"]


async def test_too_many_who_are_away_make_room_for_each_other() -> None:
    async with running(limits=Limits(detached=2)) as bench:
        bench.channel("desk")
        guests = [joined(bench) for _ in range(3)]
        for guest in guests:
            guest.cut()
        assert [guest.session.has_ended for guest in guests] == [True, False, False]
        for guest in guests:
            guest.connect()
            guest.join()
            guest.hear()
        assert [guest.recovered["/"] for guest in guests] == [False, True, True]


async def test_a_node_that_stops_keeps_nobody() -> None:
    bench = Bench()
    await bench.node.start()
    desk = Desk(bench)
    guest = joined(bench)
    guest.cut()
    await bench.node.stop()
    assert guest.session.has_ended
    assert desk.log == ["join", "leave 1006"]
    assert bench.node.adoptable == {}


async def test_somebody_too_slow_to_be_kept_begins_anew() -> None:
    async with running(limits=Limits(outbox=1000)) as bench:
        bench.channel("desk")
        guest = joined(bench)
        guest.cut()
        for number in range(20):
            await bench.node.room("desk").publish("n", number, "x" * 100)
            bench.flush()
        assert guest.session.has_ended
        guest.connect()
        guest.join()
        guest.hear()
        assert not guest.recovered["/"]


# --- a room that is behind ------------------------------------------------------------------------


async def test_a_member_that_waits_for_the_broker_in_a_room_goes_on_waiting() -> None:
    """What a replay was ahead of is not said twice, in the new session neither."""
    async with running() as bench:
        bench.channel("desk", history=10)
        guest = joined(bench)
        await publish(bench, 1)
        assert numbers(guest) == [1]
        member = guest.member()
        room = member.room
        assert room.delivered is not None
        ahead = type(room.delivered)(room.delivered.offset + 1, room.delivered.epoch)
        room.remove(member)
        room.parked[member] = None
        member.behind = {room.name: ahead}
        guest.come_back()
        guest.hear()
        assert guest.recovered["/"]
        await publish(bench, 2)  # it had this by its replay
        await publish(bench, 3)
        assert numbers(guest) == [3]


# --- any order of things --------------------------------------------------------------------------


class Story:
    """Clients that come and go, and what was said to each of their memberships."""

    NAMESPACES = ("/", "/hall")
    ROOMS = ("desk", "hall")

    def __init__(self, bench: Bench, seed: int, clients: int) -> None:
        self.bench = bench
        self.chance = random.Random(seed)
        self.logs: dict[str, list[int]] = {}
        """By the id of a membership."""
        self.guests = [Listener(bench, io(bench), self.logs) for _ in range(clients)]
        self.count = 0

    async def begin(self) -> None:
        for guest in self.guests:
            for namespace in self.NAMESPACES:
                guest.join(namespace)
            await turns()
            guest.read()

    async def step(self, what: str) -> None:
        chance, guest = self.chance, self.chance.choice(self.guests)
        index = chance.randrange(2)
        namespace, room = self.NAMESPACES[index], self.bench.node.room(self.ROOMS[index])
        match what:
            case "publish":
                but = guest.session.members.get(namespace) if chance.random() < 0.2 else None
                for member in room.members():
                    if member is not but:
                        self.log(member, self.count)
                attachments = [bytes([self.count % 256])] if chance.random() < 0.2 else []
                await room.publish("n", self.count, *attachments, but=but)
                self.count += 1
            case "send":
                member = guest.known[namespace]
                if not member.has_left:
                    self.log(member, self.count)
                    await member.send("n", self.count)
                    self.count += 1
            case "volatile":
                await room.publish("v", chance.choice(["text", 7]), volatile=True)
            case "ask":
                asking = asyncio.ensure_future(room.call("q", "text", timeout=0.0))
                await turns(3)
                await asking
            case "read":
                guest.read(chance.randrange(8))
            case "ping":
                self.bench.clock.move(25.0)
                for other in self.guests:  # or they are given up
                    other.read()
                    other.answer()
            case "turn":
                await turns(2)
            case "cut":
                guest.read(chance.randrange(12))
                if chance.random() < 0.8:  # else the server has not heard of it yet
                    guest.cut()
                if chance.random() < 0.5:
                    await self.step(chance.choice(["publish", "send", "publish"]))
                guest.connect()
                namespaces = list(self.NAMESPACES)
                chance.shuffle(namespaces)
                for name in namespaces:
                    guest.join(name)
                    if chance.random() < 0.3:
                        await self.step(chance.choice(["publish", "send"]))
                guest.known.update(guest.session.members)

    def log(self, member: Member, number: int) -> None:
        self.logs.setdefault(member.id, []).append(number)

    def end(self) -> None:
        for guest in self.guests:
            guest.read()
            for namespace, heard in guest.heard.items():
                assert heard == self.logs.get(guest.sids[namespace], [])


class Listener(Guest):
    """It checks what it hears: all that was said to its membership since it began, in order."""

    def __init__(self, bench: Bench, wire: SocketIO, logs: Mapping[str, list[int]]) -> None:
        self.logs = logs
        self.heard: dict[str, list[int]] = {each: [] for each in Story.NAMESPACES}
        self.sids: dict[str, str] = {}
        self.known: dict[str, Member] = {}
        self.pings = 0
        self.came_back = 0
        super().__init__(bench, wire)

    def read(self, count: int | None = None) -> None:
        for message in self.hear(count):
            found = told(message) if isinstance(message, str) else None
            self.pings += message == PING
            if found is None:
                continue
            kind, namespace, _, said = found
            if kind == "0":
                is_same = self.sids.get(namespace) == said["sid"]
                assert self.recovered[namespace] is is_same
                self.came_back += is_same
                self.sids[namespace] = said["sid"]
                if not is_same:
                    self.heard[namespace] = []
            elif kind in "25" and said[0] == "n":
                heard = self.heard[namespace]
                heard.append(said[1])
                assert heard == self.logs[self.sids[namespace]][: len(heard)], namespace
        self.known.update(self.session.members)

    def answer(self) -> None:
        for _ in range(self.pings):
            self.say(PONG)
        self.pings = 0


STEPS = ["publish"] * 5 + ["send"] * 3 + ["read"] * 3 + ["cut"] * 3
RARE = ["volatile", "ask", "ping", "turn"]


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**32),
    steps=st.lists(st.sampled_from([*STEPS, *RARE]), min_size=5, max_size=60),
    kept=st.sampled_from([3, 1000]),
)
def test_whatever_happens_nothing_is_missed_said_twice_or_out_of_order(
    seed: int, steps: list[str], kept: int
) -> None:
    async def tell() -> None:
        async with running(limits=Limits(kept_messages=kept, joins=10_000)) as bench:
            bench.channel("desk")
            slow = bench.channel("hall")

            @slow.join
            async def join() -> None:
                await asyncio.sleep(0)

            @slow.leave
            async def leave() -> None:
                await asyncio.sleep(0)

            story = Story(bench, seed, clients=2)
            await story.begin()
            for what in steps:
                await story.step(what)
            await turns()
            story.end()

    asyncio.run(tell())
