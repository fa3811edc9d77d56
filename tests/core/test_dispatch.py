"""Tests of anywire.core.dispatch."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anywire.body import NO_BODY, Args
from anywire.core.channel import Channel, Left
from anywire.core.dispatch import Later
from anywire.core.member import Member
from anywire.errors import Refused
from anywire.frames import Auth, Item
from anywire.limits import Limits
from anywire.wires.base import Hello, Identity, User
from tests.core.guest import Guest, io
from tests.core.support import FULL, Bench, Peer, TestWire, running, turns


class Gate:
    """Handlers that wait until a test lets them go; what they did, in order."""

    def __init__(self, channel: Channel, *, parallel: int = 1, event: str = "wait") -> None:
        self.log: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}

        @channel.on(event, parallel=parallel)
        async def wait(name: str) -> str:
            self.log.append(f"+{name}")
            try:
                await self.gates.setdefault(name, asyncio.Event()).wait()
            except asyncio.CancelledError:
                self.log.append(f"!{name}")
                raise
            self.log.append(f"-{name}")
            return name

    async def open(self, name: str) -> None:
        self.gates.setdefault(name, asyncio.Event()).set()
        await turns()


def quick(channel: Channel, log: list[str], event: str = "quick") -> None:
    @channel.on(event)
    async def handler(name: str) -> str:
        log.append(name)
        return name


def joined(bench: Bench, address: str = "desk", wire: TestWire | None = None) -> Peer:
    peer = bench.connect(wire)
    peer.join(address)
    assert [one["t"] for one in peer.news()] == ["Joined"]
    return peer


def replies(peer: Peer) -> list[Any]:
    """(ref, data or code) of the replies among the news."""
    return [
        (one["ref"], one.get("code") or one.get("data"))
        for one in peer.news()
        if one["t"] == "Reply"
    ]


# --- order ----------------------------------------------------------------------------------------


async def test_a_handler_that_does_not_wait_answers_before_anything_else_runs() -> None:
    async with running() as bench:
        log: list[str] = []
        quick(bench.channel("desk"), log)
        peer = joined(bench)
        for number in range(3):
            peer.call("desk", "quick", str(number), ref=number)
        assert replies(peer) == [(0, "0"), (1, "1"), (2, "2")]
        assert not bench.node.dispatcher.stepper.tasks


async def test_events_of_one_member_are_handled_one_after_another() -> None:
    async with running() as bench:
        gate = Gate(channel := bench.channel("desk"))
        quick(channel, gate.log)
        peer = joined(bench)
        for name in "ab":
            peer.call("desk", "wait", name, ref=name)
        peer.call("desk", "quick", "c", ref="c")
        peer.call("desk", "wait", "d", ref="d")
        assert gate.log == ["+a"]
        await gate.open("b")
        assert gate.log == ["+a"]
        await gate.open("a")
        assert gate.log == ["+a", "-a", "+b", "-b", "c", "+d"]
        await gate.open("d")
        assert replies(peer) == [(name, name) for name in "abcd"]


async def test_two_members_do_not_wait_for_each_other() -> None:
    async with running() as bench:
        gate = Gate(bench.channel("desk"))
        one, two = joined(bench), joined(bench)
        one.call("desk", "wait", "a")
        two.call("desk", "wait", "b")
        assert gate.log == ["+a", "+b"]


async def test_a_long_queue_of_quick_handlers_is_no_deep_stack() -> None:
    async with running(limits=Limits(waiting_events=3000)) as bench:
        gate = Gate(channel := bench.channel("desk"))
        log: list[str] = []
        quick(channel, log)
        peer = joined(bench)
        peer.call("desk", "wait", "a")
        for number in range(3000):
            peer.push("desk", "quick", str(number))
        assert not log
        await gate.open("a")
        assert log == [str(number) for number in range(3000)]


async def test_events_that_come_before_the_join_is_answered_wait_for_it() -> None:
    async with running() as bench:
        channel = bench.channel("desk")
        log: list[str] = []
        quick(channel, log)
        gate = asyncio.Event()

        @channel.join
        async def join() -> None:
            await gate.wait()
            log.append("joined")

        peer = bench.connect()
        peer.join("desk")
        peer.call("desk", "quick", "a")
        assert not peer.news()
        gate.set()
        await turns()
        assert log == ["joined", "a"]
        assert [one["t"] for one in peer.news()] == ["Joined", "Reply"]


async def test_a_leave_takes_its_turn_after_the_events_that_wait() -> None:
    async with running() as bench:
        gate = Gate(channel := bench.channel("desk"))

        @channel.leave
        async def leave(why: Left) -> None:
            gate.log.append(f"left {why.code}")

        peer = joined(bench)
        peer.call("desk", "wait", "a")
        peer.call("desk", "wait", "b")
        peer.say("Leave", alias="desk", ref="l")
        assert [one["t"] for one in peer.news()] == ["Leave"]
        await gate.open("a")
        await gate.open("b")
        assert gate.log == ["+a", "-a", "+b", "-b", "left left"]


# --- parallel -------------------------------------------------------------------------------------


async def test_parallel_handlers_do_not_hold_those_behind_them() -> None:
    async with running() as bench:
        gate = Gate(channel := bench.channel("desk"), parallel=2)
        quick(channel, gate.log)
        peer = joined(bench)
        peer.call("desk", "wait", "a", ref="a")
        peer.call("desk", "wait", "b", ref="b")
        peer.call("desk", "quick", "c", ref="c")
        assert gate.log == ["+a", "+b", "c"]
        await gate.open("b")
        await gate.open("a")
        assert replies(peer) == [("c", "c"), ("b", "b"), ("a", "a")]


async def test_a_parallel_handler_starts_when_its_turn_comes() -> None:
    async with running() as bench:
        channel = bench.channel("desk")
        first, gate = Gate(channel, event="first"), Gate(channel, parallel=2)
        peer = joined(bench)
        peer.call("desk", "first", "x", ref="x")
        peer.call("desk", "wait", "a", ref="a")
        peer.call("desk", "wait", "b", ref="b")
        assert gate.log == []
        await first.open("x")
        assert gate.log == ["+a", "+b"]


async def test_at_most_n_of_a_parallel_handler_run_and_the_next_one_keeps_its_place() -> None:
    async with running() as bench:
        gate = Gate(channel := bench.channel("desk"), parallel=2)
        quick(channel, gate.log)
        peer = joined(bench)
        for name in "abcd":
            peer.call("desk", "wait", name, ref=name)
        peer.call("desk", "quick", "e", ref="e")
        assert gate.log == ["+a", "+b"]
        await gate.open("a")
        assert gate.log == ["+a", "+b", "-a", "+c"]
        await gate.open("b")
        assert gate.log == ["+a", "+b", "-a", "+c", "-b", "+d", "e"]


async def test_parallel_holds_for_what_no_other_handler_takes_too() -> None:
    async with running() as bench:
        channel = bench.channel("desk", parallel=2)
        other = Gate(channel, event="other", parallel=2)
        gates = {name: asyncio.Event() for name in "abc"}
        log: list[str] = []

        @channel.any
        async def rest(event: str) -> None:
            log.append(f"+{event}")
            await gates[event].wait()
            log.append(f"-{event}")

        peer = joined(bench)
        peer.call("desk", "other", "x")
        for name in "abc":
            peer.push("desk", name)
        assert log == ["+a", "+b"]
        await other.open("x")  # another one's end does not make place here
        assert log == ["+a", "+b"]
        gates["a"].set()
        await turns()
        assert log == ["+a", "+b", "-a", "+c"]


async def test_each_parallel_handler_counts_for_itself() -> None:
    async with running() as bench:
        channel = bench.channel("desk", parallel=2)
        one, two = Gate(channel, event="one", parallel=2), Gate(channel, event="two", parallel=2)
        peer = joined(bench)
        for name in "ab":
            peer.push("desk", "one", name)
            peer.push("desk", "two", name)
        assert (one.log, two.log) == (["+a", "+b"], ["+a", "+b"])


async def test_the_leave_comes_after_parallel_handlers_too() -> None:
    async with running() as bench:
        gate = Gate(channel := bench.channel("desk"), parallel=4)

        @channel.leave
        async def leave() -> None:
            gate.log.append("left")

        peer = joined(bench)
        peer.push("desk", "wait", "a")
        peer.push("desk", "wait", "b")
        peer.say("Leave", alias="desk")
        await gate.open("a")
        assert gate.log == ["+a", "+b", "-a"]
        await gate.open("b")
        assert gate.log == ["+a", "+b", "-a", "-b", "left"]


@pytest.mark.slow
@settings(max_examples=150)
@given(
    st.lists(st.sampled_from(["one", "two", "many", "stream", "let go"]), max_size=50), st.data()
)
async def test_whatever_comes_starts_in_order_and_overlaps_only_as_it_may(
    steps: list[str], data: st.DataObject
) -> None:
    async with running() as bench:
        channel = bench.channel("desk")
        running_now: dict[str, str] = {}
        started: list[str] = []
        gates: dict[str, asyncio.Event] = {}

        async def run(kind: str, name: str) -> None:
            """Handlers of these kinds may run beside it: all but the ordered, and two of `many`."""
            assert "one" not in running_now.values()
            assert "two" not in running_now.values()
            assert list(running_now.values()).count("many") < 2 or kind != "many"
            started.append(name)
            running_now[name] = kind
            await gates[name].wait()
            del running_now[name]

        @channel.on("one")
        async def one(name: str) -> None:
            await run("one", name)

        @channel.on("two")
        async def two(name: str) -> None:
            await run("two", name)

        @channel.on("many", parallel=2)
        async def many(name: str) -> None:
            await run("many", name)

        @channel.on("stream")
        async def stream(name: str) -> AsyncIterator[str]:
            started.append(name)
            yield name
            await gates[name].wait()

        @channel.leave
        async def leave() -> None:
            started.append("left")

        peer = joined(bench)
        names: list[str] = []
        for step in steps:
            if step == "let go":
                held = sorted(running_now)
                if held:
                    gates[data.draw(st.sampled_from(held))].set()
                    await turns(3)
            else:
                names.append(f"{step}{len(names)}")
                gates[names[-1]] = asyncio.Event()
                peer.push("desk", step, names[-1])
            assert started == names[: len(started)]
        peer.say("Leave", alias="desk")
        for _ in names:
            for name in list(running_now):
                gates[name].set()
            await turns(3)
        assert started == [*names, "left"]
        await turns()
        assert not bench.node.dispatcher.stepper.tasks
        assert not peer.session.streams


# --- bounds ---------------------------------------------------------------------------------------


async def test_more_events_than_may_wait_are_busy_and_too_many_of_them_close() -> None:
    async with running(limits=Limits(calls=80)) as bench:
        gate = Gate(bench.channel("desk"))
        peer = joined(bench)
        peer.call("desk", "wait", "a", ref="a")
        for number in range(64):
            peer.call("desk", "wait", str(number), ref=number)
        assert replies(peer) == []
        for number in range(80):
            peer.call("desk", "wait", "late", ref=f"x{number}")
        assert replies(peer) == [(f"x{number}", "busy") for number in range(80)]
        assert peer.transport.closed is None
        peer.call("desk", "wait", "late", ref="last")
        assert peer.transport.closed == (4429, "too many events wait for their handlers")
        assert gate.log == ["+a"]


async def test_a_member_whose_events_move_on_may_overflow_again() -> None:
    async with running(limits=Limits(waiting_events=2, calls=2)) as bench:
        gate = Gate(bench.channel("desk"))
        peer = joined(bench)
        for name in "abc":
            peer.push("desk", "wait", name)
        for _ in range(2):
            peer.push("desk", "wait", "late")
        await gate.open("a")
        peer.push("desk", "wait", "d")
        for _ in range(2):
            peer.push("desk", "wait", "late")
        assert [one["code"] for one in peer.news()] == ["busy"] * 4
        assert peer.transport.closed is None


async def test_what_answers_the_server_never_waits_behind_events() -> None:
    async with running() as bench:
        channel = bench.channel("desk")
        quick(channel, [])

        @channel.on("ask")
        async def ask(member: Member) -> object:
            return await member.call("confirm", returns=bool)

        peer = joined(bench)
        peer.call("desk", "ask", ref="a")
        for number in range(64):
            peer.call("desk", "quick", "x", ref=number)
        [question] = peer.news()
        assert (question["event"], question["want"]) == ("confirm", "REPLY")
        peer.say("Reply", ref=question["ref"], alias="desk", data=True)
        await turns()
        heard = replies(peer)
        assert heard[0] == ("a", True)
        assert len(heard) == 65


# --- who may speak --------------------------------------------------------------------------------


async def test_an_unknown_event_is_told_the_known_ones() -> None:
    async with running() as bench:
        channel = bench.channel("desk")
        quick(channel, [])
        quick(channel, [], "again")
        peer = joined(bench)
        peer.call("desk", "nope" * 50, ref=1)
        peer.push("desk", "nope")
        reply, refusal = peer.news()
        assert reply["code"] == refusal["code"] == "unknown_event"
        assert reply["text"] == f'event "{"nope" * 20}" is unknown on "desk"; known: again, quick'
        assert (refusal["ref"], refusal["event"]) == (None, "nope")


async def test_an_event_for_an_address_that_is_not_joined_is_refused() -> None:
    async with running() as bench:
        peer = bench.connect()
        peer.call("desk", "quick", ref=1)
        [reply] = peer.news()
        assert (reply["code"], reply["text"]) == ("unknown_address", 'join "desk" first')


async def test_what_takes_all_events_takes_no_endless_names() -> None:
    async with running() as bench:
        log: list[str] = []

        @bench.channel("desk").any
        async def rest(event: str) -> None:
            log.append(event)

        peer = joined(bench)
        peer.push("desk", "x" * 255)
        peer.push("desk", "x" * 256)
        peer.push("desk", "\u20ac" * 86)
        assert [one["code"] for one in peer.news()] == ["invalid", "invalid"]
        assert log == ["x" * 255]


@pytest.mark.parametrize("is_async", [False, True])
async def test_guards_let_in_or_refuse(is_async: bool) -> None:
    async with running() as bench:
        channel = bench.channel("desk")
        verdicts: list[Any] = []

        def plain(member: Member) -> object:
            verdict = verdicts.pop(0)
            if isinstance(verdict, Exception):
                raise verdict
            return verdict

        async def waiting(member: Member) -> object:
            await asyncio.sleep(0)
            return plain(member)

        guard: Callable[[Member], object] = waiting if is_async else plain

        @channel.on("save", guards=[guard, guard])
        async def save(text: str) -> str:
            return text

        @channel.on("look", guards=[guard])
        def look() -> str:
            return "seen"

        peer = joined(bench)
        verdicts[:] = [None, True]
        peer.call("desk", "save", "a", ref=1)
        await turns()
        verdicts[:] = [True, False]
        peer.call("desk", "save", "b", ref=2)
        await turns()
        verdicts[:] = [Refused("staff_only")]
        peer.call("desk", "save", "c", ref=3)
        await turns()
        verdicts[:] = [True]
        peer.call("desk", "look", ref=4)
        await turns()
        expected = [(1, "a"), (2, "refused"), (3, "staff_only"), (4, "seen")]
        assert replies(peer) == expected


# --- cancel ---------------------------------------------------------------------------------------


async def test_a_call_that_its_client_cancels_stops_and_is_not_answered() -> None:
    async with running() as bench:
        gate = Gate(channel := bench.channel("desk"))
        quick(channel, gate.log)
        peer = joined(bench)
        peer.call("desk", "wait", "a", ref="a")
        peer.call("desk", "quick", "b", ref="b")
        peer.say("Cancel", ref="nothing")
        peer.say("Cancel", ref="a")
        await turns()
        assert gate.log == ["+a", "!a", "b"]
        assert replies(peer) == [("b", "b")]
        assert not peer.session.streams


async def test_what_its_client_cancels_before_its_turn_has_none() -> None:
    async with running() as bench:
        gate = Gate(channel := bench.channel("desk"))
        quick(channel, gate.log)

        @channel.on("sum")
        async def total(numbers: AsyncIterator[int]) -> int:
            raise AssertionError("it was cancelled")

        peer = joined(bench)
        peer.join("hall")
        peer.call("desk", "wait", "a", ref="a")
        peer.push("desk", "quick", "b")
        peer.call("desk", "sum", ref="c", streams=["u"])
        peer.call("desk", "quick", "d", ref="d")
        assert peer.session.inboxes
        peer.say("Cancel", ref="c")
        peer.say("Cancel", ref="c")
        assert not peer.session.inboxes
        await gate.open("a")
        assert gate.log == ["+a", "-a", "b", "d"]
        assert replies(peer) == [("a", "a"), ("d", "d")]


async def test_more_calls_at_once_than_may_run_are_busy() -> None:
    async with running(limits=Limits(calls=2)) as bench:
        log: list[str] = []
        channel = bench.channel("desk")
        gate = Gate(channel, parallel=9)
        quick(channel, log)
        peer = joined(bench)
        for name in "abc":
            peer.call("desk", "wait", name, ref=name)
        peer.call("desk", "quick", "q", ref="q")
        peer.push("desk", "wait", "d")
        assert replies(peer) == [("c", "busy"), ("q", "busy")]
        await gate.open("a")
        peer.call("desk", "quick", "q", ref="q")
        await gate.open("b")
        await gate.open("d")
        assert replies(peer) == [("a", "a"), ("q", "q"), ("b", "b")]
        assert log == ["q"]
        assert "+c" not in gate.log


async def test_a_ref_that_is_used_twice_cancels_the_first_call() -> None:
    async with running() as bench:
        gate = Gate(bench.channel("desk"), parallel=2)
        peer = joined(bench)
        peer.call("desk", "wait", "a", ref=1)
        peer.call("desk", "wait", "b", ref=1)
        peer.say("Cancel", ref=1)
        await gate.open("b")
        assert gate.log == ["+a", "+b", "!a", "-b"]
        assert replies(peer) == [(1, "b")]


async def test_a_call_under_way_is_finished_when_its_client_goes() -> None:
    async with running() as bench:
        gate = Gate(channel := bench.channel("desk"))

        @channel.leave
        async def leave(member: Member) -> None:
            gate.log.append(f"left {list(member.rooms)}")

        peer = joined(bench)
        peer.call("desk", "wait", "a", ref="a")
        peer.call("desk", "wait", "b", ref="b")
        peer.cut()
        assert peer.session.has_ended
        await gate.open("a")
        await gate.open("b")
        assert gate.log == ["+a", "-a", "+b", "-b", "left ['desk']"]


async def test_a_stop_of_the_server_tells_who_still_waits() -> None:
    async with running() as bench:
        gate = Gate(bench.channel("desk"))
        peer = joined(bench)
        peer.call("desk", "wait", "a", ref="a")
        for task in bench.node.dispatcher.stepper.tasks:
            task.cancel()
        await turns()
        assert gate.log == ["+a", "!a"]
        assert replies(peer) == [("a", "lost")]


# --- questions ------------------------------------------------------------------------------------


async def history(bench: Bench, count: int = 2) -> Channel:
    channel = bench.channel("log", history=10)
    for number in range(count):
        await bench.node.room("log").publish("said", number)
    return channel


async def test_past_is_answered_with_what_was_published() -> None:
    async with running() as bench:
        await history(bench)
        peer = joined(bench, "log")
        peer.say("Past", ref="p", alias="log", since={"last": 1}, limit=10)
        [(ref, told)] = replies(peer)
        assert ref == "p"
        assert [(one["event"], one["data"], one["offset"]) for one in told] == [("said", 1, 2)]


async def test_past_of_an_address_that_is_not_joined_or_keeps_nothing_is_refused() -> None:
    async with running() as bench:
        bench.channel("desk")
        peer = joined(bench)
        peer.say("Past", ref=1, alias="log", since={}, limit=10)
        peer.say("Past", ref=2, alias="desk", since={}, limit=10)
        assert replies(peer) == [(1, "unknown_address"), (2, "unsupported")]


async def test_past_is_not_told_before_the_join_was_allowed() -> None:
    async with running(limits=Limits(waiting_events=3)) as bench:
        channel = await history(bench)
        verdict: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        @channel.join
        async def join() -> None:
            await verdict

        peer = bench.connect()
        peer.join("log")
        for ref in range(4):
            peer.say("Past", ref=ref, alias="log", since={}, limit=10)
        assert replies(peer) == [(3, "busy")]
        verdict.set_exception(Refused("staff_only"))
        await turns()
        assert replies(peer) == [(ref, "unknown_address") for ref in range(3)]


async def test_past_that_comes_with_the_join_is_answered_after_it() -> None:
    async with running() as bench:
        channel = await history(bench)
        gate = asyncio.Event()

        @channel.join
        async def join() -> None:
            await gate.wait()

        peer = bench.connect()
        peer.join("log")
        peer.say("Past", ref="p", alias="log", since={}, limit=1)
        gate.set()
        await turns()
        assert [one["t"] for one in peer.news()] == ["Joined", "Reply"]


class SlowHistory:
    """History that answers when a test says so; the rest is the broker's."""

    def __init__(self, bench: Bench) -> None:
        self.answers: list[asyncio.Future[Any]] = []
        bench.node.history = self

    async def since(self, room: str, since: object, limit: int) -> Any:
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]


async def test_a_slow_past_holds_nothing_up_can_be_cancelled_and_is_bounded() -> None:
    async with running(limits=Limits(calls=3)) as bench:
        log: list[str] = []
        quick(await history(bench), log)
        peer = joined(bench, "log")
        slow = SlowHistory(bench)
        for ref in (0, 1, 1, 2, 3):
            peer.say("Past", ref=ref, alias="log", since={}, limit=10)
        peer.call("log", "quick", "a", ref="a")
        assert replies(peer) == [(3, "busy"), ("a", "busy")]
        peer.say("Cancel", ref=0)
        await turns()
        slow.answers[1].set_result(([], None, ""))
        slow.answers[2].set_result(([], None, ""))
        slow.answers[3].set_exception(Refused("gone"))
        await turns()
        assert replies(peer) == [(1, []), (1, []), (2, "gone")]
        assert not peer.session.streams


async def test_a_broker_that_fails_is_our_bug(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as bench:
        await history(bench)
        peer = joined(bench, "log")
        slow = SlowHistory(bench)
        peer.say("Past", ref=1, alias="log", since={}, limit=10)
        slow.answers[0].set_exception(OSError("the disk is gone"))
        await turns()
        [reply] = peer.news()
        assert reply["code"] == "internal"
        assert reply["data"]["id"] in caplog.text
        assert "the disk is gone" in caplog.text
        assert "the disk" not in json.dumps(reply)


async def test_who_asks_who_is_present_is_told_the_whole_of_it() -> None:
    async with running() as bench:
        channel = bench.channel("desk", presence=True)

        @channel.join
        async def join(member: Member) -> None:
            await member.track(on="phone")

        peer = bench.connect()
        peer.join("desk")
        await turns()
        peer.news()
        peer.say("Presence", alias="desk", joined={}, left={}, whole=True)
        await turns()
        [told] = peer.news()
        assert (told["t"], told["whole"]) == ("Presence", True)
        assert list(told["joined"].values()) == [[{"on": "phone"}]]
        assert not peer.session.streams


async def test_who_asks_where_nobody_could_be_present_is_refused() -> None:
    async with running() as bench:
        bench.channel("desk")
        peer = joined(bench)
        for alias in ("desk", "log"):
            peer.say("Presence", alias=alias, joined={}, left={}, whole=True)
        told = [(one["alias"], one["event"], one["code"]) for one in peer.news()]
        assert told == [
            ("desk", "presence", "unsupported"),
            ("log", "presence", "unknown_address"),
        ]


class SlowPresence:
    """A store that answers when a test says so; the rest is the broker's."""

    def __init__(self, bench: Bench) -> None:
        self.answers: list[asyncio.Future[Any]] = []
        bench.node.presence = cast(Any, self)

    async def list(self, room: str) -> Any:
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]


async def test_who_asks_who_is_present_again_meanwhile_gets_one_answer_and_may_leave() -> None:
    async with running(limits=Limits(calls=1)) as bench:
        bench.channel("{name}", presence=True)
        peer = bench.connect()
        peer.join("a")
        peer.join("b")
        await turns()
        peer.news()
        store, slow = bench.node.presence, SlowPresence(bench)
        for alias in "aab":
            peer.say("Presence", alias=alias, joined={}, left={}, whole=True)
        assert [(one["alias"], one["code"]) for one in peer.news()] == [("b", "busy")]
        slow.answers[0].set_exception(OSError("the disk is gone"))
        await turns()
        assert [one["code"] for one in peer.news()] == ["internal"]
        peer.say("Presence", alias="a", joined={}, left={}, whole=True)
        bench.node.presence = store
        peer.say("Leave", alias="a")
        slow.answers[1].set_result({})
        await turns()
        assert peer.news() == []
        assert not peer.session.streams


async def test_an_item_or_end_under_no_ref_of_an_upload_is_ignored() -> None:
    async with running() as bench:
        bench.channel("desk")
        peer = joined(bench)
        peer.say("Item", ref=1, data=1)
        peer.say("End", ref=1)
        peer.say("Reply", ref=1, alias="desk", data=1)
        assert peer.news() == []


# --- credentials in a frame -----------------------------------------------------------------------

Judge = Callable[[Hello], Awaitable[User | None]]


async def by_name(hello: Hello) -> User | None:
    await asyncio.sleep(0)
    if isinstance(hello.credentials, dict) and "name" in hello.credentials:
        return User(hello.credentials["name"])
    raise Refused("bad_token", "who are you?", data={"tries": 1})


def framed(bench: Bench) -> Peer:
    return bench.connect(TestWire(FULL, auth=Identity.FRAME), user=User("", is_anonymous=True))


async def test_credentials_in_a_frame_admit_after_they_are_judged() -> None:
    async with running(authenticate=by_name) as bench:
        bench.channel("desk")
        peer = framed(bench)
        peer.say("Auth", ref="a", credentials={"name": "ana"})
        assert peer.transport.is_paused
        peer.join("desk")
        assert peer.heard == []
        await turns()
        assert not peer.transport.is_paused
        assert peer.session.user == User("ana")
        assert [one["t"] for one in peer.heard] == ["Welcome", "Joined"]


async def test_credentials_that_are_refused_close_with_the_reason_said() -> None:
    async with running(authenticate=by_name) as bench:
        peer = framed(bench)
        peer.say("Auth", ref="a", credentials=1)
        await turns()
        [refusal, _] = peer.heard
        assert (refusal["t"], refusal["code"], refusal["ref"]) == ("Refusal", "bad_token", "a")
        assert refusal["data"] == {"tries": 1}
        assert peer.transport.closed == (4401, "who are you?")


async def test_credentials_that_cannot_be_read_are_refused() -> None:
    async with running(authenticate=by_name) as bench:
        peer = framed(bench)
        bench.node.dispatcher.authenticate(peer.session, Auth("a", Args(b"{")))
        assert peer.transport.closed is not None
        assert peer.transport.closed[0] == 4401


async def test_credentials_that_may_be_said_anew_are_judged_again() -> None:
    async with running(authenticate=by_name) as bench:
        bench.channel("desk")
        peer = framed(bench)
        for ref in ("a", "b"):
            peer.say("Auth", ref=ref, credentials=1, is_final=False)
            assert peer.transport.is_paused
            await turns()
            assert not peer.transport.is_paused
        peer.say("Auth", ref="c", credentials={"name": "ana"}, is_final=False)
        peer.join("desk")
        await turns()
        assert [(one["t"], one["ref"]) for one in peer.news()] == [
            ("Refusal", "a"),
            ("Refusal", "b"),
            ("Joined", "j"),
        ]
        assert peer.session.user == User("ana")
        assert peer.transport.closed is None


async def test_what_comes_with_refused_credentials_is_refused_and_what_comes_later_is_heard() -> (
    None
):
    async with running(authenticate=by_name) as bench:
        bench.channel("desk")
        bench.channel("hall")
        peer = framed(bench)
        wrong = {"t": "Auth", "ref": "a", "credentials": 1, "is_final": False}
        right = {"t": "Auth", "ref": "b", "credentials": {"name": "ana"}, "is_final": False}
        desk, hall = ({"t": "Join", "address": name, "alias": name} for name in ("desk", "hall"))
        peer.say_all(wrong, desk)
        peer.say_all(right, hall)
        await turns()
        assert [(one["t"], one["alias"] or one["ref"]) for one in peer.news()] == [
            ("Refusal", "a"),
            ("Joined", "hall"),
        ]
        assert set(peer.session.members) == {"hall"}


async def test_credentials_may_be_said_anew_until_the_time_is_up() -> None:
    async with running(authenticate=by_name, limits=Limits(authentication=10.0)) as bench:
        peer = framed(bench)
        for _ in range(3):
            bench.clock.move(3.0)
            peer.say("Auth", ref="a", credentials=1, is_final=False)
            await turns()
        assert peer.transport.closed is None
        bench.clock.move(1.0)
        assert peer.transport.closed == (4401, "not authenticated in time")


async def test_a_wrong_token_is_a_connect_error_and_the_client_may_try_again() -> None:
    """As a client of Socket.IO sees it: on the same connection, until its time is up."""
    async with running(authenticate=by_name, limits=Limits(authentication=5.0)) as bench:
        bench.channel("desk")
        right, wrong = Guest(bench, io(bench)), Guest(bench, io(bench))
        refusal = '44{"message":"who are you?","data":{"tries":1}}'
        for guest in (right, wrong):
            guest.hear()
            for _ in range(2):
                guest.join(token="?")
                guest.emit("say")  # behind what is refused: it may not know yet
                await turns()
            assert guest.hear() == [refusal, refusal]
            assert guest.transport.closed is None
        right.join(name="ana")
        await turns()
        right.hear()
        assert right.member().user == User("ana")
        bench.clock.move(5.0)
        assert wrong.transport.closed == (4401, "not authenticated in time")
        assert wrong.transport.payloads[-1].data == b"1"
        assert right.transport.closed is None


async def test_credentials_that_are_refused_too_late_hurt_nobody() -> None:
    async with running(authenticate=by_name) as bench:
        gone, away = framed(bench), framed(bench)
        for peer in (gone, away):
            peer.say("Auth", ref="a", credentials=1, is_final=False)
            peer.say("Bye", code=1000)
        gone.cut()
        away.session.transport = None
        await turns()
        assert gone.session.has_ended
        assert [one["t"] for one in away.heard] in ([], ["Bye"])


async def test_credentials_cannot_be_changed_once_they_were_judged() -> None:
    async with running(authenticate=by_name) as bench:
        peer = framed(bench)
        ana = {"t": "Auth", "ref": "a", "credentials": {"name": "ana"}}
        bo = {"t": "Auth", "ref": "b", "credentials": {"name": "bo"}}
        peer.say_all(ana, bo)
        await turns()
        assert peer.session.user == User("ana")
        peer.say("Auth", ref="c", credentials={"name": "bo"})
        peer.say("Auth", ref=None, credentials={"name": "bo"})
        refusals = [(one["ref"], one["code"]) for one in peer.news()]
        assert refusals == [("b", "unsupported"), ("c", "unsupported")]
        assert peer.session.user == User("ana")


async def test_credentials_of_a_client_that_has_gone_admit_nobody() -> None:
    async with running(authenticate=by_name) as bench:
        peer = framed(bench)
        peer.say("Auth", ref="a", credentials={"name": "ana"})
        peer.cut()
        peer.session.transport = None
        await turns()
        assert not bench.node.sessions
        assert peer.session.has_ended


async def test_the_frames_a_server_says_itself_are_no_credentials() -> None:
    """A Body where Args belong (the client's side of the waist) is taken as nothing."""
    async with running(authenticate=by_name) as bench:
        peer = framed(bench)
        bench.node.dispatcher.authenticate(peer.session, Auth("a", NO_BODY))
        bench.node.dispatcher.item(peer.session, Item(1, NO_BODY))
        await turns()
        assert peer.session.has_ended


async def test_a_handler_without_a_ref_cannot_be_cancelled_and_a_later_can() -> None:
    async with running() as bench:
        channel = bench.channel("desk")
        gate = Gate(channel)
        kept: list[Later] = []

        @channel.on("later")
        async def later(later: Later) -> None:
            kept.append(later)

        peer = joined(bench)
        peer.push("desk", "wait", "a")
        assert not peer.session.streams
        peer.call("desk", "later", ref=1)
        await gate.open("a")
        assert replies(peer) == []
        kept[0].answer("now")
        assert replies(peer) == [(1, "now")]
