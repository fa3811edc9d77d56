"""Tests of anywire.core.streaming."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from anywire.body import Args
from anywire.core.channel import Channel, Left
from anywire.core.member import Member
from anywire.errors import CallFailed, Refused
from anywire.frames import Event
from anywire.limits import Limits
from anywire.wires.base import Cap
from tests.core.support import Bench, Peer, TestWire, running, turns

NO_STREAMS = Cap.REPLY | Cap.CALL


def plain() -> TestWire:
    """A wire with answers and without streams."""
    return TestWire(NO_STREAMS, name="plain")


class Source:
    """Streams whose items a test gives; what became of them."""

    def __init__(self, channel: Channel, **options: Any) -> None:
        self.items: dict[str, asyncio.Queue[Any]] = {}
        self.log: list[str] = []

        @channel.on("ticks", **options)
        async def ticks(name: str = "a") -> AsyncIterator[object]:
            self.log.append(f"+{name}")
            queue = self.items.setdefault(name, asyncio.Queue())
            try:
                while (item := await queue.get()) is not None:
                    if isinstance(item, BaseException):
                        raise item
                    yield item
            finally:
                self.log.append(f"-{name}")

    async def give(self, item: object, name: str = "a") -> None:
        self.items.setdefault(name, asyncio.Queue()).put_nowait(item)
        await turns()


def quick(channel: Channel, log: list[str]) -> None:
    @channel.on("quick")
    async def handler() -> str:
        log.append("quick")
        return "quick"


def joined(bench: Bench, wire: TestWire | None = None) -> Peer:
    peer = bench.connect(wire)
    peer.join("desk")
    assert [one["t"] for one in peer.news()] == ["Joined"]
    return peer


def ask(peer: Peer, *args: object, ref: object = 1, want: str = "STREAM") -> None:
    peer.say("Event", alias="desk", event="ticks", args=args, ref=ref, want=want)


def told(peer: Peer) -> list[tuple[Any, ...]]:
    """The news of streams and answers, short."""
    short: list[tuple[Any, ...]] = []
    for one in peer.news():
        match one["t"]:
            case "Item":
                short.append(("item", one["ref"], one["data"]))
            case "End":
                short.append(("end", one["ref"], one.get("code", "")))
            case "Reply":
                short.append(("reply", one["ref"], one.get("code") or one["data"]))
            case "Event":
                short.append((one["event"], *one["args"]))
            case other:
                short.append((other, one.get("code", "")))
    return short


# --- out ------------------------------------------------------------------------------------------


async def test_items_and_the_end_come_under_the_ref_that_asked() -> None:
    async with running() as bench:
        source = Source(bench.channel("desk"))
        peer = joined(bench)
        ask(peer, ref="s")
        for item in (1, {"b": 2}, None):
            await source.give(item)
        assert told(peer) == [("item", "s", 1), ("item", "s", {"b": 2}), ("end", "s", "")]
        assert source.log == ["+a", "-a"]
        assert not peer.session.streams


async def test_a_stream_that_never_waits_needs_no_task() -> None:
    async with running() as bench:

        @bench.channel("desk").on("ticks")
        async def ticks(to: int) -> AsyncIterator[int]:
            for number in range(to):
                yield number

        peer = joined(bench)
        ask(peer, 2)
        assert told(peer) == [("item", 1, 0), ("item", 1, 1), ("end", 1, "")]
        assert not peer.session.streams


async def test_a_stream_holds_the_queue_up_to_its_first_item() -> None:
    async with running() as bench:
        source = Source(channel := bench.channel("desk"))
        quick(channel, source.log)
        peer = joined(bench)
        ask(peer)
        peer.call("desk", "quick", ref=2)
        peer.call("desk", "quick", ref=3)
        await turns()
        assert source.log == ["+a"]
        await source.give("x")
        assert source.log == ["+a", "quick", "quick"]
        assert told(peer) == [("item", 1, "x"), ("reply", 2, "quick"), ("reply", 3, "quick")]


async def test_a_stream_without_items_and_one_that_fails_give_their_turn_away() -> None:
    async with running() as bench:
        source = Source(channel := bench.channel("desk"))
        quick(channel, source.log)
        peer = joined(bench)
        for ref, end in ((1, None), (2, Refused("no", "not now", data=5))):
            ask(peer, ref=ref)
            peer.call("desk", "quick", ref=9)
            await source.give(end)
        assert told(peer) == [
            ("end", 1, ""),
            ("reply", 9, "quick"),
            ("reply", 2, "no"),
            ("reply", 9, "quick"),
        ]


async def test_a_parallel_stream_gives_its_place_away_once() -> None:
    async with running() as bench:
        source = Source(bench.channel("desk"), parallel=2)
        peer = joined(bench)
        for ref, name in enumerate("abcde"):
            ask(peer, name, ref=ref)
        await turns()
        assert source.log == ["+a", "+b"]
        for _ in range(3):
            await source.give("x", "a")  # many items of one stream make place for one other
        assert source.log == ["+a", "+b", "+c"]
        await source.give("x", "b")
        assert source.log == ["+a", "+b", "+c", "+d"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("no"), "no"),
        (CallFailed("lost"), "lost"),
        (RuntimeError("x"), "internal"),
        (asyncio.CancelledError(), "lost"),
    ],
)
async def test_an_error_after_items_is_the_end_of_the_stream(
    error: BaseException, code: str
) -> None:
    async with running() as bench:
        source = Source(bench.channel("desk"))
        peer = joined(bench)
        ask(peer)
        await source.give("x")
        await source.give(error)
        assert told(peer) == [("item", 1, "x"), ("end", 1, code)]
        assert not peer.session.streams


async def test_an_item_that_no_message_can_hold_ends_the_stream(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as bench:
        source = Source(bench.channel("desk"))
        one, two = joined(bench), joined(bench, plain())
        ask(one)
        await source.give(object())
        ask(two, "b", want="REPLY")
        await source.give(object(), "b")
        assert told(one) == [("reply", 1, "internal")]
        assert told(two) == [("reply", 1, "internal")]
        assert source.log == ["+a", "-a", "+b", "-b"]
        assert "cannot be sent as JSON" in caplog.text


async def test_a_client_that_cancels_closes_the_generator_and_hears_nothing_more() -> None:
    async with running() as bench:
        source = Source(bench.channel("desk"))
        peer = joined(bench)
        ask(peer)
        await source.give("x")
        peer.say("Cancel", ref=1)
        await turns()
        assert source.log == ["+a", "-a"]
        assert told(peer) == [("item", 1, "x")]
        assert not peer.session.streams
        ask(peer)  # the ref is free again
        await source.give("y")
        assert told(peer) == [("item", 1, "y")]


async def test_a_stream_without_a_ref_gets_one_that_its_client_does_not_use() -> None:
    async with running() as bench:
        source = Source(bench.channel("desk"))
        peer = joined(bench)
        serial = peer.session.serial
        ask(peer, "a", ref=f"s{serial + 1}")
        await source.give("x")
        peer.push("desk", "ticks", "b")
        await source.give("y", "b")
        await source.give(None)
        await source.give(None, "b")
        mine, other = f"s{serial + 1}", f"s{serial + 2}"
        assert told(peer) == [
            ("item", mine, "x"),
            ("ticks.item", {"id": other, "data": "y"}),
            ("end", mine, ""),
            ("ticks.end", {"id": other}),
        ]
        assert not peer.session.streams


async def test_a_stream_that_waits_for_its_slow_client_is_closed_by_a_cancel() -> None:
    async with running(limits=Limits(outbox=400)) as bench:
        log: list[object] = []

        @bench.channel("desk").on("ticks")
        async def ticks() -> AsyncIterator[str]:
            try:
                while True:
                    log.append("item")
                    yield "x" * 100
            finally:
                await asyncio.sleep(0)
                log.append("closed")

        peer = joined(bench)
        peer.transport.is_stuck = True
        ask(peer)
        await turns()
        assert 1 <= log.count("item") <= 4
        count = len(log)
        peer.unstick()
        peer.transport.is_stuck = True
        await turns()
        assert len(log) > count
        peer.say("Cancel", ref=1)
        await turns()
        assert log[-1] == "closed"
        assert not bench.node.dispatcher.stepper.tasks


async def test_the_end_of_the_session_closes_every_stream() -> None:
    async with running() as bench:
        source = Source(bench.channel("desk"), parallel=4)
        peer = joined(bench)
        for ref, name in enumerate("abc"):
            ask(peer, name, ref=ref)
        await source.give("x", "a")
        peer.cut()
        await turns()
        assert sorted(source.log) == ["+a", "+b", "+c", "-a", "-b", "-c"]
        assert not bench.node.dispatcher.stepper.tasks


async def test_a_stream_that_closes_its_own_session_goes_no_further() -> None:
    async with running() as bench:
        log: list[str] = []

        @bench.channel("desk").on("ticks")
        async def ticks(member: Member, when: str) -> AsyncIterator[int]:
            try:
                if when == "before":
                    await member.close()
                    await asyncio.Event().wait()
                await member.close()
                yield 1
                log.append("not reached")
            finally:
                log.append(f"closed {when}")

        for when in ("before", "after"):
            ask(joined(bench), when)
            await turns()
        assert log == ["closed before", "closed after"]
        assert not bench.node.dispatcher.stepper.tasks


async def test_a_leave_ends_the_streams_of_its_member_alone() -> None:
    async with running() as bench:
        source = Source(channel := bench.channel("desk"))

        @channel.leave
        async def leave(why: Left) -> None:
            source.log.append("left")

        peer = joined(bench)
        peer.join("desk", alias="two")
        ask(peer, "a", ref=1)
        peer.say("Event", alias="two", event="ticks", args=["b"], ref=2, want="STREAM")
        await source.give("x", "a")
        await source.give("x", "b")
        peer.news()
        peer.say("Leave", alias="desk")
        await turns()
        assert told(peer) == [("end", 1, "lost")]
        assert sorted(source.log) == ["+a", "+b", "-a", "left"]
        await source.give("y", "b")
        assert told(peer) == [("item", 2, "y")]


async def test_a_session_runs_so_many_streams_and_calls_do_not_count() -> None:
    async with running(limits=Limits(streams=2)) as bench:
        channel = bench.channel("desk")
        source = Source(channel, parallel=9)
        gate = asyncio.Event()

        @channel.on("wait", parallel=9)
        async def wait() -> None:
            await gate.wait()

        peer = joined(bench)
        for ref in range(10, 15):
            peer.call("desk", "wait", ref=ref)
        for ref in range(3):
            ask(peer, str(ref), ref=ref)
        assert told(peer) == [("reply", 2, "busy")]
        await source.give(None, "0")
        ask(peer, "3", ref=3)
        await source.give("x", "3")
        assert told(peer) == [("end", 0, ""), ("item", 3, "x")]
        assert source.log == ["+0", "+1", "-0", "+3"]


async def test_the_ref_of_a_running_answer_cannot_be_used_for_a_stream() -> None:
    async with running() as bench:
        source = Source(bench.channel("desk"))
        peer = joined(bench)
        ask(peer, "a")
        await source.give("x", "a")
        ask(peer, "b")
        assert told(peer) == [("item", 1, "x"), ("reply", 1, "invalid")]
        peer.say("Cancel", ref=1)
        await turns()
        assert source.log == ["+a", "-a"]


async def test_a_stream_is_not_an_answer_where_there_are_streams() -> None:
    async with running() as bench:
        source = Source(bench.channel("desk"))
        peer = joined(bench)
        ask(peer, want="REPLY")
        assert told(peer) == [("reply", 1, "unsupported")]
        assert source.log == []


async def test_an_event_that_is_a_stream_tells_its_items_as_events() -> None:
    async with running() as bench:
        source = Source(bench.channel("desk"))
        peer = joined(bench)
        peer.push("desk", "ticks")
        await source.give("x")
        [(name, item)] = told(peer)
        assert name == "ticks.item"
        assert item["data"] == "x"
        peer.say("Cancel", ref=item["id"])
        await turns()
        assert source.log == ["+a", "-a"]


async def test_guards_come_before_the_first_item() -> None:
    async with running() as bench:
        verdicts = [False, True]
        source = Source(bench.channel("desk"), guards=[lambda member: verdicts.pop(0)])
        peer = joined(bench)
        ask(peer, ref=1)
        await turns()
        ask(peer, ref=2)
        await source.give("x")
        assert told(peer) == [("reply", 1, "refused"), ("item", 2, "x")]
        assert source.log == ["+a"]


# --- out, on a wire without streams ---------------------------------------------------------------


async def test_without_streams_items_are_events_and_the_end_is_the_reply() -> None:
    async with running() as bench:
        source = Source(bench.channel("desk"))
        peer = joined(bench, plain())
        ask(peer, ref=7, want="REPLY")
        await source.give("x")
        await source.give(None)
        assert told(peer) == [("ticks.item", {"id": 7, "data": "x"}), ("reply", 7, None)]


async def test_without_answers_the_end_is_an_event_and_an_error_names_the_stream() -> None:
    async with running() as bench:
        source = Source(bench.channel("desk"))
        peer = joined(bench, TestWire(Cap.NONE, name="mute"))
        peer.push("desk", "ticks", "a")
        await source.give("x", "a")
        await source.give(None, "a")
        [(_, item), end] = told(peer)
        assert end == ("ticks.end", {"id": item["id"]})
        peer.push("desk", "ticks", "b")
        await source.give("y", "b")
        await source.give(Refused("no"), "b")
        [(_, again), refusal] = told(peer)
        assert again["id"] != item["id"]
        assert refusal == ("Refusal", "no")


async def test_without_streams_an_event_cancels_one_and_only_its_own() -> None:
    async with running() as bench:
        channel = bench.channel("desk")
        source = Source(channel)
        log: list[object] = []

        @channel.any
        async def rest(event: str, *args: object) -> None:
            log.append((event, *args))

        peer = joined(bench, plain())
        peer.join("desk", alias="two")
        ask(peer, ref=7, want="REPLY")
        await source.give("x")
        peer.push("desk", "order.cancel", {"id": 7})  # the application's own
        peer.push("desk", "ticks.cancel", {"id": 8})
        peer.push("desk", "ticks.cancel", [7])
        peer.push("desk", "ticks.cancel", {"id": [7]})
        peer.push("desk", "ticks.cancel")
        peer.push("desk", "cancel", {"id": 7})
        peer.push("desk", "ticks.end", {"id": 7})
        peer.push("two", "ticks.cancel", {"id": 7})
        assert len(log) == 8
        assert source.log == ["+a"]
        peer.push("desk", "ticks.cancel", {"id": 7})
        await turns()
        assert source.log == ["+a", "-a"]
        assert len(log) == 8
        peer.push("desk", "ticks.cancel", {"id": 7})
        assert len(log) == 9


async def test_a_cancel_that_cannot_be_read_cancels_nothing() -> None:
    async with running() as bench:
        source = Source(bench.channel("desk"))
        peer = joined(bench, plain())
        ask(peer, ref=7, want="REPLY")
        await source.give("x")
        bench.node.dispatcher.event(peer.session, Event("desk", "ticks.cancel", Args(b"{")))
        await turns()
        assert source.log == ["+a"]


async def test_collect_makes_one_answer_of_a_stream() -> None:
    async with running() as bench:
        source = Source(bench.channel("desk"), collect=True)
        native, other = joined(bench), joined(bench, plain())
        for peer, name in ((native, "a"), (other, "b")):
            ask(peer, name, want="REPLY")
            for item in (1, 2, None):
                await source.give(item, name)
            assert told(peer) == [("reply", 1, [1, 2])]
        ask(native, "c", ref=2)
        other.push("desk", "ticks", "d")
        for name in "cd":
            await source.give(3, name)
            await source.give(None, name)
        assert told(native) == [("item", 2, 3), ("end", 2, "")]
        [(item, data), (end, _)] = told(other)
        assert (item, data["data"], end) == ("ticks.item", 3, "ticks.end")


# --- in -------------------------------------------------------------------------------------------


class Sink:
    """Uploads; what came of them."""

    def __init__(self, channel: Channel, **options: Any) -> None:
        self.log: list[object] = []
        self.gate = asyncio.Event()
        self.gate.set()

        @channel.on("bulk", **options)
        async def bulk(note: str, numbers: AsyncIterator[int]) -> list[int]:
            self.log.append(f"+{note}")
            await self.gate.wait()
            took: list[int] = []
            try:
                async for number in numbers:
                    took += [number]
            except CallFailed as error:
                self.log.append((note, error.code, took))
                raise
            return took


def bulk(peer: Peer, note: str = "a", *, ref: int = 1, streams: tuple[str, ...] = ("u",)) -> None:
    peer.call("desk", "bulk", note, ref=ref, streams=streams)


async def test_an_upload_is_read_item_by_item_and_checked() -> None:
    async with running() as bench:
        Sink(bench.channel("desk"))
        peer = joined(bench)
        bulk(peer)
        peer.say_all(
            {"t": "Item", "ref": "u", "data": 1},
            {"t": "Item", "ref": "u", "data": 2},
            {"t": "End", "ref": "u"},
        )
        await turns()
        bulk(peer, ref=2)
        peer.say("Item", ref="u", data="x")
        await turns()
        assert told(peer) == [("reply", 1, [1, 2]), ("reply", 2, "invalid")]
        assert not peer.session.inboxes


async def test_an_upload_leaves_the_queue_at_its_start() -> None:
    async with running() as bench:
        channel = bench.channel("desk")
        sink = Sink(channel, guards=[lambda member: None])
        log: list[str] = []
        quick(channel, log)
        peer = joined(bench)
        bulk(peer)
        peer.call("desk", "quick", ref=2)
        await turns()
        assert told(peer) == [("reply", 2, "quick")]
        assert sink.log == ["+a"]
        peer.say("End", ref="u")
        await turns()
        assert told(peer) == [("reply", 1, [])]


async def test_items_that_come_before_the_turn_of_their_upload_wait_for_it() -> None:
    async with running() as bench:
        channel = bench.channel("desk")
        Sink(channel)
        gate = asyncio.Event()

        @channel.on("wait")
        async def wait() -> None:
            await gate.wait()

        peer = joined(bench)
        peer.push("desk", "wait")
        bulk(peer)
        peer.say("Item", ref="u", data=1)
        peer.say("End", ref="u")
        gate.set()
        await turns()
        assert told(peer) == [("reply", 1, [1])]


@pytest.mark.parametrize(
    ("limits", "item", "fits"),
    [(Limits(), 1, 64), (Limits(stream_bytes=100), 1234567890, 10)],
)
async def test_an_upload_too_far_ahead_ends_with_busy_and_the_session_goes_on(
    limits: Limits, item: int, fits: int
) -> None:
    async with running(limits=limits) as bench:
        sink = Sink(bench.channel("desk"))
        sink.gate.clear()
        peer = joined(bench)
        bulk(peer)
        for _ in range(fits):
            peer.say("Item", ref="u", data=item)
        assert told(peer) == []
        for _ in range(3):
            peer.say("Item", ref="u", data=item)
        assert told(peer) == [("end", "u", "busy")]
        sink.gate.set()
        await turns()
        assert told(peer) == [("reply", 1, "busy")]
        assert sink.log == ["+a", ("a", "busy", [item] * fits)]
        assert peer.transport.closed is None


async def test_an_upload_that_its_client_breaks_off_fails_in_the_handler() -> None:
    async with running() as bench:
        sink = Sink(bench.channel("desk"))
        one, two, three = joined(bench), joined(bench), joined(bench)
        for peer, note in ((one, "a"), (two, "b"), (three, "c")):
            bulk(peer, note)
            peer.say("Item", ref="u", data=5)
        one.say("End", ref="u", code="full", text="the disk is full")
        two.cut()
        three.say("Leave", alias="desk")
        await turns()
        assert told(one) == [("reply", 1, "full")]
        assert sink.log[3:] == [("a", "full", [5]), ("b", "lost", [5]), ("c", "lost", [5])]
        assert not bench.node.dispatcher.stepper.tasks


async def test_uploads_are_bounded_and_a_refused_one_leaves_nothing() -> None:
    async with running(limits=Limits(streams=2, waiting_events=1)) as bench:
        channel = bench.channel("desk")
        sink = Sink(channel, parallel=9)
        sink.gate.clear()
        peer = joined(bench)
        bulk(peer, ref=1, streams=("u1",))
        bulk(peer, ref=2, streams=("u1",))
        bulk(peer, ref=3, streams=("u2", "u2"))
        bulk(peer, ref=4, streams=("u2",))
        bulk(peer, ref=5, streams=("u3",))
        assert told(peer) == [("reply", 2, "invalid"), ("reply", 3, "busy"), ("reply", 5, "busy")]
        peer.say("Item", ref="u1", data=1)
        peer.say("End", ref="u1")
        peer.say("End", ref="u2")
        sink.gate.set()
        await turns()
        assert told(peer) == [("reply", 1, [1]), ("reply", 4, [])]
        bulk(peer, ref=6, streams=("u2", "u2"))
        bulk(peer, ref=7, streams=())
        bulk(peer, ref=8, streams=("u1", "u2"))
        assert told(peer) == [("reply", ref, "invalid") for ref in (6, 7, 8)]
        assert not peer.session.inboxes


async def test_uploads_of_events_that_get_no_turn_leave_nothing() -> None:
    async with running(limits=Limits(waiting_events=1)) as bench:
        channel = bench.channel("desk")
        Sink(channel)
        gate = asyncio.Event()

        @channel.on("wait")
        async def wait() -> None:
            await gate.wait()

        peer = joined(bench)
        for ref in range(20):
            peer.say("Event", alias="desk", event="nope", ref=ref, want="REPLY", streams=["u"])
        assert told(peer) == [("reply", ref, "unknown_event") for ref in range(20)]
        peer.push("desk", "wait")
        peer.push("desk", "wait")
        bulk(peer)
        assert told(peer) == [("reply", 1, "busy")]
        gate.set()
        await turns()
        assert not peer.session.inboxes


async def test_uploads_that_wait_for_a_join_that_is_refused_leave_nothing() -> None:
    async with running() as bench:
        channel = bench.channel("desk")
        Sink(channel)
        verdict: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        @channel.join
        async def join() -> None:
            await verdict

        peer = bench.connect()
        peer.join("desk")
        bulk(peer)
        verdict.set_exception(Refused("no"))
        await turns()
        assert told(peer) == [("reply", 1, "unknown_address"), ("Refusal", "no")]
        assert not peer.session.inboxes


async def test_what_takes_all_events_can_take_uploads() -> None:
    async with running() as bench:

        @bench.channel("desk").any
        async def rest(event: str, numbers: AsyncIterator[int]) -> list[object]:
            return [event, *[number async for number in numbers]]

        peer = joined(bench)
        peer.say("Event", alias="desk", event="sum", ref=1, want="REPLY", streams=["u"])
        peer.say("Item", ref="u", data=4)
        peer.say("End", ref="u")
        await turns()
        assert told(peer) == [("reply", 1, ["sum", 4])]


async def test_a_stream_may_answer_an_upload() -> None:
    async with running() as bench:

        @bench.channel("desk").on("double")
        async def double(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
            async for number in numbers:
                yield 2 * number

        peer = joined(bench)
        peer.say("Event", alias="desk", event="double", ref=1, want="STREAM", streams=["u"])
        for number in (1, 2):
            peer.say("Item", ref="u", data=number)
            await turns()
        peer.say("End", ref="u")
        await turns()
        assert told(peer) == [("item", 1, 2), ("item", 1, 4), ("end", 1, "")]
