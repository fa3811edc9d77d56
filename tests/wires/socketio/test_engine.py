"""Engine.IO, the server's end; transcripts have more."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.errors import ProtocolError
from anywire.frames import Beat, Bye
from anywire.payload import Message, Payload
from anywire.wires.base import Verdict
from anywire.wires.socketio.engine import PINGED, Engine, Heartbeat, Probe


def opened(interval: float = 25.0, timeout: float = 20.0) -> Engine:
    """One that stands since 100.0, its handshake taken."""
    engine = Engine(Heartbeat(interval, timeout))
    engine.open(100.0, sid="s.t", upgrades=(), limit=1000)
    engine.due()
    return engine


def texts(payloads: object) -> list[bytes]:
    assert isinstance(payloads, tuple | list)
    assert all(isinstance(one, Payload) and not one.counted for one in payloads)
    return [payload.data for payload in payloads]


# --- the handshake --------------------------------------------------------------------------------


def test_the_handshake_says_what_a_client_must_know() -> None:
    engine = Engine(Heartbeat(25.0, 20.0))
    engine.open(0.0, sid="s.t", upgrades=["websocket"], limit=65536)
    (packet,) = texts(engine.due())
    assert packet == (
        b'0{"sid":"s.t","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,'
        b'"maxPayload":65536}'
    )
    assert not engine.due(), "it is said once"


@pytest.mark.parametrize(
    ("interval", "timeout", "told"),
    [
        (0.3, 0.2, (300, 200)),
        (0.001, 0.0015, (1, 2)),
        (1.0, 0.5, (1000, 500)),
        (0.29, 90, (290, 90000)),
    ],
)
def test_times_are_told_in_milliseconds_also_below_one_second(
    interval: float, timeout: float, told: tuple[int, int]
) -> None:
    engine = Engine(Heartbeat(interval, timeout))
    engine.open(0.0, sid="s.t", upgrades=(), limit=1)
    (packet,) = texts(engine.due())
    handshake = json.loads(packet[1:])
    assert (handshake["pingInterval"], handshake["pingTimeout"]) == told
    assert all(isinstance(handshake[name], int) for name in ("pingInterval", "pingTimeout"))


def test_what_it_says_by_itself_keeps_its_order() -> None:
    engine = Engine(Heartbeat())
    engine.open(0.0, sid="s.t", upgrades=(), limit=1)
    engine.say(b"44/a,")
    engine.say(b"44/b,")
    assert [packet[:4] for packet in texts(engine.due())] == [b'0{"s', b"44/a", b"44/b"]
    engine.say(b"44/c,")
    assert texts(engine.due()) == [b"44/c,"]


# --- the heartbeat --------------------------------------------------------------------------------


def test_the_server_pings_and_a_pong_begins_the_next_interval() -> None:
    engine = opened()
    assert engine.deadline() == 125.0
    assert engine.tick(124.9) == ()
    assert engine.tick(125.0) == (Beat(is_own=True),)
    assert engine.deadline() == 145.0
    assert engine.control("3", 130.0) == (Beat(is_answer=True),)
    assert engine.deadline() == 155.0
    assert engine.tick(145.0) == ()
    assert engine.tick(155.0) == (Beat(is_own=True),)


def test_only_a_pong_shows_that_a_client_lives() -> None:
    engine = opened()
    engine.tick(125.0)
    engine.control("6", 126.0)
    engine.control("5", 127.0)
    assert engine.deadline() == 145.0
    assert engine.tick(144.9) == ()
    assert engine.tick(145.0) == (Bye(4410, "ping timeout"),)


def test_who_is_given_up_is_given_up_once() -> None:
    engine = opened()
    engine.tick(125.0)
    engine.tick(145.0)
    assert engine.deadline() is None
    assert engine.tick(1000.0) == ()
    assert engine.control("3", 1000.0) == (Beat(is_answer=True),)
    assert engine.deadline() is None, "a late pong wakes nobody"


def test_a_late_tick_pings_all_the_same_and_the_client_has_its_whole_time() -> None:
    engine = opened()
    assert engine.tick(500.0) == (Beat(is_own=True),)
    assert engine.deadline() == 520.0


def test_a_pong_that_nobody_asked_for_puts_off_the_ping() -> None:
    engine = opened()
    assert engine.control("3", 110.0) == (Beat(is_answer=True),)
    assert engine.deadline() == 135.0
    assert engine.control("3probe", 112.0) == (Beat(is_answer=True),)
    assert engine.deadline() == 137.0


def test_one_that_is_not_open_yet_has_no_deadline() -> None:
    engine = Engine(Heartbeat())
    assert engine.deadline() is None
    assert engine.tick(1000.0) == ()
    assert not engine.due()


def test_a_ping_is_one_digit_and_the_same_for_all() -> None:
    assert texts((PINGED,)) == [b"2"]


# --- packets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("packet", ["5", "6", "6x"])
def test_what_is_left_of_an_upgrade_means_nothing(packet: str) -> None:
    assert opened().control(packet, 101.0) == ()


@pytest.mark.parametrize(
    "packet", ["", "0", '0{"sid":"x"}', "2", "2probe", "7", "a", "\u0663", "-1"]
)
def test_what_no_client_sends_breaks_the_rules(packet: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        opened().control(packet, 101.0)
    assert caught.value.code == 4400


@given(st.text(max_size=5))
def test_any_control_packet_is_frames_or_a_protocol_error(packet: str) -> None:
    engine = opened()
    try:
        frames = engine.control(packet, 101.0)
    except ProtocolError:
        return
    assert all(isinstance(frame, Beat | Bye) for frame in frames)


# --- the end --------------------------------------------------------------------------------------


def test_a_server_that_closes_says_so() -> None:
    engine = opened()
    assert texts(engine.bye(Bye(1001, "the server stops"))) == [b"1"]
    assert not engine.is_left


def test_a_client_that_closes_is_told_nothing() -> None:
    engine = opened()
    assert engine.control("1", 101.0) == (Bye(1000),)
    assert engine.is_left
    assert engine.bye(Bye(1000)) == ()


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1009, 4400])
def test_a_client_that_broke_the_rules_is_told_nothing(code: int) -> None:
    assert opened().bye(Bye(code)) == ()


# --- the upgrade ----------------------------------------------------------------------------------


def said(probe: Probe, message: Message) -> tuple[list[bytes], Verdict]:
    payloads, verdict = probe.receive(message)
    return texts(payloads), verdict


def test_a_probe_is_answered_and_then_the_socket_may_take_over() -> None:
    probe = Probe()
    assert said(probe, "2probe") == ([b"3probe"], Verdict.WAIT)
    assert said(probe, "2probe") == ([b"3probe"], Verdict.WAIT)
    assert said(probe, "5") == ([], Verdict.SWAP)


@pytest.mark.parametrize(
    "message", ["5", "2", "2prob", "2probe ", "3probe", "4hi", "", "1", "55", b"2probe", b"5", b""]
)
def test_whoever_begins_otherwise_is_hung_up(message: Message) -> None:
    assert said(Probe(), message) == ([], Verdict.DROP)


@pytest.mark.parametrize("message", ["2", "4hi", "", "1", "5 ", b"5", b""])
def test_whoever_says_something_else_after_the_probe_is_hung_up(message: Message) -> None:
    probe = Probe()
    probe.receive("2probe")
    assert said(probe, message) == ([], Verdict.DROP)
