"""Tests of anywire.core.clock."""

import asyncio
import logging
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.core import clock
from anywire.core.clock import Deadline, Deadlines


class Timer:
    """A timer of the loop below."""

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Loop:
    """Time that a test moves, and the timers that were set."""

    def __init__(self) -> None:
        self.time = 0.0
        self.timers: list[Timer] = []
        self.set = 0

    def now(self) -> float:
        return self.time

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(when, callback)
        self.timers.append(timer)
        self.set += 1
        return timer

    def standing(self) -> list[float]:
        return [timer.when for timer in self.timers if not timer.is_cancelled]

    def turn(self) -> None:
        """One turn of the loop: the timers that are due now."""
        due = [timer for timer in self.timers if timer.when <= self.time]
        self.timers = [timer for timer in self.timers if timer.when > self.time]
        for timer in due:
            if not timer.is_cancelled:
                timer.callback()

    def move(self, seconds: float) -> None:
        self.time += seconds
        self.turn()


class Bench:
    """Deadlines on such a loop, and what came."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.deadlines = Deadlines(self.loop.now, self.loop.call_at)
        self.came: list[str] = []

    def at(self, when: float, name: str) -> Deadline:
        return self.deadlines.at(when, lambda: self.came.append(name))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_deadline_comes_at_its_time_and_not_before(bench: Bench) -> None:
    deadline = bench.at(5, "a")
    bench.loop.move(4.9)
    assert bench.came == []
    assert deadline.is_pending
    bench.loop.move(0.1)
    assert bench.came == ["a"]
    assert not deadline.is_pending
    bench.loop.move(100)
    assert bench.came == ["a"]


def test_deadlines_come_in_the_order_of_their_times(bench: Bench) -> None:
    for when in (3, 1, 2):
        bench.at(when, str(when))
    bench.loop.move(10)
    assert bench.came == ["1", "2", "3"]


def test_deadlines_of_one_time_all_come(bench: Bench) -> None:
    for name in "abc":
        bench.at(1, name)
    bench.loop.move(1)
    assert sorted(bench.came) == ["a", "b", "c"]


def test_one_timer_stands_however_many_deadlines_there_are(bench: Bench) -> None:
    for when in (5, 9, 3, 7):
        bench.at(when, "x")
    assert bench.loop.standing() == [3]
    assert len(bench.deadlines) == 4
    bench.loop.move(3)
    assert bench.loop.standing() == [5]


def test_no_timer_stands_when_nothing_is_left(bench: Bench) -> None:
    bench.at(1, "a")
    bench.loop.move(1)
    assert bench.loop.standing() == []
    assert bench.deadlines._due == []


def test_callbacks_that_set_deadlines_set_one_timer_in_all(bench: Bench) -> None:
    def more() -> None:
        for when in (0.9, 0.8, 0.7, 9):
            bench.at(when, str(when))

    bench.deadlines.at(1, more)
    bench.loop.move(1)
    assert bench.loop.set == 2
    assert bench.loop.standing() == [0.7]


def test_a_deadline_in_the_past_comes_in_the_next_turn(bench: Bench) -> None:
    bench.loop.move(10)
    bench.at(5, "late")
    assert bench.came == []
    bench.loop.turn()
    assert bench.came == ["late"]


def test_a_cancelled_deadline_does_not_come(bench: Bench) -> None:
    deadline = bench.at(1, "a")
    bench.at(2, "b")
    bench.deadlines.cancel(deadline)
    assert len(bench.deadlines) == 1
    bench.loop.move(2)
    assert bench.came == ["b"]


def test_cancelling_what_is_over_does_nothing(bench: Bench) -> None:
    deadline = bench.at(1, "a")
    bench.loop.move(1)
    bench.deadlines.cancel(deadline)
    assert len(bench.deadlines) == 0
    other = bench.at(2, "b")
    bench.deadlines.cancel(other)
    bench.deadlines.cancel(other)
    assert len(bench.deadlines) == 0


def test_a_million_cancels_do_not_grow_the_heap(bench: Bench) -> None:
    for number in range(20_000):
        bench.deadlines.cancel(bench.at(1_000 + number, "x"))
    assert len(bench.deadlines._heap) < 100
    kept = bench.at(1, "kept")
    for number in range(20_000):
        bench.deadlines.cancel(bench.at(1_000 + number, "x"))
    assert len(bench.deadlines._heap) < 100
    assert kept.is_pending
    bench.loop.move(1)
    assert bench.came == ["kept"]


def test_a_deadline_moved_later_comes_later(bench: Bench) -> None:
    deadline = bench.at(5, "a")
    assert bench.deadlines.move(deadline, 8)
    bench.loop.move(5)
    assert bench.came == []
    assert bench.loop.standing() == [8]
    bench.loop.move(3)
    assert bench.came == ["a"]


def test_moving_later_touches_neither_heap_nor_timer(bench: Bench) -> None:
    beat = bench.at(35, "silent")
    for second in range(30):
        bench.deadlines.move(beat, second + 35)
    assert len(bench.deadlines._heap) == 1
    assert bench.loop.set == 1


def test_a_deadline_moved_earlier_comes_earlier_and_once(bench: Bench) -> None:
    deadline = bench.at(9, "a")
    assert bench.deadlines.move(deadline, 4)
    bench.loop.move(4)
    assert bench.came == ["a"]
    bench.loop.move(10)
    assert bench.came == ["a"]


def test_a_deadline_moved_to_and_fro_comes_once_at_its_last_time(bench: Bench) -> None:
    deadline = bench.at(9, "a")
    for when in (4, 9, 3, 12):
        bench.deadlines.move(deadline, when)
    bench.loop.move(11)
    assert bench.came == []
    assert len(bench.deadlines._heap) == 1
    bench.loop.move(1)
    bench.loop.move(20)
    assert bench.came == ["a"]


def test_moving_earlier_behind_another_leaves_the_timer(bench: Bench) -> None:
    bench.at(1, "first")
    deadline = bench.at(9, "a")
    bench.deadlines.move(deadline, 5)
    assert bench.loop.set == 1


def test_moving_to_and_fro_does_not_grow_the_heap(bench: Bench) -> None:
    deadline = bench.at(1_000, "a")
    for number in range(10_000):
        bench.deadlines.move(deadline, 999 - number / 100)
    assert len(bench.deadlines._heap) < 100
    bench.loop.move(1_000)
    assert bench.came == ["a"]


def test_what_is_over_cannot_be_moved(bench: Bench) -> None:
    deadline = bench.at(1, "a")
    bench.loop.move(1)
    assert not bench.deadlines.move(deadline, 5)
    bench.loop.move(10)
    assert bench.came == ["a"]


def test_a_callback_that_raises_is_logged_and_the_others_come(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("boom")

    bench.deadlines.at(1, fail)
    bench.at(2, "b")
    bench.at(3, "c")
    with caplog.at_level(logging.ERROR):
        bench.loop.move(2)
    assert "boom" in caplog.text
    bench.loop.move(1)
    assert bench.came == ["b", "c"]


def test_a_deadline_that_renews_itself_at_once_waits_for_the_next_turn(bench: Bench) -> None:
    def again() -> None:
        bench.came.append("again")
        bench.deadlines.at(bench.loop.now(), again)

    bench.deadlines.at(1, again)
    bench.loop.move(1)
    assert bench.came == ["again"]
    bench.loop.turn()
    assert bench.came == ["again", "again"]


def test_a_callback_may_cancel_what_is_due_with_it(bench: Bench) -> None:
    bench.deadlines.at(1, lambda: bench.deadlines.cancel(second))
    second = bench.at(2, "second")
    bench.loop.move(5)
    assert bench.came == []


def test_a_callback_may_move_what_is_due_with_it(bench: Bench) -> None:
    def move() -> None:
        bench.deadlines.move(later, 9)
        bench.deadlines.move(earlier, 0.5)

    bench.deadlines.at(1, move)
    later, earlier = bench.at(2, "later"), bench.at(2, "earlier")
    bench.loop.move(5)
    bench.loop.turn()
    assert bench.came == ["earlier"]
    bench.loop.move(4)
    assert bench.came == ["earlier", "later"]


def test_closing_drops_everything_and_the_timer(bench: Bench) -> None:
    deadline = bench.at(1, "a")
    bench.deadlines.close()
    assert not deadline.is_pending
    assert len(bench.deadlines) == 0
    assert bench.loop.standing() == []
    bench.loop.move(5)
    assert bench.came == []
    bench.deadlines.close()


def test_a_callback_may_close_and_what_is_due_with_it_does_not_come(bench: Bench) -> None:
    bench.deadlines.at(1, bench.deadlines.close)
    bench.at(2, "b")
    bench.at(9, "c")
    bench.loop.move(5)
    bench.loop.move(5)
    assert bench.came == []
    assert bench.loop.standing() == []


async def test_it_runs_on_the_real_loop() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(loop.time, loop.call_at)
    came = asyncio.Event()
    deadlines.at(loop.time(), came.set)
    async with asyncio.timeout(5):
        await came.wait()


def test_what_was_moved_later_survives_a_rebuild_of_the_heap(bench: Bench) -> None:
    deadline = bench.at(5, "a")
    bench.deadlines.move(deadline, 8)
    for number in range(200):
        bench.deadlines.cancel(bench.at(1_000 + number, "x"))
    bench.loop.move(7)
    assert bench.came == []
    bench.loop.move(1)
    assert bench.came == ["a"]


def test_a_rebuild_of_the_heap_keeps_the_order(bench: Bench) -> None:
    bench.deadlines.move(bench.at(1, "late"), 100)
    bench.at(10, "early")
    for number in range(200):
        bench.deadlines.cancel(bench.at(1_000 + number, "x"))
    bench.loop.move(10)
    assert bench.came == ["early"]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("at"), st.integers(0, 40)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("move"), st.integers(0, 30), st.integers(0, 40)),
        st.tuples(st.just("wait"), st.integers(0, 10)),
    ),
    max_size=100,
)


@given(steps)
def test_any_sequence_of_steps_agrees_with_a_plain_list(
    todo: list[tuple[str, int] | tuple[str, int, int]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "_SLACK", 2)  # so that the heap is rebuilt often
        agrees_with_a_plain_list(todo)


def agrees_with_a_plain_list(todo: list[tuple[str, int] | tuple[str, int, int]]) -> None:
    bench = Bench()
    deadlines: list[Deadline] = []
    model: dict[int, float] = {}
    expected: list[set[str]] = []
    seen: list[set[str]] = []
    for step in todo:
        match step:
            case ("at", delay):
                number = len(deadlines)
                deadlines.append(bench.at(bench.loop.time + delay, str(number)))
                model[number] = bench.loop.time + delay
            case ("cancel", number) if number < len(deadlines):
                bench.deadlines.cancel(deadlines[number])
                model.pop(number, None)
            case ("move", number, delay) if number < len(deadlines):
                moved = bench.deadlines.move(deadlines[number], bench.loop.time + delay)
                assert moved == (number in model)
                if moved:
                    model[number] = bench.loop.time + delay
            case ("wait", seconds):
                bench.loop.move(seconds)
                due = {number for number, when in model.items() if when <= bench.loop.time}
                for number in due:
                    del model[number]
                expected.append({str(number) for number in due})
                assert len(bench.came) == len(set(bench.came))
                seen.append(set(bench.came))
                bench.came.clear()
        assert len(bench.deadlines) == len(model)
    assert seen == expected
