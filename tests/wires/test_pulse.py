"""The heartbeat's arithmetic."""

from anywire.frames import Beat
from anywire.wires.pulse import Pulse
from tests.wires.described import described

GONE = {"frame": "Bye", "code": 4410, "text": "nothing heard in time"}


def test_silence_is_asked_and_then_is_the_end() -> None:
    pulse = Pulse(25.0, 10.0)
    assert pulse.deadline() is None
    assert not pulse.tick(100.0)
    pulse.heard(100.0)
    assert pulse.deadline() == 125.0
    assert not pulse.tick(124.9)
    assert pulse.tick(125.0) == (Beat(),)
    assert pulse.deadline() == 135.0
    assert not pulse.tick(134.9)
    assert [described(frame) for frame in pulse.tick(135.0)] == [GONE]
    assert pulse.deadline() is None
    assert not pulse.tick(1000.0)


def test_whoever_is_heard_is_asked_later() -> None:
    pulse = Pulse(25.0, 10.0)
    pulse.heard(0.0)
    pulse.tick(25.0)
    pulse.heard(30.0)
    assert pulse.deadline() == 55.0
    assert pulse.tick(55.0) == (Beat(),)


def test_a_late_tick_asks_before_it_gives_up() -> None:
    pulse = Pulse(25.0, 10.0)
    pulse.heard(0.0)
    assert pulse.tick(500.0) == (Beat(),)
    assert pulse.deadline() == 510.0


def test_a_beat_of_nothing_never_asks() -> None:
    pulse = Pulse(0.0, 10.0)
    pulse.heard(0.0)
    assert pulse.deadline() is None
    assert not pulse.tick(1000.0)
