"""The server's end; transcripts have more."""

import pytest

from anywire.body import Args, Body
from anywire.errors import ProtocolError
from anywire.frames import Beat, Bye, Event, Frame, Join, Welcome
from anywire.limits import Limits
from anywire.payload import Payload
from anywire.wires.nameless import join_at
from anywire.wires.pulse import Pulse
from anywire.wires.sockjs.machine import SockJsMachine


def machine(*, heartbeat: float = 25.0, limits: Limits | None = None) -> SockJsMachine:
    """That of a session on requests, which stands."""
    made = SockJsMachine(join_at("echo", {}), limits or Limits(), heartbeat)
    made.opened(0.0)
    return made


def socket_machine(*, heartbeat: float = 25.0) -> SockJsMachine:
    made = SockJsMachine(
        join_at("echo", {}), Limits(), heartbeat, pulse=Pulse(heartbeat, timeout=10.0)
    )
    made.opened(0.0)
    return made


def frames(payloads: object) -> list[bytes]:
    assert isinstance(payloads, tuple | list)
    assert all(isinstance(payload, Payload) for payload in payloads)
    return [payload.data for payload in payloads]


def texts(found: object) -> list[object]:
    assert isinstance(found, tuple | list)
    said = []
    for frame in found:
        assert isinstance(frame, Event) and isinstance(frame.args, Args)
        said.append(frame.args.one_value)
    return said


def test_it_joins_when_the_transport_stands() -> None:
    (join,) = SockJsMachine(join_at("echo", {}), Limits(), 25.0).opened(0.0)
    assert isinstance(join, Join) and join.address == join.alias == "echo"


def test_it_opens_says_and_closes() -> None:
    said: list[Frame] = [
        Welcome("s1", None, 25.0),
        Event("echo", "message", Body.of("hi")),
        Beat(),
        Bye(3000, "Go away!"),
    ]
    assert [frames(machine().send(frame)) for frame in said] == [
        [b"o"],
        [b'a["hi"]'],
        [],
        [b'c[3000,"Go away!"]'],
    ]


def test_messages_of_a_request_come_one_by_one() -> None:
    assert texts(machine().receive('["a"]', 1.0)) == ['["a"]']
    assert texts(machine().receive("", 1.0)) == [""]


def test_messages_of_a_websocket_come_in_arrays() -> None:
    assert texts(socket_machine().receive('["a","b"]', 1.0)) == ["a", "b"]
    assert texts(socket_machine().receive("", 1.0)) == []


def test_a_websocket_that_broke_the_rules_is_closed_without_a_word() -> None:
    made = socket_machine()
    with pytest.raises(ProtocolError):
        made.receive('["a', 1.0)
    assert frames(made.send(Bye(1007, "Broken JSON encoding."))) == []


def test_a_message_that_is_too_large_ends_it_with_a_word() -> None:
    for made, message in (
        (machine(limits=Limits(message=8)), "x" * 9),
        (machine(limits=Limits(message=8)), "\u20ac" * 3),
    ):
        with pytest.raises(ProtocolError) as caught:
            made.receive(message, 1.0)
        assert caught.value.code == 1009
        assert frames(made.send(Bye(1009, "too large"))) == [b'c[1009,"too large"]']


def test_on_requests_a_heartbeat_follows_when_nobody_asked_for_so_long() -> None:
    made = machine()
    assert made.deadline() == 25.0
    made.receive("a", 20.0)
    assert made.deadline() == 25.0, "what a client sends keeps no answer from timing out"
    made.heard(24.0)
    assert made.deadline() == 49.0
    assert not made.tick(48.0) and not made.due()
    assert not made.tick(49.5)
    assert frames(made.due()) == [b"h"]
    assert not made.due()
    assert made.deadline() == 74.5


def test_on_requests_a_silent_client_is_the_transports_affair() -> None:
    made = machine()
    for beat in range(1, 10):
        assert not made.tick(25.0 * beat)
        assert frames(made.due()) == [b"h"]


def test_on_a_websocket_a_silent_client_is_probed_too() -> None:
    made = socket_machine()
    made.receive('["a"]', 20.0)
    assert made.deadline() == 25.0
    assert not made.tick(25.0)
    assert frames(made.due()) == [b"h"]
    assert made.deadline() == 45.0
    assert made.tick(45.0) == (Beat(),)
    assert not made.due()
    made.heard(46.0)
    assert made.deadline() == 71.0
    assert made.tick(71.0) == (Beat(),)
    assert frames(made.due()) == [b"h"]
    (bye,) = made.tick(81.0)
    assert isinstance(bye, Bye)
    assert made.deadline() is None


def test_without_heartbeats_there_are_none() -> None:
    for made in (machine(heartbeat=0.0), socket_machine(heartbeat=0.0)):
        made.heard(1.0)
        assert made.deadline() is None
        assert not made.tick(100.0) and not made.due()
