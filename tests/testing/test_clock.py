"""The test clock: time that stands still until it is moved."""

from anywire import Anywire, Limits
from anywire.testing import Clock, connect, running
from anywire.testing.clock import settled


def test_callbacks_come_in_the_order_of_their_times_and_see_those_times() -> None:
    clock = Clock(now=100.0)
    seen: list[tuple[str, float]] = []
    clock.call_at(103.0, lambda: seen.append(("late", clock.now())))
    clock.call_at(101.0, lambda: seen.append(("early", clock.now())))
    clock.advance(10.0)
    assert seen == [("early", 101.0), ("late", 103.0)]
    assert clock.now() == 110.0


def test_nothing_happens_before_its_time_and_a_cancelled_timer_never() -> None:
    clock = Clock()
    seen: list[str] = []
    clock.call_at(clock.now() + 5, lambda: seen.append("five"))
    clock.call_at(clock.now() + 1, lambda: seen.append("one")).cancel()
    clock.advance(4.9)
    assert seen == []
    clock.advance(0.1)
    assert seen == ["five"]


def test_the_wall_moves_with_the_clock() -> None:
    clock = Clock(now=7.0, wall=1_800_000_000.0)
    clock.advance(60)
    assert clock.wall() == 1_800_000_060.0


def test_what_a_callback_sets_within_the_same_stretch_still_comes() -> None:
    clock = Clock(now=0.0)
    seen: list[float] = []

    def again() -> None:
        clock.call_at(2.0, lambda: seen.append(clock.now()))

    clock.call_at(1.0, again)
    clock.advance(5.0)
    assert seen == [2.0]


async def test_while_time_elapses_clients_are_probed_and_stay() -> None:
    app, clock = Anywire(limits=Limits(beat=10.0, beat_timeout=5.0)), Clock()
    app.channel("room")
    async with running(app, clock=clock), connect(app) as client:
        await client.join("room")
        await clock.elapse(1000.0)
        assert len(app.node.sessions) == 1
        clock.advance(1000.0)
        assert client.log[-1] != "S> closed 4410 nothing heard in time"
        await settled()
        assert client.log[-1] == "S> closed 4410 nothing heard in time"
