"""Tests of anywire.core.turn."""

import asyncio
from typing import Any

import pytest

from anywire.body import Body
from anywire.core.dispatch import Later
from anywire.core.member import Member
from anywire.errors import CallFailed, ProtocolError, Refused
from anywire.frames import Reply, Want
from anywire.wires.base import Cap
from tests.core.guest import Guest, io
from tests.core.support import Bench, Peer, TestMachine, TestWire, running, turns


def joined(bench: Bench, wire: TestWire | None = None) -> Peer:
    peer = bench.connect(wire)
    peer.join("desk")
    assert [one["t"] for one in peer.news()] == ["Joined"]
    return peer


def mute() -> TestWire:
    """A wire without answers."""
    return TestWire(Cap.NONE, name="mute")


# --- answers --------------------------------------------------------------------------------------


async def test_the_value_of_a_handler_is_the_answer_if_one_was_asked_for() -> None:
    async with running() as bench:
        channel = bench.channel("desk")

        @channel.on("plain")
        def plain(value: object) -> object:
            return value

        @channel.on("none")
        async def none() -> None: ...

        peer = joined(bench)
        peer.call("desk", "plain", {"a": [1, None]}, ref=1)
        peer.call("desk", "none", ref=2)
        peer.push("desk", "plain", 1)
        peer.say("Event", alias="desk", event="plain", args=[1], want="REPLY")  # no ref, no answer
        one, two = peer.news()
        assert (one["ref"], one["data"]) == (1, {"a": [1, None]})
        assert (two["ref"], two["data"]) == (2, None)


async def test_where_there_are_no_answers_only_message_sends_its_value_back() -> None:
    async with running() as bench:
        channel = bench.channel("desk")

        @channel.message
        async def message(text: str) -> str | None:
            return text or None

        @channel.on("say")
        async def say(text: str) -> str:
            return text

        loud, silent = joined(bench), joined(bench, mute())
        for peer in (loud, silent):
            peer.push("desk", "message", "hi")
            peer.push("desk", "message", "")
            peer.push("desk", "say", "hi")
        assert loud.news() == []
        assert silent.events() == [("message", ["hi"])]


async def test_a_message_that_is_a_call_is_answered_as_one() -> None:
    async with running() as bench:

        @bench.channel("desk").message
        async def message(text: str) -> str:
            return text

        peer = joined(bench)
        peer.call("desk", "message", "hi", ref=1)
        [reply] = peer.news()
        assert (reply["t"], reply["data"]) == ("Reply", "hi")


# --- errors ---------------------------------------------------------------------------------------


async def test_a_bug_is_told_as_internal_with_an_id_that_stands_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as bench:
        channel = bench.channel("desk")

        @channel.on("boom")
        async def boom() -> None:
            raise RuntimeError("the secret of the house")

        @channel.on("fine")
        def fine() -> str:
            return "fine"

        peer = joined(bench)
        peer.call("desk", "boom", ref=1)
        peer.push("desk", "boom")
        peer.call("desk", "fine", ref=2)
        told, refusal, reply = peer.news()
        assert (told["t"], told["ref"], told["code"]) == ("Reply", 1, "internal")
        assert (refusal["t"], refusal["event"], refusal["code"]) == ("Refusal", "boom", "internal")
        assert reply["data"] == "fine"
        assert told["data"]["id"] != refusal["data"]["id"]
        assert told["data"]["id"] in told["text"]
        records = [record for record in caplog.records if record.name == "anywire.core.turn"]
        assert len(records) == 2
        assert told["data"]["id"] in records[0].getMessage()
        assert '"boom" on "desk" failed' in records[0].getMessage()
        assert records[0].exc_info is not None
        assert "the secret of the house" in caplog.text
        assert "secret" not in str(peer.heard)
        assert peer.session.members["desk"].has_left is False


async def test_a_refusal_brings_code_text_and_data() -> None:
    async with running() as bench:
        channel = bench.channel("desk")

        @channel.on("no")
        async def no() -> None:
            raise Refused("staff_only", "for staff", data={"room": "staff"})

        @channel.on("failed")
        async def failed() -> None:
            raise CallFailed("timeout", "no answer within 1 s", data=7)

        peer = joined(bench)
        peer.call("desk", "no", ref=1)
        peer.push("desk", "no")
        peer.call("desk", "failed", ref=2)
        one, two, three = peer.news()
        for told in (one, two):
            assert (told["code"], told["text"]) == ("staff_only", "for staff")
            assert told["data"] == {"room": "staff"}
        assert (three["code"], three["data"]) == ("timeout", 7)


async def test_arguments_that_do_not_fit_are_invalid() -> None:
    async with running() as bench:

        @bench.channel("desk").on("add")
        async def add(one: int, two: int) -> int:
            return one + two

        peer = joined(bench)
        peer.call("desk", "add", 1, "x", ref=1)
        peer.call("desk", "add", 1, 2, ref=2)
        one, two = peer.news()
        assert one["code"] == "invalid"
        assert two["data"] == 3


@pytest.mark.parametrize("value", [object(), float("nan"), 10**400, {1j}])
async def test_what_no_message_can_hold_is_a_bug_of_the_handler(
    value: object, caplog: pytest.LogCaptureFixture
) -> None:
    async with running() as bench:
        channel = bench.channel("desk")

        @channel.on("get")
        async def get() -> object:
            return value

        @channel.on("no")
        async def no() -> None:
            raise Refused("no", "no", data=value)

        @channel.message
        async def message(text: str) -> object:
            return value

        peer, silent = joined(bench), joined(bench, mute())
        peer.call("desk", "get", ref=1)
        peer.call("desk", "no", ref=2)
        silent.push("desk", "message", "hi")
        for told in peer.news() + silent.news():
            assert told["code"] == "internal"
            assert told["data"]["id"] in caplog.text


async def test_a_wire_that_breaks_while_it_answers_does_not_hold_the_member() -> None:
    async with running() as bench:
        log: list[int] = []

        @bench.channel("desk").on("count")
        async def count(number: int) -> int:
            log.append(number)
            return number

        peer = joined(bench)
        machine = peer.session.machine
        assert isinstance(machine, TestMachine)
        machine.broken = ProtocolError("cannot say that")
        peer.call("desk", "count", 1)
        assert log == [1]
        assert not peer.session.node.dispatcher.stepper.tasks


# --- later ----------------------------------------------------------------------------------------


class Shelf:
    """Answers that a test gives."""

    def __init__(self, bench: Bench) -> None:
        self.kept: list[Later] = []

        @bench.channel("desk").on("ask")
        async def ask(member: Member, later: Later, boom: bool = False) -> str:
            if boom:
                raise Refused("boom")
            self.kept.append(later)
            return "is not sent"


async def test_a_later_answers_when_it_wants_and_once() -> None:
    async with running() as bench:
        shelf = Shelf(bench)
        peer = joined(bench)
        for ref in range(4):
            peer.call("desk", "ask", ref=ref)
        assert peer.news() == []
        shelf.kept[3].answer({"n": 3})
        shelf.kept[1].refuse("no", "not today", data=[1])
        shelf.kept[0].answer()
        for later in shelf.kept[:2]:
            later.answer(1)
            later.refuse("twice")
        told = [(one["ref"], one.get("code", ""), one["data"]) for one in peer.news()]
        assert told == [(3, "", {"n": 3}), (1, "no", [1]), (0, "", None)]


async def test_a_later_knows_whether_somebody_waits_for_it() -> None:
    async with running() as bench:
        shelf = Shelf(bench)
        peer = joined(bench)
        peer.push("desk", "ask")
        peer.call("desk", "ask", ref=1)
        peer.say("Event", alias="desk", event="ask", want="REPLY")  # no ref, no answer
        assert [later.is_awaited for later in shelf.kept] == [False, True, False]


async def test_a_later_may_answer_with_several_values() -> None:
    async with running() as bench:
        shelf = Shelf(bench)
        peer = joined(bench)
        for ref in range(3):
            peer.call("desk", "ask", ref=ref)
        shelf.kept[0].answer(1, "two", [3])
        shelf.kept[1].answer(None)
        shelf.kept[2].answer()
        machine = peer.session.machine
        assert isinstance(machine, TestMachine)
        bodies = [one.data for one in machine.sent if isinstance(one, Reply)]
        assert [body.values for body in bodies if isinstance(body, Body)] == [
            (1, "two", [3]),
            (None,),
            (),
        ]
        assert [one["data"] for one in peer.news()] == [[1, "two", [3]], None, None]


async def test_a_later_that_nobody_waits_for_is_a_message_where_there_are_no_answers() -> None:
    async with running() as bench:
        kept: list[Later] = []

        @bench.channel("desk").message
        async def message(later: Later, text: str) -> None:
            kept.append(later)

        silent = joined(bench, mute())
        for _ in range(2):
            silent.push("desk", "message", "hi")
        kept[0].answer("one", 2)
        kept[1].answer()
        assert silent.events() == [("message", ["one", 2])]
        assert not kept[0].is_awaited


async def test_an_answer_is_told_where_its_member_is_now() -> None:
    """It may have gone on in another session since it was asked; the first one forgets it."""
    async with running() as bench:
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        channel = bench.channel("desk")

        @channel.on("slow")
        async def slow() -> str:
            await gate
            return "done"

        wire = io(bench)
        guest = Guest(bench, wire)
        guest.join()
        guest.hear()
        guest.emit("slow", id=1)
        first = guest.session
        assert first.streams
        guest.cut()
        guest.connect()
        guest.join()
        gate.set_result(None)
        await turns()
        assert '431["done"]' in guest.hear()
        assert not first.streams and not guest.session.streams
        assert not guest.member().is_held


async def test_a_later_that_asks_for_nothing_and_one_that_fails() -> None:
    async with running() as bench:
        shelf = Shelf(bench)
        peer = joined(bench)
        peer.push("desk", "ask")
        peer.call("desk", "ask", True, ref=1)
        shelf.kept[0].answer("nobody waits")
        shelf.kept[0].refuse("no")
        one, two = peer.news()
        assert (one["t"], one["code"]) == ("Reply", "boom")
        assert (two["t"], two["event"], two["code"]) == ("Refusal", "ask", "no")


async def test_a_later_with_what_no_message_can_hold(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as bench:
        shelf = Shelf(bench)
        peer = joined(bench)
        peer.call("desk", "ask", ref=1)
        with pytest.raises(ValueError, match="JSON"):
            shelf.kept[0].refuse("no", data=object())
        assert peer.news() == []
        shelf.kept[0].answer(object())
        assert [one["code"] for one in peer.news()] == ["internal"]
        assert "cannot be sent as JSON" in caplog.text


async def test_a_later_of_a_client_that_has_gone_is_harmless() -> None:
    async with running() as bench:
        shelf = Shelf(bench)
        peer = joined(bench)
        peer.call("desk", "ask", ref=1)
        peer.cut()
        shelf.kept[0].answer(1)
        shelf.kept[0].refuse("no")


# --- both ends of the waist -----------------------------------------------------------------------


async def test_what_is_called_as_a_stream_and_is_none_is_refused_before_it_runs() -> None:
    async with running() as bench:
        log: list[Any] = []

        @bench.channel("desk").on("add")
        async def add(number: int) -> None:
            log.append(number)

        peer = joined(bench)
        peer.say("Event", alias="desk", event="add", args=[1], ref=1, want=Want.STREAM.name)
        await turns()
        [told] = peer.news()
        assert (told["t"], told["ref"], told["code"]) == ("Reply", 1, "unsupported")
        assert log == []


async def test_a_handler_is_given_the_member_its_address_and_the_event() -> None:
    async with running() as bench:
        channel = bench.channel("room:{name}")

        @channel.any
        async def rest(member: Member, name: str, event: str, *args: object) -> list[object]:
            return [member.address, name, event, *args]

        peer = bench.connect()
        peer.join("room:a")
        peer.call("room:a", "anything", 1, 2)
        assert peer.news()[1]["data"] == ["room:a", "a", "anything", 1, 2]
