"""Engine.IO alone."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anywire.body import Args, Body, Form
from anywire.errors import ProtocolError
from anywire.frames import (
    At,
    Beat,
    Bye,
    Event,
    Frame,
    Gap,
    Join,
    Joined,
    Presence,
    Refusal,
    Since,
    Welcome,
)
from anywire.limits import Limits
from anywire.payload import Carrier, Message
from anywire.wires.base import Answer, Cap, Hello, Identity, Opening, Reason, Why
from anywire.wires.socketio import EngineIO
from anywire.wires.socketio.bare import ENGINE_IO, EngineIoMachine

QUERY = {"EIO": "4", "transport": "websocket"}


def opened(
    query: Mapping[str, str] | None = None, *, limits: Limits | None = None, **options: Any
) -> EngineIoMachine:
    wire = EngineIO(to="echo", **options)
    hello = Hello(query={**QUERY, **(query or {})}, seed=b"x" * 32, limits=limits or Limits())
    opening = wire.open(hello)
    assert isinstance(opening, Opening) and isinstance(opening.machine, EngineIoMachine)
    assert opening.auth is Identity.HELLO
    return opening.machine


def begun(**options: Any) -> EngineIoMachine:
    machine = opened(**options)
    machine.opened(0.0)
    machine.due()
    return machine


def messages(payloads: Any) -> list[Message]:
    return [message for payload in payloads for message in payload.messages()]


def said(frame: Frame) -> list[Message]:
    return messages(begun().send(frame))


# --- opening --------------------------------------------------------------------------------------


def test_it_joins_its_address_when_the_transport_stands() -> None:
    machine = opened()
    assert (machine.is_single, machine.received) == (True, 0)
    (join,) = machine.opened(0.0)
    assert join == Join(None, "echo", "echo")
    (handshake,) = messages(machine.due())
    assert isinstance(handshake, str)
    assert handshake.startswith('0{"sid":"') and handshake.endswith(
        '"upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":65536}'
    )


def test_what_a_query_says_beside_is_for_the_application() -> None:
    query = {"t": "OzyF", "b64": "1", "name": "ana", "last": "5"}
    (join,) = opened(query).opened(0.0)
    assert isinstance(join, Join) and isinstance(join.params, Args)
    assert join.params.value() == {"name": "ana"}
    assert join.since == Since(last=5)


# --- what is heard --------------------------------------------------------------------------------


def heard(message: Message, **options: Any) -> tuple[str, Any]:
    (event,) = begun(**options).receive(message, 1.0)
    assert isinstance(event, Event) and isinstance(event.args, Args)
    assert event.alias == "echo"
    return event.event, event.args.one_value


@pytest.mark.parametrize(
    ("message", "event", "value"),
    [
        ("4hi", "message", "hi"),
        ("4", "message", ""),
        ("4é\u2028", "message", "é\u2028"),
        ("44", "message", "4"),
        ("4[1]", "message", "[1]"),
        (b"\x00\x01", "message", b"\x00\x01"),
        (b"", "message", b""),
        (b"4hi", "message", b"4hi"),
        ('4{"event":"say","data":{"text":"hi"}}', "say", {"text": "hi"}),
        ('4{"event":"say","data":1,"x":1}', "message", '{"event":"say","data":1,"x":1}'),
    ],
)
def test_a_message_is_an_event_without_a_name_unless_it_is_written_with_one(
    message: Message, event: str, value: object
) -> None:
    assert heard(message) == (event, value)


def test_text_is_text_and_bytes_are_bytes() -> None:
    for message, form in (("4a", Form.TEXT), (b"a", Form.BYTES)):
        (event,) = begun().receive(message, 1.0)
        assert isinstance(event, Event) and isinstance(event.args, Args)
        assert event.args.form is form


def test_a_message_has_a_bounded_number_of_bytes() -> None:
    limits = Limits(message=8)
    for message in ("4" + "x" * 8, "4" + "é" * 4, b"x" * 8):
        heard(message, limits=limits)
    for message in ("4" + "x" * 9, "4" + "é" * 5, b"x" * 9):
        with pytest.raises(ProtocolError) as caught:
            begun(limits=limits).receive(message, 1.0)
        assert caught.value.code == 1009


def test_other_packets_are_those_of_the_engine() -> None:
    machine = begun()
    assert machine.receive("3", 1.0) == (Beat(is_answer=True),)
    assert machine.receive("1", 1.0) == (Bye(1000),)
    with pytest.raises(ProtocolError):
        machine.receive("2", 1.0)


@given(st.lists(st.text(max_size=8) | st.binary(max_size=4), max_size=6))
def test_any_conversation_is_frames_or_a_protocol_error(conversation: list[Message]) -> None:
    machine = begun()
    for message in conversation:
        try:
            frames = machine.receive(message, 1.0)
        except ProtocolError:
            return
        assert all(isinstance(frame, Event | Beat | Bye) for frame in frames)


# --- what is said ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (Event("echo", "message", Body.of("hi")), "4hi"),
        (Event("echo", "message", Body.of("")), "4"),
        (Event("echo", "message", Body.of(b"\x00")), b"\x00"),
        (Event("echo", "message", Body.of(b"")), b""),
        (Event("echo", "message", Body.of({"a": 1})), '4{"a":1}'),
        (
            Event("echo", "message", Body.of({"event": "x"})),
            '4{"event":"message","data":{"event":"x"}}',
        ),
        (Event("echo", "said", Body.of(1)), '4{"event":"said","data":1}'),
        (Event("echo", "said", Body.of(b"\x00")), '4{"event":"said","data":"AA=="}'),
        (Gap("echo", 3), '4{"event":"gap","data":{"lost":3}}'),
        (
            Refusal(None, "echo", "invalid", "a number", event="say"),
            '4{"event":"error","data":{"event":"say","code":"invalid","text":"a number"}}',
        ),
        (
            Presence("echo", {"ana": [{}]}, {}),
            '4{"event":"presence","data":{"joined":{"ana":[{}]},"left":{},"whole":false}}',
        ),
        (Beat(is_own=True), "2"),
        (Bye(1001), "1"),
    ],
)
def test_a_frame_is_a_message(frame: Frame, message: Message) -> None:
    assert said(frame) == [message]


@pytest.mark.parametrize(
    "frame",
    [
        Welcome("s", None, 25.0),
        Joined(None, "echo"),
        Refusal(None, "echo", "no"),
        Beat(is_answer=True),
        Bye(4400),
    ],
)
def test_what_there_are_no_words_for_is_not_said(frame: Frame) -> None:
    assert said(frame) == []


def test_a_publication_is_written_once_for_all() -> None:
    for value in ("hi", b"hi", {"a": 1}):
        payload = ENGINE_IO.event("echo", "message", Body.of(value), At("echo", volatile=True))
        assert payload.volatile
        again = ENGINE_IO.event("echo", "message", Body.of(value), At("echo"))
        assert again.data == payload.data and not again.volatile
    assert begun().codec is ENGINE_IO
    assert begun().caps is Cap.NONE


@given(st.text(max_size=9) | st.binary(max_size=9))
def test_a_lone_message_comes_back_as_it_was(value: Message) -> None:
    (message,) = said(Event("echo", "message", Body.of(value)))
    assert heard(message) == ("message", value)


# --- time -----------------------------------------------------------------------------------------


def test_its_client_is_pinged_and_only_a_pong_counts() -> None:
    machine = begun(ping=10.0, ping_timeout=5.0)
    assert machine.deadline() == 10.0
    machine.receive("4hi", 9.0)
    machine.heard(9.0)
    assert machine.tick(10.0) == (Beat(is_own=True),)
    assert machine.deadline() == 15.0
    machine.receive("3", 11.0)
    assert machine.deadline() == 21.0
    machine.tick(21.0)
    assert machine.tick(26.0) == (Bye(4410, "ping timeout"),)


# --- the wire -------------------------------------------------------------------------------------


def test_its_mount_is_that_of_socket_io() -> None:
    wire = EngineIO(
        "/e/",
        to="echo",
        cookie="io",
        transports=["polling"],
        limits=Limits(message=9),
        origins="*",
        deflate=None,
    )
    assert {route.path for route in wire.routes()} == {"/e", "/e/"}
    assert all(route.mount.limits == Limits(message=9) for route in wire.routes())
    hello = Hello(query={**QUERY, "transport": "polling"}, carrier=Carrier.POLL, seed=b"x" * 32)
    opening = wire.open(hello)
    assert isinstance(opening, Opening)
    assert opening.headers[0][1].startswith("io=")
    assert isinstance(wire.open(Hello(query=QUERY)), Answer)
    assert wire.refuse(hello, Why(Reason.UNKNOWN)).status == 400
    assert wire.reserved == {"error", "gap"}
