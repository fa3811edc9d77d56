"""Which of a client's messages have come already."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.errors import ProtocolError
from anywire.wires.signalr.counting import ACK_BYTES, ACK_EVERY, Received


def heard(count: int) -> Received:
    received = Received()
    assert all(received.is_new(10) for _ in range(count))
    return received


def gone_on(received: Received) -> Received:
    """What the machine of the next transport has."""
    following = Received()
    following.count = received.count
    return following


def test_messages_are_counted_from_one() -> None:
    received = heard(3)
    assert received.count == 3
    assert not received.is_waiting


def test_what_came_is_told_before_the_other_ends_buffer_is_full() -> None:
    assert ACK_BYTES + 64 * 1024 < 100_000, "with the largest message by default behind it"
    received = heard(ACK_EVERY - 1)
    assert received.is_untold and not received.is_due
    received.is_new(10)
    assert received.is_due
    assert received.tell() == ACK_EVERY
    assert not received.is_due and not received.is_untold
    received.is_new(ACK_BYTES)
    assert received.is_due
    received.tell()
    received.is_new(ACK_BYTES - 1)
    assert not received.is_due


def test_after_a_cut_nothing_counts_before_the_other_end_has_said_what_it_repeats() -> None:
    received = gone_on(heard(5))
    assert received.is_waiting
    assert not received.is_new(10)
    assert received.count == 5
    received.repeat_from(6)
    assert not received.is_waiting
    assert received.is_new(10)
    assert received.count == 6


def test_what_is_repeated_is_dropped_and_what_is_new_is_not() -> None:
    received = gone_on(heard(5))
    received.repeat_from(4)
    assert [received.is_new(10) for _ in range(4)] == [False, False, True, True]
    assert received.count == 7


def test_who_repeats_is_told_what_had_come() -> None:
    received = gone_on(heard(5))
    assert not received.is_untold
    received.repeat_from(4)
    assert received.is_untold, "it does not know that the others came"
    assert received.tell() == 5


@pytest.mark.parametrize("first", [0, 7, 100, 2**63])
def test_who_leaves_messages_out_breaks_the_rules(first: int) -> None:
    received = gone_on(heard(5))
    with pytest.raises(ProtocolError) as caught:
        received.repeat_from(first)
    assert caught.value.code == 4400


def test_who_says_so_in_the_middle_repeats_itself_and_hurts_nobody() -> None:
    received = heard(5)
    received.repeat_from(2)
    assert [received.is_new(10) for _ in range(5)] == [False] * 4 + [True]
    assert received.count == 6


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), max_size=6))
def test_each_message_counts_once_over_one_cut_after_another(
    rounds: list[tuple[int, int]],
) -> None:
    """The official client's buffer: it repeats from its first message that was not acknowledged."""
    received, said, acked = Received(), 0, 0
    taken: list[int] = []
    for more, lost in rounds:
        arriving = range(said + 1, said + more - lost + 1)
        taken += [number for number in arriving if received.is_new(10)]
        said += more
        if received.is_due:
            acked = received.tell()
        received = gone_on(received)
        received.repeat_from(acked + 1)
        taken += [number for number in range(acked + 1, said + 1) if received.is_new(10)]
    assert taken == list(range(1, said + 1))
