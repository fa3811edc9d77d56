"""What every broker, history, directory and set of nodes must do; run by each backend's own tests.

A backend's test module subclasses the classes here and brings two fixtures: `broker`, fresh and not
started, closed by the fixture; and `elapse(seconds)`, which lets that much of the backend's time
pass. Nothing here assumes that a record is delivered before `publish` returns: what was delivered
is awaited, and that something was not is seen by what comes next in the same room.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
import pytest

from anywire.body import Body
from anywire.brokers.base import Ask, Broker, Directory, Found, History, Keep, Nodes, Question
from anywire.errors import Refused
from anywire.frames import Position, Record, Since, pack_record

KEEP = Keep(size=100, seconds=60)
SECONDS = 5.0
"""What a delivery may take before a test gives up."""

Elapse = Callable[[float], Awaitable[None]]


class Backend(Broker, History, Directory, Nodes, Protocol):
    """All of it."""


class Heard:
    """What one node was delivered, to be awaited."""

    def __init__(self) -> None:
        self._records: asyncio.Queue[Record] = asyncio.Queue()

    def __call__(self, record: Record) -> None:
        self._records.put_nowait(record)

    async def next(self) -> Record:
        async with asyncio.timeout(SECONDS):
            return await self._records.get()

    async def take(self, count: int) -> list[Record]:
        return [await self.next() for _ in range(count)]

    async def words(self, count: int) -> list[object]:
        return [record.body.one_value for record in await self.take(count)]


async def started(broker: Broker, *rooms: str) -> Heard:
    """What is delivered from now on in these rooms."""
    heard = Heard()
    await broker.start(heard)
    for room in rooms:
        await broker.subscribe(room)
    return heard


def said(word: object, room: str = "r", id: str | None = None) -> Record:
    return Record(room=room, event="said", body=Body.of(word), id=id)


def words(records: Sequence[Record]) -> list[object]:
    return [record.body.one_value for record in records]


def offset(position: Position | None) -> int:
    assert position is not None
    return position.offset


def after(position: Position | None, room: str = "r") -> Since:
    assert position is not None
    return Since(positions={room: position})


def without_place(record: Record) -> bytes:
    return pack_record(msgspec.structs.replace(record, position=None, time=0.0))


class BrokerContract:
    """Numbering and carrying."""

    async def test_what_is_published_is_delivered_in_order(self, broker: Backend) -> None:
        heard = await started(broker, "r")
        for number in range(20):
            await broker.publish(said(number), None)
        assert await heard.words(20) == list(range(20))

    async def test_order_holds_between_kept_and_unkept_records(self, broker: Backend) -> None:
        heard = await started(broker, "r")
        for number in range(20):
            await broker.publish(said(number), KEEP if number % 2 else None)
        assert await heard.words(20) == list(range(20))

    async def test_without_keep_there_is_no_number(self, broker: Backend) -> None:
        heard = await started(broker, "r")
        assert await broker.publish(said("a"), None) is None
        assert (await heard.next()).position is None

    async def test_kept_records_count_from_one_within_an_epoch(self, broker: Backend) -> None:
        heard = await started(broker, "r")
        positions = [await broker.publish(said(number), KEEP) for number in range(3)]
        assert [offset(position) for position in positions] == [1, 2, 3]
        assert len({position.epoch for position in positions if position}) == 1
        assert [record.position for record in await heard.take(3)] == positions

    async def test_a_position_that_a_record_brought_along_is_not_kept(
        self, broker: Backend
    ) -> None:
        heard = await started(broker, "r")
        brought = msgspec.structs.replace(said("a"), time=5.0, position=Position(7, "x"))
        await broker.publish(brought, None)
        position = await broker.publish(brought, KEEP)
        assert [record.position for record in await heard.take(2)] == [None, position]
        assert offset(position) == 1

    async def test_rooms_count_apart(self, broker: Backend) -> None:
        await started(broker)
        assert offset(await broker.publish(said("a", "r"), KEEP)) == 1
        assert offset(await broker.publish(said("b", "s"), KEEP)) == 1
        assert offset(await broker.publish(said("c", "r"), KEEP)) == 2

    async def test_unkept_records_take_no_number(self, broker: Backend) -> None:
        await started(broker, "r")
        await broker.publish(said("a"), KEEP)
        await broker.publish(said("b"), None)
        assert offset(await broker.publish(said("c"), KEEP)) == 2

    async def test_what_was_published_before_the_subscription_is_not_delivered(
        self, broker: Backend
    ) -> None:
        heard = await started(broker)
        await broker.publish(said("before"), KEEP)
        await broker.subscribe("r")
        await broker.publish(said("after"), KEEP)
        assert (await heard.next()).body.one_value == "after"

    async def test_nothing_is_delivered_between_unsubscribe_and_subscribe(
        self, broker: Backend
    ) -> None:
        heard = await started(broker, "r")
        await broker.publish(said("a"), None)
        assert await heard.words(1) == ["a"]
        await broker.unsubscribe("r")
        await broker.publish(said("b"), None)
        await broker.subscribe("r")
        await broker.publish(said("c"), None)
        assert await heard.words(1) == ["c"]

    async def test_other_rooms_are_not_delivered(self, broker: Backend) -> None:
        heard = await started(broker, "r")
        for room in ("s", "r:s", "r*", "", "R"):
            await broker.publish(said("other", room), KEEP)
        await broker.publish(said("mine"), None)
        assert (await heard.next()).room == "r"

    async def test_a_second_subscription_doubles_nothing(self, broker: Backend) -> None:
        heard = await started(broker, "r", "r")
        await broker.publish(said("a"), None)
        await broker.publish(said("b"), None)
        assert await heard.words(2) == ["a", "b"]
        await broker.unsubscribe("r")
        await broker.publish(said("c"), None)
        await broker.subscribe("r")
        await broker.publish(said("d"), None)
        assert await heard.words(1) == ["d"]

    async def test_unsubscribing_what_was_not_subscribed_is_harmless(self, broker: Backend) -> None:
        heard = await started(broker, "r")
        await broker.unsubscribe("s")
        await broker.publish(said("a"), None)
        assert await heard.words(1) == ["a"]

    @pytest.mark.parametrize(
        "room", ["user:bob", "chat:staff", "../", "", "x" * 300, "a\x00b", "é"]
    )
    async def test_a_room_may_have_any_name(self, broker: Backend, room: str) -> None:
        heard = await started(broker, room)
        await broker.publish(said("a", room), KEEP)
        assert (await heard.next()).room == room
        records, position, _ = await broker.since(room, Since(last=5), 10)
        assert (words(records), position.offset) == (["a"], 1)

    @pytest.mark.parametrize("keep", [None, KEEP])
    async def test_a_record_arrives_and_is_kept_with_all_its_fields(
        self, broker: Backend, keep: Keep | None
    ) -> None:
        heard = await started(broker, "r")
        record = Record(
            room="r",
            event="said",
            body=Body.of({"name": "a.png", "data": b"\x89P\x00"}, "é", 1, names=("a", "b", "c")),
            id="order-17",
            but=("n1.s.1", "other room"),
            trace="00-1-2-01",
            volatile=True,
            key="price",
            ref=7,
            origin="n1",
            extra={"newer": {"field": [1, b"\x00"]}},
        )
        packed = pack_record(record)
        await broker.publish(record, keep)
        arrived = await heard.next()
        assert without_place(arrived) == packed
        assert arrived.body.values == ({"name": "a.png", "data": b"\x89P\x00"}, "é", 1)
        if keep is not None:
            (kept,), _, _ = await broker.since("r", Since(last=1), 10)
            assert without_place(kept) == packed
            assert (kept.position, kept.time) == (arrived.position, arrived.time)

    async def test_the_publishers_own_record_stays_as_it_was(self, broker: Backend) -> None:
        await started(broker, "r")
        record = said("a")
        first, second = await broker.publish(record, KEEP), await broker.publish(record, KEEP)
        assert (offset(first), offset(second)) == (1, 2)
        assert (record.position, record.time) == (None, 0.0)

    async def test_a_time_is_given_unless_the_record_has_one(self, broker: Backend) -> None:
        heard = await started(broker, "r")
        await broker.publish(said("a"), None)
        await broker.publish(msgspec.structs.replace(said("b"), time=12.5), None)
        first, second = await heard.take(2)
        assert first.time > 0
        assert second.time == 12.5

    @pytest.mark.parametrize("keep", [None, KEEP])
    async def test_an_id_is_published_once_and_its_first_position_returned(
        self, broker: Backend, keep: Keep | None
    ) -> None:
        heard = await started(broker, "r")
        first = await broker.publish(said("a", id="1"), keep)
        assert await broker.publish(said("again", id="1"), keep) == first
        await broker.publish(said("b", id="2"), keep)
        assert await heard.words(2) == ["a", "b"]

    async def test_one_id_in_two_rooms_is_two_records(self, broker: Backend) -> None:
        heard = await started(broker, "r", "s")
        await broker.publish(said("a", "r", id="1"), None)
        await broker.publish(said("b", "s", id="1"), None)
        assert sorted(await heard.words(2), key=str) == ["a", "b"]

    async def test_one_id_published_at_once_many_times_is_carried_once(
        self, broker: Backend
    ) -> None:
        heard = await started(broker, "r")
        positions = await asyncio.gather(
            *(broker.publish(said(number, id="1"), KEEP) for number in range(20))
        )
        assert {offset(position) for position in positions} == {1}
        await broker.publish(said("end"), KEEP)
        assert (await heard.words(2))[1] == "end"

    async def test_concurrent_publishers_leave_no_gap_and_deliver_in_the_order_of_offsets(
        self, broker: Backend
    ) -> None:
        rooms = ("r", "s", "t")
        heard = await started(broker, *rooms)

        async def publisher(name: int) -> None:
            for number in range(10):
                for room in rooms:
                    await broker.publish(said(f"{name}.{number}", room), KEEP)
                    await asyncio.sleep(0)

        await asyncio.gather(*(publisher(name) for name in range(10)))
        arrived = await heard.take(300)
        for room in rooms:
            here = [record for record in arrived if record.room == room]
            assert [offset(record.position) for record in here] == list(range(1, 101))
            kept, position, lost = await broker.since(room, Since(last=100), 100)
            assert words(kept) == words(here)
            assert (position.offset, lost) == (100, "")


class HistoryContract:
    """What was published, since a point."""

    async def test_a_room_nobody_published_in_stands_before_everything(
        self, broker: Backend
    ) -> None:
        await started(broker, "r")
        records, position, lost = await broker.since("r", Since(), 10)
        assert (list(records), position.offset, lost) == ([], 0, "")
        await broker.publish(said("a"), KEEP)
        records, _, lost = await broker.since("r", after(position), 10)
        assert (words(records), lost) == (["a"], "")

    async def test_a_question_that_asks_nothing_gets_the_present_position(
        self, broker: Backend
    ) -> None:
        await started(broker)
        position = await broker.publish(said("a"), KEEP)
        elsewhere = Since(positions={"s": Position(0, "x")})
        for since in (Since(), elsewhere):
            records, present, lost = await broker.since("r", since, 10)
            assert (list(records), present, lost) == ([], position, "")

    async def test_what_came_after_a_position_is_told_oldest_first(self, broker: Backend) -> None:
        await started(broker)
        positions = [await broker.publish(said(number), KEEP) for number in range(5)]
        records, present, lost = await broker.since("r", after(positions[1]), 10)
        assert (words(records), present, lost) == ([2, 3, 4], positions[4], "")
        assert [record.position for record in records] == positions[2:]

    async def test_at_the_present_position_nothing_is_missing(self, broker: Backend) -> None:
        await started(broker)
        position = await broker.publish(said("a"), KEEP)
        records, present, lost = await broker.since("r", after(position), 10)
        assert (list(records), present, lost) == ([], position, "")

    async def test_unkept_records_are_not_history(self, broker: Backend) -> None:
        await started(broker, "r")
        position = await broker.publish(said("a"), KEEP)
        await broker.publish(said("b"), None)
        await broker.publish(said("c"), KEEP)
        records, _, lost = await broker.since("r", after(position), 10)
        assert (words(records), lost) == (["c"], "")

    async def test_past_the_size_that_is_kept_the_oldest_are_lost(self, broker: Backend) -> None:
        await started(broker)
        keep = Keep(size=3, seconds=60)
        positions = [await broker.publish(said(number), keep) for number in range(6)]
        records, present, lost = await broker.since("r", after(positions[1]), 10)
        assert (words(records), present, lost) == ([3, 4, 5], positions[5], "expired")
        records, _, lost = await broker.since("r", after(positions[2]), 10)
        assert (words(records), lost) == ([3, 4, 5], "")

    async def test_past_their_time_records_are_lost_and_numbers_go_on(
        self, broker: Backend, elapse: Elapse
    ) -> None:
        await started(broker)
        keep = Keep(size=100, seconds=10)
        first = await broker.publish(said("a"), keep)
        second = await broker.publish(said("b"), keep)
        await elapse(11)
        third = await broker.publish(said("c"), keep)
        assert offset(third) == 3
        records, present, lost = await broker.since("r", after(first), 10)
        assert (words(records), present, lost) == (["c"], third, "expired")
        records, _, lost = await broker.since("r", after(second), 10)
        assert (words(records), lost) == (["c"], "")

    async def test_a_room_whose_past_is_gone_still_knows_its_position(
        self, broker: Backend, elapse: Elapse
    ) -> None:
        await started(broker)
        keep = Keep(size=100, seconds=10)
        first = await broker.publish(said("a"), keep)
        second = await broker.publish(said("b"), keep)
        await elapse(11)
        records, present, lost = await broker.since("r", after(second), 10)
        assert (list(records), present, lost) == ([], second, "")
        records, present, lost = await broker.since("r", after(first), 10)
        assert (list(records), present, lost) == ([], second, "expired")

    async def test_with_no_room_to_keep_there_are_numbers_and_no_past(
        self, broker: Backend
    ) -> None:
        await started(broker)
        keep = Keep(size=0, seconds=60)
        first = await broker.publish(said("a"), keep)
        second = await broker.publish(said("b"), keep)
        records, present, lost = await broker.since("r", after(first), 10)
        assert (list(records), present, lost) == ([], second, "expired")

    async def test_a_position_of_another_epoch_is_lost(self, broker: Backend) -> None:
        await started(broker)
        position = await broker.publish(said("a"), KEEP)
        records, present, lost = await broker.since("r", after(Position(1, "another")), 10)
        assert (words(records), present, lost) == (["a"], position, "epoch")

    async def test_a_position_that_was_never_reached_is_lost(self, broker: Backend) -> None:
        await started(broker)
        position = await broker.publish(said("a"), KEEP)
        assert position is not None
        for wrong in (2, -1):
            records, _, lost = await broker.since("r", after(Position(wrong, position.epoch)), 10)
            assert (words(records), lost) == (["a"], "epoch")

    async def test_past_the_limit_the_newest_are_told(self, broker: Backend) -> None:
        await started(broker)
        positions = [await broker.publish(said(number), KEEP) for number in range(6)]
        records, present, lost = await broker.since("r", after(positions[0]), 3)
        assert (words(records), present, lost) == ([3, 4, 5], positions[5], "limit")
        records, _, lost = await broker.since("r", after(positions[2]), 3)
        assert (words(records), lost) == ([3, 4, 5], "")
        records, _, lost = await broker.since("r", after(positions[0]), 0)
        assert (list(records), lost) == ([], "limit")

    async def test_another_epoch_is_the_reason_even_past_the_limit(self, broker: Backend) -> None:
        await started(broker)
        for number in range(6):
            await broker.publish(said(number), KEEP)
        records, _, lost = await broker.since("r", after(Position(1, "another")), 2)
        assert (words(records), lost) == ([4, 5], "epoch")

    async def test_the_last_n_are_as_many_as_there_are_up_to_the_limit(
        self, broker: Backend
    ) -> None:
        await started(broker)
        for number in range(5):
            await broker.publish(said(number), KEEP)
        for last, limit, expected in ((2, 10, [3, 4]), (9, 10, [0, 1, 2, 3, 4]), (9, 1, [4])):
            records, _, lost = await broker.since("r", Since(last=last), limit)
            assert (words(records), lost) == (expected, "")
        records, _, _ = await broker.since("r", Since(last=0), 10)
        assert list(records) == []

    async def test_a_time_tells_what_was_published_at_it_or_later(self, broker: Backend) -> None:
        await started(broker)
        for number in range(4):
            await broker.publish(msgspec.structs.replace(said(number), time=100.0 + number), KEEP)
        for time, expected in ((50.0, [0, 1, 2, 3]), (102.0, [2, 3]), (102.5, [3]), (200.0, [])):
            records, _, lost = await broker.since("r", Since(time=time), 10)
            assert (words(records), lost) == (expected, "")
        records, _, lost = await broker.since("r", Since(time=101.0), 2)
        assert (words(records), lost) == ([2, 3], "limit")

    async def test_a_time_before_what_is_kept_is_lost(self, broker: Backend) -> None:
        await started(broker)
        keep = Keep(size=2, seconds=60)
        for number in range(4):
            await broker.publish(msgspec.structs.replace(said(number), time=100.0 + number), keep)
        records, _, lost = await broker.since("r", Since(time=101.0), 10)
        assert (words(records), lost) == ([2, 3], "expired")
        records, _, lost = await broker.since("r", Since(time=101.5), 10)
        assert (words(records), lost) == ([2, 3], "")

    async def test_records_and_position_are_read_at_one_moment(self, broker: Backend) -> None:
        await started(broker, "r")
        begin = await broker.publish(said(0), KEEP)

        async def publish() -> None:
            for number in range(30):
                await broker.publish(said(number), KEEP)
                await asyncio.sleep(0)

        async def read() -> None:
            for _ in range(30):
                records, present, lost = await broker.since("r", after(begin), 100)
                assert [offset(record.position) for record in records] == list(
                    range(2, present.offset + 1)
                )
                assert lost == ""
                await asyncio.sleep(0)

        await asyncio.gather(publish(), read(), publish(), read())

    async def test_what_is_delivered_or_answered_is_in_history_already(
        self, broker: Backend
    ) -> None:
        heard = await started(broker, "r")
        for number in range(10):
            position = await broker.publish(said(number), KEEP)
            records, _, _ = await broker.since("r", Since(last=1), 1)
            assert records[0].position == position
            assert (await heard.next()).position == position


class DirectoryContract:
    """Who owns a session."""

    async def test_an_unknown_id_has_no_owner(self, broker: Backend) -> None:
        assert await broker.owner("/a", "1") is None
        await broker.release("/a", "1")

    async def test_who_claims_first_owns_until_it_lets_go(self, broker: Backend) -> None:
        assert await broker.claim("/a", "1", "n1", "ana", 10) == "n1"
        assert await broker.claim("/a", "1", "n2", "ana", 10) == "n1"
        assert await broker.owner("/a", "1") == "n1"
        await broker.release("/a", "1")
        assert await broker.owner("/a", "1") is None
        assert await broker.claim("/a", "1", "n2", "ana", 10) == "n2"

    async def test_the_same_id_under_two_mounts_is_two_sessions(self, broker: Backend) -> None:
        assert await broker.claim("/a", "1", "n1", "ana", 10) == "n1"
        assert await broker.claim("/b", "1", "n2", "bo", 10) == "n2"

    async def test_another_identity_is_refused(self, broker: Backend) -> None:
        await broker.claim("/a", "1", "n1", "ana", 10)
        for owner in ("n1", "n2"):
            with pytest.raises(Refused):
                await broker.claim("/a", "1", owner, "bo", 10)
        assert await broker.owner("/a", "1") == "n1"

    async def test_of_a_hundred_racing_claims_one_wins(self, broker: Backend) -> None:
        owners = await asyncio.gather(
            *(broker.claim("/a", "1", f"n{number}", "ana", 10) for number in range(100))
        )
        assert len(set(owners)) == 1
        assert await broker.owner("/a", "1") == owners[0]

    async def test_a_claim_ends_with_its_lease(self, broker: Backend, elapse: Elapse) -> None:
        await broker.claim("/a", "1", "n1", "ana", 10)
        await elapse(11)
        assert await broker.owner("/a", "1") is None
        assert await broker.claim("/a", "1", "n2", "bo", 10) == "n2"

    async def test_the_owners_claim_again_extends_its_lease_and_anothers_does_not(
        self, broker: Backend, elapse: Elapse
    ) -> None:
        await broker.claim("/a", "1", "n1", "ana", 10)
        await elapse(8)
        await broker.claim("/a", "1", "n1", "ana", 10)
        await elapse(8)
        assert await broker.claim("/a", "1", "n2", "ana", 10) == "n1"
        await elapse(4)
        assert await broker.owner("/a", "1") is None


class NodesContract:
    """Questions to nodes; the backend under test is the only node."""

    question = Question(ask=Ask.COUNT, room="r")

    async def test_who_listens_is_asked(self, broker: Backend) -> None:
        asked: list[Question] = []

        def answer(question: Question) -> object:
            asked.append(question)
            return 3

        broker.listen("n1", answer)
        await started(broker)
        for nodes in (None, ["n1"]):
            assert self.parts(await broker.ask(nodes, self.question, SECONDS)) == ([3], [])
        assert [(question.ask, question.room) for question in asked] == [(Ask.COUNT, "r")] * 2

    async def test_an_answer_may_be_awaited(self, broker: Backend) -> None:
        async def answer(question: Question) -> object:
            await asyncio.sleep(0)
            return [question.room, None, True]

        broker.listen("n1", answer)
        await started(broker)
        found = await broker.ask(None, self.question, SECONDS)
        assert self.parts(found) == ([["r", None, True]], [])

    async def test_a_node_that_is_not_there_is_missing(self, broker: Backend) -> None:
        broker.listen("n1", lambda question: 3)
        await started(broker)
        found = await broker.ask(["n1", "n2"], self.question, 0.05)
        assert self.parts(found) == ([3], ["n2"])
        assert self.parts(await broker.ask(["n2"], self.question, 0.05)) == ([], ["n2"])
        assert self.parts(await broker.ask([], self.question, 0.05)) == ([], [])

    async def test_a_node_that_does_not_answer_in_time_is_missing(self, broker: Backend) -> None:
        async def answer(question: Question) -> object:
            await asyncio.Event().wait()
            return None

        broker.listen("n1", answer)
        await started(broker)
        assert self.parts(await broker.ask(None, self.question, 0.01)) == ([], ["n1"])

    async def test_a_node_whose_answer_fails_is_missing(self, broker: Backend) -> None:
        def answer(question: Question) -> object:
            raise RuntimeError("boom")

        broker.listen("n1", answer)
        await started(broker)
        assert self.parts(await broker.ask(None, self.question, 0.05)) == ([], ["n1"])

    @staticmethod
    def parts(found: Found) -> tuple[list[object], list[str]]:
        return list(found.values), list(found.missing)
