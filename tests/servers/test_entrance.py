"""How a WebSocket comes in: a new session, or a second transport of one that goes by requests.

The talk of a second transport is the same whoever has its socket: our own server, the owner to whom
it was handed over, another node that relays it, or an ASGI host.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from anywire import Anywire
from anywire.frames import Frame
from anywire.limits import Limits
from anywire.servers.entrance import Entrance
from anywire.servers.routes import Routes
from anywire.wires.base import Answer, Hello, Opening, Overlap
from anywire.wires.signalr import SignalR
from anywire.wires.signalr.token import mint
from tests.core.support import TestTransport
from tests.servers.neighbours.pair import dial_to, pair
from tests.servers.oddly import Guest, Second, odd, second
from tests.servers.serving import Dialed, dial, echo, make_node, serving, upgrade
from tests.wires.strangers.odd import Odd

pytestmark = pytest.mark.net

Place = Callable[[], AbstractAsyncContextManager["Met"]]


@dataclass(slots=True)
class Met:
    """A guest with a session on requests, and where its second transport dials."""

    guest: Guest
    dial: Callable[[], AbstractAsyncContextManager[Dialed]]

    @asynccontextmanager
    async def second(self) -> AsyncIterator[Second]:
        """Let in as a candidate."""
        async with self.dial() as dialed:
            yield await second(self.guest, dialed)


@asynccontextmanager
async def own() -> AsyncIterator[Met]:
    async with odd() as (server, guest):
        yield Met(guest, lambda: dial(server))


@asynccontextmanager
async def workers(*, ssl: bool) -> AsyncIterator[Met]:
    """The session is one node's, the second transport comes to the other."""
    async with (
        pair(wires=[Odd()], channel=echo(), ssl=ssl) as (one, two),
        dial_to(one) as asks,
        dial_to(two) as says,
    ):
        yield Met(Guest(one.node, asks, says), lambda: dial_to(two))
        counters = two.node.counters
        found = counters.relayed, counters.handed_over
        assert found[ssl] == 0 and found[not ssl] > 0


@asynccontextmanager
async def hosted() -> AsyncIterator[Met]:
    """Under an ASGI host."""
    app = Anywire(wires=[Odd()])
    channel = app.channel("echo")

    @channel.message
    async def heard(message: str) -> str:
        return message

    async with (
        serving(wires=[], fallback=app) as server,
        dial(server) as asks,
        dial(server) as says,
    ):
        yield Met(Guest(app.node, asks, says), lambda: dial(server))


PLACES = {
    "own server": own,
    "handed over": lambda: workers(ssl=False),
    "relayed": lambda: workers(ssl=True),
    "asgi host": hosted,
}
EVERYWHERE = pytest.mark.parametrize("place", PLACES.values(), ids=list(PLACES))


async def until(condition: Callable[[], bool]) -> None:
    """Give everybody turns until it holds; five seconds are too many."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


def marks(*numbers: int) -> list[str]:
    return [f"m{number}" for number in numbers]


@EVERYWHERE
async def test_all_that_is_said_before_during_and_after_a_probe_is_heard_once_in_order(
    place: Place,
) -> None:
    async with place() as met:
        guest = met.guest
        await guest.open()
        guest.say("0")
        heard = await guest.poll()
        guest.ask()
        async with met.second() as socket:
            guest.say("1")
            heard += guest.read(await guest.asks.answer())  # it has not probed yet
            guest.ask()
            socket.say("probe")
            assert await socket.hear() == "probed"
            assert (await guest.asks.answer()).body == b"idle"  # so no request waits any more
            guest.say("2")
            guest.ask()
            heard += guest.read(await guest.asks.answer())
            guest.ask()
            assert (await guest.asks.answer()).body == b"idle"
            guest.say("3", "4")
            socket.say("probe", "now", "mhello")
            assert await socket.hear() == "probed"
            heard += [await socket.hear() for _ in range(2)]
            assert await socket.hear() == "mhello"
            guest.say("5")
            heard.append(await socket.hear())
            assert heard == marks(0, 1, 2, 3, 4, 5)
            assert await guest.poll() == ["x1013 the session waits for a resume"]
            assert (await guest.post("late")).status == 403
        await until(lambda: not guest.node.sessions)


@EVERYWHERE
async def test_what_waited_for_the_next_poll_is_said_first_on_the_second_transport(
    place: Place,
) -> None:
    async with place() as met:
        guest = met.guest
        await guest.open()
        guest.say("0", "1")
        transport = guest.standing.transport
        assert transport is not None
        await until(lambda: transport.buffered > 0)
        guest.say("2")
        async with met.second() as socket:
            socket.say("probe")
            assert await socket.hear() == "probed"
            guest.say("3")
            socket.say("now")
            assert [await socket.hear() for _ in range(4)] == marks(0, 1, 2, 3)


@EVERYWHERE
async def test_one_that_takes_over_without_a_probe_does_so_at_once(place: Place) -> None:
    async with place() as met:
        guest = met.guest
        await guest.open()
        guest.say("0")
        async with met.second() as socket:
            socket.say("now", "mhello")
            assert [await socket.hear() for _ in range(2)] == ["m0", "mhello"]


@EVERYWHERE
@pytest.mark.parametrize("last", ["never", "nonsense", None])
async def test_all_that_is_said_before_during_and_after_a_probe_that_fails_is_heard_by_requests(
    place: Place, last: str | None
) -> None:
    async with place() as met:
        guest = met.guest
        await guest.open()
        guest.say("0")
        heard = await guest.poll()
        async with met.second() as socket:
            guest.ask()
            socket.say("probe")
            assert await socket.hear() == "probed"
            assert (await guest.asks.answer()).body == b"idle"
            guest.say("1", "2")
            if last is not None:
                socket.say(last)
                if last == "never":
                    assert await socket.hear() == "as you like"
                assert await socket.closed() == 1000
        await until(lambda: guest.standing.candidate is None)
        heard += await guest.poll()
        guest.say("3")
        heard += await guest.poll()
        assert heard == marks(0, 1, 2, 3)
        async with met.second() as again:
            again.say("probe")
            assert await again.hear() == "probed"
            guest.say("4")
            again.say("now")
            assert await again.hear() == "m4"


@EVERYWHERE
async def test_messages_that_come_by_requests_meanwhile_are_heard(place: Place) -> None:
    async with place() as met:
        guest = met.guest
        await guest.open()
        async with met.second() as socket:
            socket.say("probe")
            assert await socket.hear() == "probed"
            assert (await guest.post("a", "b")).status == 202
            socket.say("now", "mc")
            assert [await socket.hear() for _ in range(3)] == ["ma", "mb", "mc"]


@EVERYWHERE
async def test_a_session_that_ends_meanwhile_tells_who_asks(place: Place) -> None:
    async with place() as met:
        guest = met.guest
        await guest.open()
        async with met.second() as socket:
            socket.say("probe")
            assert await socket.hear() == "probed"
            guest.say("0")
            guest.standing.close(4003, "out")
            assert await socket.closed() == 1000
            assert await guest.poll() == ["m0", "x4003 out"]


@EVERYWHERE
async def test_a_second_one_is_refused_while_another_may_take_over(place: Place) -> None:
    async with place() as met:
        guest = met.guest
        await guest.open()
        async with met.second() as socket, met.dial() as dialed:
            socket.say("probe")
            assert await socket.hear() == "probed"
            third = await second(guest, dialed)  # to be told why not
            assert (await third.hear()).startswith("x4409 this session goes on over another")
            assert await third.closed() == 4409
            socket.say("now")
            guest.say("0")
            assert await socket.hear() == "m0"


@EVERYWHERE
async def test_nothing_takes_over_from_a_websocket(place: Place) -> None:
    async with place() as met:
        guest = met.guest
        await guest.open()
        async with met.second() as socket, met.dial() as dialed:
            socket.say("now", "mhello")
            assert await socket.hear() == "mhello"
            third = await second(guest, dialed)
            assert (await third.hear()).startswith("x4409 ")
            assert await third.closed() == 4409


# --- on our own server ----------------------------------------------------------------------------


async def test_a_stream_ends_so_that_another_transport_may_take_over() -> None:
    async with odd(Odd(overlap=Overlap.REPLACE)) as (server, guest), dial(server) as dialed:
        await guest.open()
        guest.ask(kind="stream")
        await guest.asks.answer(has_body=False)
        assert await guest.asks.chunk() == b"0:,"
        socket = await second(guest, dialed)
        guest.say("0")
        assert await guest.asks.chunk() == b"2:m0,"
        socket.say("probe")
        assert await socket.hear() == "probed"
        assert await guest.asks.chunk() == b""
        guest.say("1")
        socket.say("now")
        assert await socket.hear() == "m1"


async def test_a_candidate_has_no_upgrade_where_its_wire_does_not_say_how() -> None:
    class Mute(Odd):
        def open(self, hello: Hello) -> Opening | Answer:
            opening = super().open(hello)
            assert isinstance(opening, Opening)
            opening.upgrade = None
            return opening

    async with odd(Mute()) as (server, guest), dial(server) as dialed:
        await guest.open()
        socket = await second(guest, dialed)
        assert (await socket.hear()).startswith("x4409 ")


async def test_a_candidate_shows_the_secret_of_the_session() -> None:
    async with odd() as (server, guest), dial(server) as dialed:
        await guest.open()
        guest.key = "guess"
        socket = await second(guest, dialed)
        assert await socket.hear() == "x1013 no such session"
        assert await socket.closed() == 1013


async def test_a_server_that_stops_hangs_up_on_candidates_too() -> None:
    node = make_node(limits=Limits(closing=0.05))
    async with odd(node=node) as (server, guest), dial(server) as dialed:
        await guest.open()
        socket = await second(guest, dialed)
        socket.say("probe")
        assert await socket.hear() == "probed"
        async with asyncio.timeout(5):
            await server.stop()


async def test_an_answer_to_an_upgrade_may_be_a_plain_one() -> None:
    class Plain(Odd):
        def open(self, hello: Hello) -> Opening | Answer:
            return Answer(status=418, body=b"short and stout\n")

    async with odd(Plain()) as (_, guest):
        guest.asks.send(upgrade("/odd/echo"))
        said = await guest.asks.answer()
        assert (said.status, said.body) == (418, b"short and stout\n")


async def test_a_session_that_cannot_be_opened_is_closed_as_a_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Late(Odd):
        def open(self, hello: Hello) -> Opening | Answer:
            opening = super().open(hello)
            assert isinstance(opening, Opening) and opening.machine is not None
            opening.machine.opened = broken  # type: ignore[method-assign]
            return opening

    def broken(now: float) -> list[Frame]:
        raise KeyError("a bug of the wire's")

    async with odd(Late()) as (_, guest):
        guest.asks.send(upgrade("/odd/echo"))
        assert (await guest.asks.answer(has_body=False)).status == 101
        socket = Second(guest.asks)
        first = await socket.closed()
        assert first == 1011
        assert "opening a session of odd failed" in caplog.text


@pytest.mark.parametrize("stands", [False, True])
async def test_who_left_before_it_came_in_owns_no_id_that_was_given_away(stands: bool) -> None:
    class Gone:
        """A request whose client has hung up."""

        has_begun = False

        def __init__(self) -> None:
            self.is_gone = True
            self.exchange: Any = self

        def accept(self, subprotocol: str | None) -> Any:
            return TestTransport()

        async def elsewhere(self, elsewhere: object) -> None:
            raise AssertionError

        def begin(self) -> None:
            """Nothing came behind the head."""

    wire, node = SignalR({"/hub": "echo"}), make_node(channel=echo())
    found = Routes([wire]).find("GET", "/hub", is_upgrade=True)
    assert found is not None
    known, token = mint(b"n" * 16, now=0.0, resumes=True, key=node.key)
    hello = Hello(path="/hub", query={"id": token}, key=node.key, seed=b"s" * 32)
    gone = Gone()
    gone.is_gone = not stands
    for _ in range(2):
        Entrance(node, found, hello, gone).open()
        gone.is_gone = True
    assert await node.directory.owner("signalr", known.id) == (node.id if stands else None)
    assert list(node.sessions) == ([known.id] if stands else [])
    assert not node.has_ended(known.id)
