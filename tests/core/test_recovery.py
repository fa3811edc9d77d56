"""Tests of anywire.core.recovery."""

from collections import deque
from collections.abc import Sequence
from random import Random

import pytest

from anywire.body import NO_BODY
from anywire.core.recovery import Past, Recovery, is_caught_up, is_new, recover
from anywire.frames import Outcome, Position, Record, Since

EPOCH = "e1"


def at(offset: int, epoch: str = EPOCH) -> Position:
    return Position(offset, epoch)


def record(offset: int | None, epoch: str = EPOCH) -> Record:
    position = None if offset is None else at(offset, epoch)
    return Record(room="r", event="said", body=NO_BODY, position=position)


def records(*offsets: int) -> list[Record]:
    return [record(offset) for offset in offsets]


def since(offset: int, epoch: str = EPOCH) -> Since:
    return Since(positions={"r": at(offset, epoch)})


def offsets(recovery: Recovery) -> list[int | None]:
    return [None if heard.position is None else heard.position.offset for heard in recovery.records]


def test_a_member_without_a_position_begins_at_the_position_that_was_read() -> None:
    recovery = recover("r", None, ([], at(7), ""), records(6, 7, 8))
    assert recovery.outcome is Outcome.FRESH
    assert offsets(recovery) == [8]
    assert (recovery.start, recovery.end) == (at(7), at(8))


def test_a_position_in_another_room_asks_nothing_for_this_one() -> None:
    asked = Since(positions={"other": at(1)})
    assert recover("r", asked, ([], at(7), ""), []).outcome is Outcome.FRESH
    assert recover("r", asked, None, []).outcome is Outcome.FRESH


def test_what_was_missed_is_replayed_before_what_was_parked() -> None:
    recovery = recover("r", since(3), (records(4, 5), at(5), ""), records(6, 7))
    assert recovery.outcome is Outcome.RECOVERED
    assert recovery.reason == ""
    assert offsets(recovery) == [4, 5, 6, 7]
    assert recovery.end == at(7)


def test_a_record_that_was_both_parked_and_read_is_heard_once() -> None:
    recovery = recover("r", since(3), (records(4, 5), at(5), ""), records(4, 5, 6))
    assert offsets(recovery) == [4, 5, 6]


def test_with_an_empty_replay_what_the_client_has_already_is_dropped() -> None:
    recovery = recover("r", since(5), ([], at(5), ""), records(4, 5, 6))
    assert recovery.outcome is Outcome.RECOVERED
    assert offsets(recovery) == [6]


def test_the_answer_tells_where_the_client_stands_before_the_replay() -> None:
    recovery = recover("r", since(3), (records(4, 5), at(5), ""), records(6))
    assert (recovery.start, recovery.end) == (at(3), at(6))


def test_after_a_loss_the_client_stands_before_the_oldest_kept_record() -> None:
    recovery = recover("r", since(3), (records(8, 9), at(9), "expired"), [])
    assert recovery.outcome is Outcome.LOST
    assert recovery.reason == "expired"
    assert offsets(recovery) == [8, 9]
    assert (recovery.start, recovery.end) == (at(7), at(9))


def test_a_time_is_a_question_that_can_be_lost() -> None:
    asked = Since(time=100.0)
    assert recover("r", asked, ([], at(5), ""), []).outcome is Outcome.RECOVERED
    assert recover("r", asked, ([], at(5), "expired"), []).outcome is Outcome.LOST


def test_a_mark_that_nobody_can_translate_is_lost() -> None:
    asked = Since(mark=17)
    pasts: list[Past | None] = [([], at(5), ""), ([], at(5), "expired"), None]
    for past in pasts:
        recovery = recover("r", asked, past, [])
        assert (recovery.outcome, recovery.reason) == (Outcome.LOST, "off")
    recovery = recover("r", Since(last=2, mark=17), (records(4, 5), at(5), ""), [])
    assert (recovery.outcome, offsets(recovery)) == (Outcome.LOST, [4, 5])
    known = Since(positions={"r": at(5)}, mark=17)
    assert recover("r", known, ([], at(5), ""), []).outcome is Outcome.RECOVERED
    assert recover("r", known, ([], at(5), "expired"), []).reason == "expired"


def test_the_last_n_come_to_a_member_that_is_fresh() -> None:
    recovery = recover("r", Since(last=2), (records(4, 5), at(5), ""), [])
    assert recovery.outcome is Outcome.FRESH
    assert recovery.reason == ""
    assert offsets(recovery) == [4, 5]
    assert recovery.start == at(3)
    assert recover("r", Since(last=2), (records(4, 5), at(5), "limit"), []).reason == ""


def test_where_no_history_is_kept_a_position_is_lost_and_the_parked_is_heard() -> None:
    recovery = recover("r", since(3), None, [record(None), record(None)])
    assert recovery.outcome is Outcome.LOST
    assert recovery.reason == "off"
    assert len(recovery.records) == 2
    assert (recovery.start, recovery.end) == (None, None)


def test_records_without_a_number_are_kept_in_their_place() -> None:
    parked = [record(4), record(None), record(5), record(None)]
    recovery = recover("r", since(3), ([record(4)], at(4), ""), parked)
    assert offsets(recovery) == [4, None, 5, None]
    assert recovery.end == at(5)


def test_records_kept_without_a_position_do_not_move_the_start() -> None:
    assert recover("r", since(3), ([record(None)], at(3), ""), []).start == at(3)


def test_a_record_is_new_when_it_is_beyond_or_cannot_be_compared() -> None:
    assert not is_new(record(4), at(5))
    assert not is_new(record(5), at(5))
    assert is_new(record(6), at(5))
    assert is_new(record(None), at(5))
    assert is_new(record(1), None)
    assert is_new(record(1, "e2"), at(5))


def test_a_member_is_caught_up_once_the_node_has_delivered_as_far() -> None:
    assert is_caught_up(None, None)
    assert is_caught_up(None, at(0))
    assert not is_caught_up(None, at(5))
    assert not is_caught_up(at(4), at(5))
    assert not is_caught_up(at(9, "e0"), at(5))
    assert is_caught_up(at(5), at(5))
    assert is_caught_up(at(6), at(5))


class World:
    """A room with history, a slow bus to one node, and one client that joins with a position."""

    def __init__(self, random: Random, *, dedupe: bool = True, by_read: bool = True) -> None:
        self.top = random.randint(0, 3)
        self.has = random.randint(0, self.top)  # what the client heard before it was cut off
        self.heard: list[int] = []
        self.dedupe = dedupe
        self.by_read = by_read
        self.is_subscribed = random.random() < 0.5  # another member of the node may be here
        self.bus: deque[int] = deque()
        if self.is_subscribed:  # of what was published, the newest is still on its way
            self.bus.extend(range(self.top - random.randint(0, self.top) + 1, self.top + 1))
        self.delivered: Position | None = None
        self.parked: list[Record] | None = None
        self.past: tuple[Sequence[Record], Position, str] | None = None
        self.end: Position | None = None
        self.is_in_lane = False

    def publish(self) -> None:
        self.top += 1
        if self.is_subscribed:
            self.bus.append(self.top)

    def deliver(self) -> None:
        if not self.bus:
            return
        arrived = record(self.bus.popleft())
        self.delivered = arrived.position
        if self.is_in_lane:
            self.hear(arrived)
        elif self.end is not None:
            if is_new(arrived, self.end) or not self.dedupe:
                self.hear(arrived)
            self.is_in_lane = is_caught_up(self.delivered, self.end)
        elif self.parked is not None:
            self.parked.append(arrived)

    def hear(self, arrived: Record) -> None:
        assert arrived.position is not None
        self.heard.append(arrived.position.offset)

    def subscribe(self) -> None:
        self.is_subscribed = True
        self.parked = []

    def read(self) -> None:
        missed = [record(offset) for offset in range(self.has + 1, self.top + 1)]
        self.past = (missed, at(self.top), "")

    def unpark(self) -> None:
        assert self.past is not None
        assert self.parked is not None
        if not self.dedupe:
            for missed in (*self.past[0], *self.parked):
                self.hear(missed)
            self.end = self.past[1]
            return
        past = self.past
        if not self.by_read and not past[0]:  # the trap: nothing was replayed, so nothing is known
            past = ([], at(0), "")
        recovery = recover("r", since(self.has), past, self.parked)
        for missed in recovery.records:
            self.hear(missed)
        self.end = recovery.end
        self.is_in_lane = is_caught_up(self.delivered, self.end)

    def is_right(self) -> bool:
        return self.heard == list(range(self.has + 1, self.top + 1))


RIGHT = ("subscribe", "read", "unpark")
WRONG = ("read", "subscribe", "unpark")


def wrong_of(
    runs: int, order: tuple[str, ...], *, dedupe: bool = True, by_read: bool = True
) -> int:
    """How many of that many random interleavings gave the client anything but the sequence."""
    wrong = 0
    for seed in range(runs):
        random = Random(seed)
        world = World(random, dedupe=dedupe, by_read=by_read)
        steps = list(order)
        for _ in range(24):
            match random.randrange(4):
                case 0:
                    world.publish()
                case 1 | 2:
                    world.deliver()
                case _ if steps:
                    getattr(world, steps.pop(0))()
        for step in steps:
            getattr(world, step)()
        while world.bus:
            world.deliver()
        wrong += not world.is_right()
    return wrong


@pytest.mark.slow
def test_the_five_steps_give_exactly_the_sequence_in_every_interleaving() -> None:
    assert wrong_of(5_000, RIGHT) == 0


def test_reading_history_before_subscribing_fails_the_same_check() -> None:
    assert wrong_of(500, WRONG) > 50


def test_leaving_duplicates_in_fails_the_same_check() -> None:
    assert wrong_of(500, RIGHT, dedupe=False) > 50


def test_comparing_with_the_last_replayed_record_alone_fails_the_same_check() -> None:
    assert wrong_of(1_000, RIGHT, by_read=False) > 5
