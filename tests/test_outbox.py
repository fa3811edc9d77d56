"""Tests of anywire.outbox."""

from collections import Counter

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from anywire.outbox import Outbox
from anywire.payload import UNFRAMED, Framed, Payload, Policy


def entry(
    size: int = 10,
    *,
    counted: bool = True,
    volatile: bool = False,
    room: str | None = None,
    policy: Policy | None = None,
) -> Framed:
    payload = Payload(b"x" * size, counted=counted, volatile=volatile)
    payload.room = room
    payload.policy = policy
    return payload.framed(UNFRAMED)


def droppable(size: int = 10, room: str = "r") -> Framed:
    return entry(size, room=room, policy=Policy.DROP_OLDEST)


def plain(bound: int = 100) -> Outbox:
    return Outbox(bound=bound)


def keeping(bound: int = 100, kept_bytes: int = 1_000, kept_messages: int = 100) -> Outbox:
    return Outbox(bound=bound, kept_bytes=kept_bytes, kept_messages=kept_messages)


def test_entries_are_taken_in_the_order_they_were_put_and_never_copied() -> None:
    outbox = plain()
    entries = [entry() for _ in range(5)]
    for framed in entries:
        outbox.put(framed)
    assert outbox.waiting == 50
    taken = outbox.take(100)
    assert all(one is other for one, other in zip(taken, entries, strict=True))
    assert outbox.waiting == 0
    assert outbox.take(100) == []


def test_a_put_says_whether_the_ring_was_empty() -> None:
    outbox = plain()
    assert outbox.put(entry())
    assert not outbox.put(entry())
    outbox.take(100)
    assert outbox.put(entry())


def test_a_take_stays_within_its_limit_and_leaves_the_rest_in_order() -> None:
    outbox = plain()
    entries = [entry(30), entry(30), entry(30)]
    for framed in entries:
        outbox.put(framed)
    assert outbox.take(60) == entries[:2]
    assert outbox.waiting == 30
    assert outbox.take(60) == entries[2:]


def test_an_entry_larger_than_the_limit_is_taken_alone() -> None:
    outbox = plain()
    entries = [entry(50), entry(10)]
    for framed in entries:
        outbox.put(framed)
    assert outbox.take(20) == entries[:1]
    assert outbox.take(20) == entries[1:]


def test_past_the_bound_an_entry_without_policy_overflows() -> None:
    outbox = plain(bound=20)
    outbox.put(entry(10))
    outbox.put(entry(10))
    assert not outbox.is_overflown
    assert outbox.put(entry(1))  # its session is marked: nothing else would tell a blocked one
    assert outbox.is_overflown
    assert not outbox.put(entry(1))


def test_past_the_bound_the_policy_close_overflows() -> None:
    outbox = plain(bound=20)
    assert outbox.put(entry(21, room="r", policy=Policy.CLOSE))
    assert outbox.is_overflown


def test_a_droppable_entry_without_a_room_overflows() -> None:
    outbox = plain(bound=20)
    outbox.put(entry(21, policy=Policy.DROP_OLDEST))
    assert outbox.is_overflown


def test_past_the_bound_the_oldest_of_the_same_room_are_dropped() -> None:
    outbox = plain(bound=40)
    keep, first, other, second = entry(), droppable(), droppable(room="s"), droppable()
    for framed in (keep, first, other, second):
        outbox.put(framed)
    newest = droppable(15)
    assert not outbox.put(newest)
    assert outbox.take(100) == [keep, other, newest]
    assert outbox.lost() == {"r": 2}
    assert outbox.lost() == {}
    assert not outbox.is_overflown


def test_an_entry_of_the_room_that_has_no_policy_is_not_dropped() -> None:
    outbox = plain(bound=20)
    reply, publication = entry(15, room="r"), droppable(15)
    outbox.put(reply)
    outbox.put(publication)
    assert outbox.take(100) == [reply]
    assert outbox.lost() == {"r": 1}


def test_a_publication_larger_than_the_bound_drops_itself_and_marks_the_session() -> None:
    outbox = plain(bound=20)
    assert outbox.put(droppable(21))
    assert outbox.waiting == 0
    assert outbox.lost() == {"r": 1}


def test_losses_add_up_by_room_until_they_are_told() -> None:
    outbox = plain(bound=20)
    for room in ("r", "r", "s", "r"):
        outbox.put(droppable(20, room=room))
    assert outbox.lost() == {"r": 2, "s": 1}


def test_a_volatile_entry_is_dropped_while_the_transport_is_blocked() -> None:
    outbox = plain()
    outbox.is_blocked = True
    assert not outbox.put(entry(volatile=True))
    assert outbox.waiting == 0
    outbox.is_blocked = False
    assert outbox.put(entry(volatile=True))
    assert outbox.waiting == 10
    assert outbox.lost() == {}


def test_a_volatile_entry_is_dropped_past_the_bound_and_overflows_nothing() -> None:
    outbox = plain(bound=20)
    outbox.put(entry(20))
    assert not outbox.put(entry(volatile=True))
    assert not outbox.is_overflown
    assert outbox.waiting == 20


def test_a_volatile_entry_that_just_fits_overflows_nothing() -> None:
    outbox = plain(bound=20)
    outbox.put(entry(10))
    assert not outbox.put(entry(10, volatile=True))
    assert outbox.waiting == 20
    assert not outbox.is_overflown


def test_without_resume_nothing_is_counted_or_kept() -> None:
    outbox = plain()
    assert not outbox.keeps
    outbox.put(entry())
    outbox.take(100)
    assert (outbox.written, outbox.kept) == (0, 0)
    assert outbox.ack(0)
    assert not outbox.ack(1)


def test_what_is_written_is_kept_until_it_is_acknowledged() -> None:
    outbox = keeping()
    for _ in range(3):
        outbox.put(entry())
    outbox.take(100)
    assert (outbox.written, outbox.kept) == (3, 30)
    assert outbox.ack(2)
    assert (outbox.acked, outbox.kept) == (2, 10)


def test_an_entry_that_is_not_counted_has_no_number_and_is_not_kept() -> None:
    outbox = keeping()
    outbox.put(entry(counted=False))
    outbox.put(entry())
    outbox.take(100)
    assert (outbox.written, outbox.kept) == (1, 10)


@pytest.mark.parametrize("count", [0, 3])
def test_an_acknowledgement_that_cannot_be_is_refused(count: int) -> None:
    outbox = keeping()
    for _ in range(2):
        outbox.put(entry())
    outbox.take(100)
    assert outbox.ack(1)
    assert not outbox.ack(count)
    assert (outbox.acked, outbox.kept) == (1, 10)


def test_a_ring_that_is_cleared_has_lost_nothing_and_is_over_no_bound() -> None:
    outbox = plain(bound=15)
    for _ in range(2):
        outbox.put(droppable())
    outbox.put(entry())
    assert outbox.has_dropped and outbox.is_overflown
    outbox.clear()
    assert not outbox.has_dropped and not outbox.is_overflown


def test_what_waits_uncounted_can_be_taken_out() -> None:
    outbox = plain()
    entries = [entry(counted=number % 2 == 1) for number in range(5)]
    for framed in entries:
        outbox.put(framed)
    outbox.drop_uncounted()
    assert outbox.waiting == 20
    assert outbox.take(100) == [entries[1], entries[3]]
    outbox.put(entries[0])
    outbox.drop_uncounted()
    assert outbox.waiting == 0
    assert outbox.put(entries[1])  # the ring was empty


def test_a_rewind_puts_what_the_peer_lacks_before_what_waits() -> None:
    outbox = keeping()
    entries = [entry() for _ in range(4)]
    for framed in entries[:3]:
        outbox.put(framed)
    outbox.take(100)
    outbox.put(entries[3])
    outbox.is_blocked = True
    assert outbox.rewind(1)
    assert (outbox.acked, outbox.written, outbox.kept) == (1, 1, 0)
    assert not outbox.is_blocked
    assert outbox.waiting == 30
    assert outbox.take(100) == entries[1:]
    assert outbox.written == 4


def test_a_rewind_of_a_ring_that_wrote_nothing_changes_nothing() -> None:
    outbox = keeping()
    framed = entry()
    outbox.put(framed)
    assert outbox.rewind(0)
    assert outbox.take(100) == [framed]


def test_what_waits_again_may_be_acknowledged_before_it_is_written_again() -> None:
    outbox = keeping()
    entries = [entry() for _ in range(3)]
    for framed in entries:
        outbox.put(framed)
    outbox.take(100)
    assert outbox.rewind(1)
    assert outbox.ack(3)
    assert outbox.acked == 1  # all of it is repeated
    assert not outbox.ack(4)
    assert not outbox.rewind(3)
    assert outbox.take(100) == entries[1:]
    assert outbox.ack(3)
    assert (outbox.acked, outbox.kept) == (3, 0)
    outbox.put(entry())
    assert not outbox.ack(4)


def test_what_waits_again_is_not_dropped_as_its_peer_may_have_it_and_count_on() -> None:
    outbox = keeping(bound=20)
    again = [droppable() for _ in range(2)]
    for framed in again:
        outbox.put(framed)
    outbox.take(100)
    outbox.put(droppable())
    assert outbox.rewind(0)
    new = [droppable() for _ in range(2)]
    for framed in new:
        outbox.put(framed)
    assert outbox.lost() == {"r": 1}
    assert outbox.take(100) == [*again, *new]


def test_a_rewind_to_a_count_that_cannot_be_is_refused() -> None:
    outbox = keeping()
    for _ in range(2):
        outbox.put(entry())
    outbox.take(100)
    outbox.ack(1)
    assert not outbox.rewind(0)
    assert not outbox.rewind(3)
    assert outbox.waiting == 0


@pytest.mark.parametrize("outbox", [keeping(kept_messages=2), keeping(kept_bytes=20)])
def test_past_the_bound_of_what_is_kept_the_oldest_are_forgotten(outbox: Outbox) -> None:
    for _ in range(5):
        outbox.put(entry())
    outbox.take(100)
    assert (outbox.written, outbox.kept) == (5, 20)
    assert not outbox.is_overflown
    assert not outbox.rewind(2)
    assert outbox.ack(2)
    assert outbox.kept == 20
    assert outbox.ack(4)
    assert outbox.kept == 10
    assert outbox.rewind(4)
    assert outbox.waiting == 10


def test_an_entry_larger_than_all_that_may_be_kept_is_forgotten_at_once() -> None:
    outbox = keeping(kept_bytes=5)
    outbox.put(entry())
    outbox.take(100)
    assert outbox.kept == 0
    assert not outbox.rewind(0)
    assert outbox.rewind(1)


def test_what_waits_again_after_a_resume_does_not_overflow_the_ring() -> None:
    outbox = keeping(bound=100)
    for _ in range(3):
        for _ in range(10):
            outbox.put(entry())
        outbox.take(100)
    assert outbox.rewind(0)
    assert outbox.waiting == 300
    outbox.put(entry(100))
    assert not outbox.is_overflown
    outbox.take(250)
    outbox.put(entry(1))
    assert outbox.waiting == 151
    assert outbox.is_overflown


def test_the_bound_is_the_old_one_when_all_that_waited_again_is_written() -> None:
    outbox = keeping(bound=100)
    outbox.put(entry(90))
    outbox.take(100)
    outbox.rewind(0)
    outbox.take(1_000)
    outbox.put(entry(101))
    assert outbox.is_overflown


def test_forgetting_gives_up_what_was_written_and_keeps_what_was_not() -> None:
    outbox = keeping()
    for _ in range(3):
        outbox.put(entry())
    outbox.take(100)
    outbox.ack(1)
    waiting = entry()
    outbox.put(waiting)
    outbox.is_blocked = True
    assert outbox.forget() == 2
    assert (outbox.acked, outbox.written, outbox.kept) == (0, 0, 0)
    assert not outbox.is_blocked
    assert outbox.take(100) == [waiting]
    assert outbox.written == 1
    assert outbox.rewind(0)


def test_a_cleared_ring_holds_nothing_and_still_counts() -> None:
    outbox = keeping()
    for _ in range(2):
        outbox.put(entry())
    outbox.take(10)
    outbox.clear()
    assert (outbox.waiting, outbox.kept) == (0, 0)
    assert outbox.take(100) == []
    assert not outbox.rewind(0)
    outbox.put(entry())
    outbox.take(100)
    assert outbox.ack(2)
    assert outbox.kept == 0


def test_what_was_counted_includes_what_waits() -> None:
    outbox = keeping()
    assert outbox.counted == 0
    outbox.put(entry())
    outbox.put(entry(counted=False))
    outbox.put(entry())
    assert (outbox.counted, outbox.written) == (2, 0)
    outbox.take(10)
    assert (outbox.counted, outbox.written) == (2, 1)
    outbox.take(100)
    outbox.ack(1)
    assert (outbox.counted, outbox.written) == (2, 2)


def test_what_was_counted_includes_what_was_dropped() -> None:
    outbox = keeping(bound=20)
    for _ in range(5):
        outbox.put(droppable())
    outbox.put(entry(counted=False, room="r", policy=Policy.DROP_OLDEST))
    assert (outbox.counted, outbox.skipped, outbox.waiting) == (5, 4, 20)
    outbox.take(100)
    assert (outbox.counted, outbox.written) == (5, 1)


def test_what_is_said_again_does_not_count_against_the_bound() -> None:
    outbox = plain(bound=20)
    outbox.allow(30)
    for _ in range(5):
        outbox.put(droppable())
    assert (outbox.waiting, outbox.is_overflown, outbox.has_dropped) == (50, False, False)
    outbox.put(droppable())
    assert outbox.lost() == {"r": 1}
    outbox.take(30)
    outbox.put(droppable())
    assert outbox.lost() == {"r": 1}, "what was taken makes room for nothing more"


def test_the_tail_is_what_is_kept_and_what_waits() -> None:
    outbox = keeping()
    assert outbox.tail() == []
    entries = [entry() for _ in range(4)]
    beside = entry(counted=False)
    for framed in (entries[0], beside, entries[1], entries[2]):
        outbox.put(framed)
    outbox.take(30)
    outbox.put(entries[3])
    assert outbox.tail() == entries, "what was not counted, and is written, is not kept"
    outbox.ack(1)
    assert outbox.tail() == entries[1:]
    waits = entry(counted=False)
    outbox.put(waits)
    assert outbox.tail() == [*entries[1:], waits]
    outbox.clear()
    assert outbox.tail() == []


def test_the_tail_is_whole_until_something_was_forgotten_that_the_peer_may_lack() -> None:
    outbox = keeping(kept_messages=2)
    for number in range(1, 5):
        outbox.put(entry())
        outbox.take(10)
        assert outbox.is_whole is (number <= 2), number
    assert not outbox.ack(5)
    assert outbox.ack(1)
    assert not outbox.is_whole
    assert outbox.ack(2)
    assert outbox.is_whole, "it has what was forgotten"
    outbox.put(entry())
    outbox.take(10)
    assert not outbox.is_whole


def test_the_tail_of_a_ring_that_keeps_nothing_is_never_whole() -> None:
    outbox = plain()
    outbox.put(entry())
    outbox.take(10)
    assert not outbox.is_whole


class Ring(RuleBasedStateMachine):
    """The ring and its peer against plain lists: `waiting`, `kept`, and a wire that may be cut."""

    @initialize(
        bound=st.integers(10, 60), kept_bytes=st.integers(0, 80), kept_messages=st.integers(1, 8)
    )
    def begin(self, bound: int, kept_bytes: int, kept_messages: int) -> None:
        self.outbox = Outbox(bound=bound, kept_bytes=kept_bytes, kept_messages=kept_messages)
        self.bound = bound
        self.kept_bytes = kept_bytes
        self.kept_messages = kept_messages
        self.again = 0  # bytes in front that wait for a second time
        self.waiting: list[Framed] = []
        self.kept: list[Framed] = []
        self.written = self.acked = self.skipped = 0
        self.reached = 0  # the most that was written, before it waited for a second time
        self.losses: Counter[str] = Counter()
        self.is_overflown = False
        self.wire: list[Framed] = []
        self.number: dict[int, int] = {}  # by identity: the how-manieth put
        self.entries: list[Framed] = []
        self.received: list[int] = []  # by the peer, counted ones
        self.base = 0  # what the peer had received when the session began anew

    @rule(
        size=st.integers(1, 25),
        counted=st.booleans(),
        kind=st.sampled_from(["plain", "volatile", "close", "drop"]),
        room=st.sampled_from(["r", "s"]),
    )
    def put(self, size: int, counted: bool, kind: str, room: str) -> None:
        policy = {"close": Policy.CLOSE, "drop": Policy.DROP_OLDEST}.get(kind)
        framed = entry(
            size,
            counted=counted,
            volatile=kind == "volatile",
            room=room if policy else None,
            policy=policy,
        )
        self.number[id(framed)] = len(self.entries)
        self.entries.append(framed)
        was_clean = not self.waiting
        marked = self.outbox.put(framed)
        is_over = self.size(self.waiting) + size > self.bound + self.again
        if kind == "volatile" and (is_over or self.outbox.is_blocked):
            assert not marked
            return
        overflows = is_over and kind != "drop" and not self.is_overflown
        assert marked == (was_clean or overflows)
        self.waiting.append(framed)
        if is_over and kind == "drop":
            self.drop(room)
        elif is_over:
            self.is_overflown = True

    def drop(self, room: str) -> None:
        droppable = [
            framed
            for framed in self.waiting[max(0, self.reached - self.written) :]
            if framed.payload.room == room and framed.payload.policy
        ]
        while droppable and self.size(self.waiting) > self.bound + self.again:
            framed = droppable.pop(0)
            self.waiting.remove(framed)
            self.skipped += framed.payload.counted
            self.losses[room] += 1

    @rule(limit=st.integers(1, 100))
    def take(self, limit: int) -> None:
        taken: list[Framed] = []
        while self.waiting and (not taken or self.size([*taken, self.waiting[0]]) <= limit):
            taken.append(self.waiting.pop(0))
        assert self.outbox.take(limit) == taken
        self.again = max(0, self.again - self.size(taken)) if self.waiting else 0
        for framed in taken:
            if framed.payload.counted:
                self.written += 1
                self.kept.append(framed)
                while len(self.kept) > self.kept_messages or self.size(self.kept) > self.kept_bytes:
                    self.kept.pop(0)
        self.wire += taken

    @rule(count=st.integers(0, 5))
    def arrive(self, count: int) -> None:
        for framed in self.wire[:count]:
            if framed.payload.counted:
                self.received.append(self.number[id(framed)])
        del self.wire[:count]

    @property
    def count(self) -> int:
        """What the peer says it has."""
        return len(self.received) - self.base

    @rule()
    def acknowledge(self) -> None:
        assert self.outbox.ack(self.count)
        self.forget_until(self.count)

    @rule(wrong=st.integers(1, 3))
    def acknowledge_too_much(self, wrong: int) -> None:
        assert not self.outbox.ack(max(self.written, self.reached) + wrong)

    @precondition(lambda self: self.acked > 0)
    @rule()
    def go_back(self) -> None:
        assert not self.outbox.ack(self.acked - 1)
        assert not self.outbox.rewind(self.acked - 1)

    @rule(blocked=st.booleans())
    def block(self, blocked: bool) -> None:
        self.outbox.is_blocked = blocked

    @rule()
    def cut(self) -> None:
        """The connection is lost with what was on it; the client comes back and says its count."""
        self.wire.clear()
        if self.outbox.rewind(self.count):
            assert len(self.kept) >= self.written - self.count
            self.forget_until(self.count)
            self.reached = max(self.reached, self.written)
            self.again += self.size(self.kept)
            self.waiting[:0] = self.kept
            self.written = self.count
        else:
            assert len(self.kept) < self.written - self.count
            assert self.outbox.forget() == self.written - self.acked
            self.written = self.acked = self.reached = 0
            self.base = len(self.received)
        self.kept = []

    @rule()
    def tell_losses(self) -> None:
        assert self.outbox.lost() == dict(self.losses)
        self.losses.clear()

    def forget_until(self, count: int) -> None:
        self.acked = count
        del self.kept[: max(0, len(self.kept) - (self.written - count))]

    @staticmethod
    def size(entries: list[Framed]) -> int:
        return sum(framed.size for framed in entries)

    @invariant()
    def agrees_with_the_model(self) -> None:
        if not hasattr(self, "outbox"):
            return
        outbox = self.outbox
        assert outbox.waiting == self.size(self.waiting)
        assert outbox.kept == self.size(self.kept)
        assert (outbox.written, outbox.acked) == (self.written, self.acked)
        assert outbox.acked <= outbox.written
        assert outbox.is_overflown == self.is_overflown
        assert outbox.is_overflown or outbox.waiting <= self.bound + self.again
        assert outbox.tail() == [*self.kept, *self.waiting]
        waiting = sum(one.payload.counted for one in self.waiting)
        assert outbox.counted == self.written + self.skipped + waiting
        assert outbox.skipped == self.skipped
        assert outbox.is_whole is (len(self.kept) == self.written - self.acked)

    @invariant()
    def the_peer_hears_each_once_and_in_order(self) -> None:
        if hasattr(self, "outbox"):
            assert all(a < b for a, b in zip(self.received, self.received[1:], strict=False))


TestRing = Ring.TestCase
