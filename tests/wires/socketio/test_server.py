"""Socket.IO as configured; what its requests mean stands in test_mount."""

from typing import Any

import pytest

from anywire.body import Body
from anywire.errors import ConfigurationError
from anywire.frames import Event
from anywire.limits import Limits
from anywire.payload import Carrier
from anywire.wires.base import ANONYMOUS_ID, Answer, Cap, Hello, Identity, Opening, Reason, Why
from anywire.wires.socketio import EngineIO, SocketIO, SocketIoClient
from anywire.wires.socketio.codec import MARKED, PLAIN
from anywire.wires.socketio.machine import SocketIoMachine

QUERY = {"EIO": "4", "transport": "websocket"}


def opened(wire: SocketIO, **hello: Any) -> tuple[Opening, SocketIoMachine]:
    opening = wire.open(Hello(**{"query": QUERY, "seed": b"x" * 32, **hello}))
    assert isinstance(opening, Opening) and isinstance(opening.machine, SocketIoMachine)
    return opening, opening.machine


def test_all_of_it_is_one_import() -> None:
    assert SocketIO().name == "socketio"
    assert EngineIO(to="echo").name == "engineio"
    assert not SocketIoClient.is_single


def test_it_stands_at_socket_io_unless_it_is_told_otherwise() -> None:
    assert {route.path for route in SocketIO().routes()} == {"/socket.io", "/socket.io/"}
    assert {route.path for route in SocketIO("/io/").routes()} == {"/io", "/io/"}


def test_a_client_says_who_it_is_with_its_first_namespace() -> None:
    opening, _ = opened(SocketIO())
    assert opening.auth is Identity.FRAME


def test_the_handshake_has_the_options_of_the_mount_and_the_limits() -> None:
    wire = SocketIO(ping=0.3, ping_timeout=0.2, connect_timeout=1.5)
    _, machine = opened(wire, limits=Limits(message=1000))
    machine.opened(10.0)
    (packet,) = machine.due()
    assert b'"upgrades":[],"pingInterval":300,"pingTimeout":200,"maxPayload":1000}' in packet.data
    assert machine.deadline() == 10.3
    machine.tick(10.3)
    machine.receive("3", 10.4)
    machine.tick(10.7)
    machine.receive("3", 11.4)
    assert machine.deadline() == 11.5, "the patience for a namespace"


def test_a_poll_offers_what_the_mount_has() -> None:
    for options, upgrades in (
        (SocketIO(), b'["websocket"]'),
        (SocketIO(transports=["polling"]), b"[]"),
    ):
        _, machine = opened(
            options, query={"EIO": "4", "transport": "polling"}, carrier=Carrier.POLL
        )
        machine.opened(0.0)
        (packet,) = machine.due()
        assert b'"upgrades":' + upgrades in packet.data


@pytest.mark.parametrize(
    ("recovery", "resume", "marks"),
    [(False, 120.0, False), (True, 120.0, True), (True, 0.0, False)],
)
def test_recovery_is_an_option_and_needs_a_server_that_keeps_sessions(
    recovery: bool, resume: float, marks: bool
) -> None:
    _, machine = opened(SocketIO(recovery=recovery), limits=Limits(resume=resume))
    assert machine.codec is (MARKED if marks else PLAIN)
    assert (Cap.ADOPT in machine.caps) is marks


def test_the_marks_of_one_client_tell_nothing_that_is_secret() -> None:
    opening, machine = opened(SocketIO(recovery=True))
    (payload,) = machine.send(Event("/", "a", Body.of()))
    mark = payload.data.decode().split('"')[3]
    own = mark.removeprefix("~").partition("-")[0]
    assert own == Hello(seed=b"x" * 32).id(ANONYMOUS_ID)[-8:]
    assert own not in opening.session and own not in opening.token


def test_names_that_mean_something_to_its_clients_are_reserved() -> None:
    assert SocketIO.reserved >= {
        "connect",
        "connect_error",
        "disconnect",
        "disconnecting",
        "newListener",
        "removeListener",
        "error",
        "gap",
    }


def test_options_that_make_no_sense_are_refused_at_once() -> None:
    for options in ({"transports": ["x"]}, {"cookie": "a b"}, {"ping": 0.0}, {"ping_timeout": 0.0}):
        with pytest.raises(ConfigurationError):
            SocketIO(**options)


def test_a_cookie_and_other_options_are_those_of_the_mount() -> None:
    opening, _ = opened(SocketIO(cookie="io"))
    ((name, value),) = opening.headers
    assert name == "Set-Cookie" and value.startswith(f"io={opening.session}.{opening.token};")
    wire = SocketIO(limits=Limits(message=7), origins="*", deflate=None)
    (mount,) = {id(route.mount): route.mount for route in wire.routes()}.values()
    assert mount.limits == Limits(message=7)
    assert (mount.origins, mount.deflate) == (("*",), None)


def test_its_refusals_are_those_of_the_mount() -> None:
    answer = SocketIO().refuse(Hello(carrier=Carrier.POLL), Why(Reason.UNKNOWN))
    assert (answer.status, b'"code":1' in answer.body) == (400, True)
    found = SocketIO().open(Hello())
    assert isinstance(found, Answer) and found.status == 400
