"""The seat: what a worker inherits, and what it says on its line."""

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator

import msgspec
import pytest

from anywire.brokers.choice import HUB
from anywire.errors import ConfigurationError
from anywire.servers.seat import VARIABLE, Given, Seat


@pytest.fixture
def line() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_seat_is_taken_out_of_the_environment_with_its_sockets() -> None:
    ours, theirs = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    theirs.set_inheritable(True)
    given = Given(3, (listener.detach(),), theirs.detach())
    environ = {VARIABLE: msgspec.json.encode(given).decode(), HUB: "/run/hub", "HOME": "/"}
    seat = Seat.take(environ)
    assert seat is not None
    assert environ == {"HOME": "/"}
    assert (seat.number, seat.hub) == (3, "/run/hub")
    (inherited,) = seat.sockets
    with ours, inherited, seat._line:
        assert inherited.getsockname()[1] == port
        assert not seat._line.get_inheritable()


def test_who_was_given_nothing_has_no_seat() -> None:
    environ = {HUB: "/run/hub"}
    assert Seat.take(environ) is None
    assert environ == {HUB: "/run/hub"}


@pytest.mark.parametrize("text", ["", "3", '{"number": 1, "sockets": [], "line": 99999}'])
def test_a_seat_that_nobody_gave_is_one_line(text: str) -> None:
    with pytest.raises(ConfigurationError, match="unset it"):
        Seat.take({VARIABLE: text})


def test_ready_tells_how_long_a_stop_may_take(line: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = line
    seat = Seat(1, [], theirs)
    seat.ready(2.5)
    assert ours.recv(64) == b"ready 2.5\n"
    seat.failed()  # it served: its error is its own to tell
    ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        ours.recv(64)


def test_who_fails_waits_until_it_may_speak(line: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = line
    thread = threading.Thread(target=Seat(1, [], theirs).failed)
    thread.start()
    assert ours.recv(64) == b"failed\n"
    assert thread.is_alive()
    ours.sendall(b"speak\n")
    thread.join()


def test_who_fails_without_a_supervisor_speaks(line: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = line
    ours.close()
    Seat(1, [], theirs).failed()


async def test_the_end_of_the_supervisor_is_logged_once(
    line: tuple[socket.socket, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = line
    seat = Seat(2, [], theirs)
    logged = asyncio.Event()
    handler = logging.Handler()
    handler.emit = lambda record: logged.set()  # type: ignore[method-assign]
    logger = logging.getLogger("anywire.servers.seat")
    logger.addHandler(handler)
    try:
        seat.watch()
        ours.sendall(b"a word of another version\n")
        ours.close()
        await logged.wait()
    finally:
        logger.removeHandler(handler)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("the supervisor is gone: worker 2 goes on")


async def test_who_watches_no_longer_logs_nothing(
    line: tuple[socket.socket, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = line
    seat = Seat(2, [], theirs)
    seat.watch()
    seat.leave()
    ours.close()
    await asyncio.to_thread(theirs.recv, 1)
    assert not caplog.records
