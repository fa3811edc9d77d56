"""Tests of anywire.brokers.memory: the contracts, and what is the memory broker's own."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from itertools import count
from typing import Any

import pytest

from anywire.body import Body
from anywire.brokers import memory
from anywire.brokers.base import Keep
from anywire.brokers.memory import MemoryBroker
from anywire.frames import Position, Record, Since
from tests.contracts.broker import (
    KEEP,
    BrokerContract,
    DirectoryContract,
    Elapse,
    HistoryContract,
    NodesContract,
    after,
    offset,
    said,
    started,
    words,
)
from tests.contracts.presence import HOME, PresenceContract


class Clock:
    """Unix time that a test moves."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def elapse(clock: Clock) -> Elapse:
    async def elapse(seconds: float) -> None:
        clock.time += seconds

    return elapse


@pytest.fixture
async def broker(clock: Clock) -> AsyncIterator[MemoryBroker]:
    numbers = count()
    broker = MemoryBroker(clock=clock, random=lambda size: next(numbers).to_bytes(size, "big"))
    yield broker
    await broker.stop()


class TestBroker(BrokerContract):
    """The memory broker numbers and carries."""


class TestHistory(HistoryContract):
    """The memory broker keeps."""


class TestPresence(PresenceContract):
    """The memory broker knows who is here."""


class TestDirectory(DirectoryContract):
    """The memory broker knows who owns a session."""


class TestNodes(NodesContract):
    """The memory broker asks itself."""


def at_once(step: Coroutine[Any, Any, Position | None]) -> Position | None:
    """The result of a coroutine that ends in its first step."""
    with pytest.raises(StopIteration) as stopped:
        step.send(None)
    position: Position | None = stopped.value.value
    return position


async def test_a_publish_is_delivered_within_its_first_step(broker: MemoryBroker) -> None:
    heard: list[Record] = []
    await broker.start(heard.append)
    await broker.subscribe("r")
    position = at_once(broker.publish(said("a"), KEEP))
    assert [record.position for record in heard] == [position]


async def test_a_publish_from_inside_a_delivery_comes_after_it(broker: MemoryBroker) -> None:
    order: list[object] = []

    def deliver(record: Record) -> None:
        word = record.body.one_value
        order.append(("begin", word))
        if word == "a":
            assert offset(at_once(broker.publish(said("b"), KEEP))) == 2
            assert offset(at_once(broker.publish(said("c"), KEEP))) == 3
        order.append(("end", word))

    await broker.start(deliver)
    await broker.subscribe("r")
    await broker.publish(said("a"), KEEP)
    assert order == [(edge, word) for word in "abc" for edge in ("begin", "end")]


async def test_an_id_published_from_inside_its_own_delivery_is_seen(broker: MemoryBroker) -> None:
    heard: list[Record] = []

    def deliver(record: Record) -> None:
        heard.append(record)
        at_once(broker.publish(said("again", id="1"), KEEP))

    await broker.start(deliver)
    await broker.subscribe("r")
    await broker.publish(said("a", id="1"), KEEP)
    assert words(heard) == ["a"]


async def test_a_delivery_that_fails_is_logged_and_the_next_is_delivered(
    broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[object] = []

    def deliver(record: Record) -> None:
        word = record.body.one_value
        if word == "a":
            at_once(broker.publish(said("b"), KEEP))
            raise RuntimeError("boom")
        heard.append(word)

    await broker.start(deliver)
    await broker.subscribe("r")
    with caplog.at_level(logging.ERROR):
        await broker.publish(said("a"), KEEP)
    assert "boom" in caplog.text
    assert heard == ["b"]


async def test_who_hears_a_record_is_looked_up_when_it_is_delivered(broker: MemoryBroker) -> None:
    heard: list[object] = []

    def deliver(record: Record) -> None:
        heard.append(record.body.one_value)
        if record.body.one_value == "a":
            at_once(broker.publish(said("b"), KEEP))
            with pytest.raises(StopIteration):
                broker.unsubscribe("r").send(None)

    await broker.start(deliver)
    await broker.subscribe("r")
    await broker.publish(said("a"), KEEP)
    assert heard == ["a"]


async def test_after_a_stop_nothing_is_delivered_and_history_stays(broker: MemoryBroker) -> None:
    heard = await started(broker, "r")
    await broker.publish(said("a"), KEEP)
    await broker.stop()
    await broker.publish(said("b"), KEEP)
    heard = await started(broker)
    await broker.publish(said("unheard"), None)
    records, _, _ = await broker.since("r", Since(last=9), 9)
    assert words(records) == ["a", "b"]
    await broker.subscribe("r")
    await broker.publish(said("c"), KEEP)
    assert await heard.words(1) == ["c"]


async def test_a_stop_from_inside_a_delivery_ends_it(broker: MemoryBroker) -> None:
    heard: list[object] = []

    def deliver(record: Record) -> None:
        heard.append(record.body.one_value)
        at_once(broker.publish(said("b"), KEEP))
        with pytest.raises(StopIteration):
            broker.stop().send(None)

    await broker.start(deliver)
    await broker.subscribe("r")
    await broker.publish(said("a"), KEEP)
    assert heard == ["a"]


async def test_an_unkept_record_with_a_time_is_not_copied(broker: MemoryBroker) -> None:
    heard: list[Record] = []
    await broker.start(heard.append)
    await broker.subscribe("r")
    record = said("a")
    record.time = 5.0
    await broker.publish(record, None)
    assert heard[0] is record


async def test_an_id_may_come_again_after_its_window(broker: MemoryBroker, clock: Clock) -> None:
    assert offset(await broker.publish(said("a", id="1"), KEEP)) == 1
    clock.time += memory.SEEN_SECONDS
    assert offset(await broker.publish(said("a", id="1"), KEEP)) == 2


async def test_the_window_of_ids_is_bounded(
    broker: MemoryBroker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "SEEN", 10)
    for number in range(50):
        await broker.publish(said("a", id=str(number)), None)
    assert len(broker._seen) <= 10
    assert offset(await broker.publish(said("a", id="x"), KEEP)) == 1
    assert offset(await broker.publish(said("a", id="x"), KEEP)) == 1


async def test_ids_past_their_window_are_not_held(broker: MemoryBroker, clock: Clock) -> None:
    for number in range(10):
        await broker.publish(said("a", id=str(number)), None)
    clock.time += memory.SEEN_SECONDS
    for number in range(10):
        await broker.publish(said("a", id=f"new {number}"), None)
    assert len(broker._seen) == 10


async def test_a_time_is_lost_when_any_record_of_it_is_forgotten(broker: MemoryBroker) -> None:
    for time in (105.0, 100.0, 200.0):
        record = said("a")
        record.time = time
        await broker.publish(record, Keep(1, 60))
    assert (await broker.since("r", Since(time=103.0), 10))[2] == "expired"


async def test_a_room_that_a_node_left_is_not_held_for_it(broker: MemoryBroker) -> None:
    await broker.enter("r", "n1", "ana", "m1", HOME, 10, KEEP)
    await broker.exit("r", "n1", "ana", "m1", KEEP)
    assert broker._places == {"n1": {}}


async def test_rooms_that_hold_nothing_are_dropped(broker: MemoryBroker, clock: Clock) -> None:
    await started(broker, "heard")
    await broker.enter("entered", "n1", "ana", "m1", HOME, 1e9, KEEP)
    await broker.publish(said("a", "kept"), Keep(10, 1e9))
    for number in range(200):
        await broker.publish(said("a", f"room {number}"), Keep(10, 5))
    clock.time += 10
    await broker.renew("n1", 1e9)
    assert set(broker._rooms) == {"heard", "entered", "kept"}
    assert len(broker._rotation) == 3


async def test_new_rooms_push_out_dead_ones_without_any_renewal(
    broker: MemoryBroker, clock: Clock
) -> None:
    for number in range(1_000):
        clock.time += 10
        await broker.publish(said("a", f"room {number}"), Keep(10, 5))
    assert len(broker._rooms) < 10


async def test_a_dropped_room_goes_on_counting(broker: MemoryBroker, clock: Clock) -> None:
    keep = Keep(10, 5)
    first = await broker.publish(said("a"), keep)
    second = await broker.publish(said("b"), keep)
    clock.time += 10
    await broker.renew("n1", 10)
    assert not broker._rooms
    records, present, lost = await broker.since("r", after(first), 10)
    assert (list(records), present, lost) == ([], second, "expired")
    assert (await broker.since("r", after(second), 10))[2] == ""
    assert (await broker.since("r", Since(time=clock.time - 10), 10))[2] == "expired"
    third = await broker.publish(said("c"), keep)
    assert third is not None
    assert second is not None
    assert third == Position(3, second.epoch)
    assert not broker._remains


async def test_a_room_that_was_never_published_in_leaves_nothing(broker: MemoryBroker) -> None:
    await broker.subscribe("r")
    await broker.unsubscribe("r")
    await broker.renew("n1", 10)
    assert not broker._rooms
    assert not broker._remains


async def test_a_forgotten_room_begins_anew_under_another_epoch(
    broker: MemoryBroker, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "REMAINS", 10)
    keep = Keep(10, 5)
    before = await broker.publish(said("a", "forgotten"), keep)
    held = await broker.publish(said("a", "held"), Keep(10, 1e9))
    for number in range(10):
        await broker.publish(said("a", f"room {number}"), keep)
    clock.time += 10
    await broker.renew("n1", 10)
    assert len(broker._remains) <= 10
    assert (await broker.since("forgotten", after(before, "forgotten"), 10))[2] == "epoch"
    anew = await broker.publish(said("b", "forgotten"), keep)
    assert anew is not None
    assert before is not None
    assert anew.offset == 1
    assert anew.epoch != before.epoch
    again = await broker.publish(said("b", "held"), keep)
    assert again is not None
    assert held is not None
    assert again == Position(2, held.epoch)


async def test_the_node_of_this_process_outlives_its_lease(
    broker: MemoryBroker, clock: Clock
) -> None:
    broker.listen("n1", lambda question: None)
    await broker.enter("r", "n1", "ana", "m1", HOME, 10, KEEP)
    clock.time += 100
    assert list(await broker.list("r")) == ["ana"]


async def test_who_is_calling_is_alive(broker: MemoryBroker, clock: Clock) -> None:
    await broker.enter("r", "n1", "ana", "m1", HOME, 10, KEEP)
    clock.time += 100
    await broker.exit("s", "n1", "ana", "m1", KEEP)
    await broker.enter("s", "n1", "ana", "m1", HOME, 10, KEEP)
    assert list(await broker.list("r")) == ["ana"]


async def test_claims_that_ended_are_not_held(broker: MemoryBroker, clock: Clock) -> None:
    for number in range(100):
        await broker.claim("/a", str(number), "n1", "ana", 10)
    clock.time += 11
    for number in range(100):
        await broker.claim("/b", str(number), "n1", "ana", 10)
    assert len(broker._claims) == 100


async def test_a_claim_made_again_does_not_hold_up_those_that_ended(
    broker: MemoryBroker, clock: Clock
) -> None:
    for id in ("again", "1", "2"):
        await broker.claim("/a", id, "n1", "ana", 10)
    clock.time += 8
    await broker.claim("/a", "again", "n1", "ana", 10)
    clock.time += 8
    await broker.claim("/a", "new", "n1", "ana", 10)
    assert [id for _, id in broker._claims] == ["again", "new"]


async def test_a_node_that_does_not_listen_has_no_answer(broker: MemoryBroker) -> None:
    found = await broker.ask(None, NodesContract.question, 1.0)
    assert (list(found.values), list(found.missing)) == ([], [])
    found = await broker.ask(["n1"], NodesContract.question, 1.0)
    assert (list(found.values), list(found.missing)) == ([], ["n1"])


async def test_an_answer_that_is_cancelled_cancels_who_asks(broker: MemoryBroker) -> None:
    async def answer(question: object) -> object:
        raise asyncio.CancelledError

    broker.listen("n1", answer)
    with pytest.raises(asyncio.CancelledError):
        await broker.ask(None, NodesContract.question, 1.0)


async def test_the_last_n_are_publications_and_not_changes_of_presence() -> None:
    broker, keep = MemoryBroker(clock=lambda: 1000.0), Keep(size=10, seconds=60.0)
    await broker.start(lambda record: None)
    await broker.subscribe("r")
    await broker.publish(Record(room="r", event="said", body=Body.of(1)), keep)
    await broker.enter("r", "n1", "ana", "m1", b"{}", 60.0, keep)
    await broker.publish(Record(room="r", event="said", body=Body.of(2)), keep)
    await broker.exit("r", "n1", "ana", "m1", keep)
    records, position, lost = await broker.since("r", Since(last=2), 10)
    assert [record.body.values for record in records] == [(1,), (2,)]
    assert (position.offset, lost) == (4, "")


async def test_what_quiet_rooms_keep_is_bounded_by_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "QUIET", 8)
    broker, keep = MemoryBroker(clock=lambda: 1000.0), Keep(size=10, seconds=3600.0)
    await broker.start(lambda record: None)
    await broker.subscribe("heard")
    await broker.publish(Record(room="heard", event="said", body=Body.of(1)), keep)
    for number in range(100):
        await broker.publish(Record(room=f"r{number}", event="said", body=Body.of(1)), keep)
    kept = [name for name in broker._rooms if broker._rooms[name].records]
    assert len(kept) <= 10
    assert "heard" in kept
    past, position, lost = await broker.since(
        "r0", Since(positions={"r0": Position(0, broker._epoch)}), 10
    )
    assert (list(past), position.offset, lost) == ([], 1, "expired")
