"""Statistics of pings."""

import pytest

from anywire.cli.pings import Pings


def test_no_ping_is_no_loss() -> None:
    assert Pings().summary() == {"sent": 0, "answered": 0, "loss": 0.0}


def test_each_ping_is_told_apart_and_timed() -> None:
    pings = Pings()
    first, second = pings.next(1.0), pings.next(2.0)
    assert first != second
    assert pings.heard(first, 1.5) == 0.5
    assert pings.heard(second, 2.25) == 0.25
    assert pings.summary() == {
        "sent": 2,
        "answered": 2,
        "loss": 0.0,
        "min": 0.25,
        "avg": 0.375,
        "max": 0.5,
    }


def test_a_ping_without_an_answer_is_lost() -> None:
    pings = Pings()
    first = pings.next(1.0)
    pings.next(2.0)
    pings.heard(first, 1.5)
    assert (pings.sent, pings.answered, pings.summary()["loss"]) == (2, 1, 0.5)


def test_a_pong_answers_the_pings_before_it_too() -> None:
    pings = Pings()
    pings.next(1.0)
    second = pings.next(2.0)
    assert pings.heard(second, 3.0) == 1.0
    assert pings.answered == 2
    assert pings.summary()["max"] == 2.0


@pytest.mark.parametrize("data", [b"", b"of somebody else"])
def test_a_pong_that_nobody_asked_for_counts_nothing(data: bytes) -> None:
    pings = Pings()
    pings.next(1.0)
    assert pings.heard(data, 2.0) is None
    assert pings.answered == 0


def test_a_second_pong_to_one_ping_counts_nothing() -> None:
    pings = Pings()
    data = pings.next(1.0)
    pings.heard(data, 2.0)
    assert pings.heard(data, 3.0) is None
    assert pings.answered == 1
