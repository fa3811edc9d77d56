"""Which carrier an attempt goes over: alone, in memory, and through networks that let some pass."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from anywire import Anywire, Hello, Limits, User
from anywire.client import Client, connect
from anywire.client.choosing import CARRIERS, KEPT, Choice, Choosing
from anywire.client.dial import Dialer, Link
from anywire.client.httplink import Unwilling
from anywire.client.proxy import ProxyError
from anywire.errors import AnywireError, Closed, ProtocolError, Refused
from anywire.wires.anywire import PlainClient
from anywire.wires.base import Request
from tests.client.memory import FakeClock, PipeLink, settle
from tests.client.served import Gate, port_of, running, shop, until
from tests.client.test_http import serving

ALL = list(CARRIERS)


# --- the order ------------------------------------------------------------------------------------


def test_without_a_memory_carriers_are_tried_in_their_order() -> None:
    choice = Choice(ALL)
    assert choice.order(0.0) == choice.order(1e9) == ALL
    choice.failed()
    assert choice.order(0.0) == ALL


def test_what_got_through_is_tried_alone_and_then_first() -> None:
    choice = Choice(ALL)
    choice.succeeded("stream", 10.0)
    assert choice.order(11.0) == ["stream"]
    choice.failed()
    assert choice.order(12.0) == ["stream", "websocket", "events", "poll"]
    choice.succeeded("stream", 13.0)
    assert choice.order(14.0) == ["stream"]


def test_the_memory_passes_however_often_it_is_made_use_of() -> None:
    choice = Choice(ALL)
    for now in range(0, int(KEPT), 50):
        choice.succeeded("poll", float(now))
    assert choice.order(KEPT - 1) == ["poll"]
    assert choice.order(KEPT) == ALL
    choice.succeeded("poll", KEPT)  # it was all that got through, again
    assert choice.order(KEPT + 1) == ["poll"]
    assert choice.order(2 * KEPT) == ALL


def test_the_first_carrier_needs_no_second_look() -> None:
    choice = Choice(ALL)
    choice.succeeded("websocket", 0.0)
    assert choice.order(1e9) == ["websocket"]
    choice.failed()
    assert choice.order(1e9) == ALL


# --- dialing, in memory ---------------------------------------------------------------------------


class Scripted:
    """A dialer that does as it is told: an error is raised, None never comes to an end."""

    def __init__(self, *outcomes: Exception | bool | None) -> None:
        self.outcomes = list(outcomes)
        self.requests: list[Request] = []
        self.given_up = 0

    async def dial(self, url: str, request: Request) -> Link:
        self.requests.append(request)
        outcome = self.outcomes.pop(0) if self.outcomes else True
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.given_up += 1
                raise
        return PipeLink(None)


class Bench:
    """Scripted dialers, and what the tries were given."""

    def __init__(self, **dialers: Scripted) -> None:
        self.clock = FakeClock()
        self.dialers: dict[str, Dialer] = dict(dialers)
        self.prepared = 0
        self.choosing = Choosing(
            self.dialers, prepare=self._prepare, patience=5.0, clock=self.clock, where="ws://x/"
        )

    async def _prepare(self, request: Request) -> Request:
        self.prepared += 1
        return Request(headers={"n": str(self.prepared)})

    async def dial(self) -> Link:
        return await self.choosing.dial("ws://x/", Request())


async def test_each_try_has_credentials_of_its_own() -> None:
    one, two = Scripted(ProtocolError("none of ours")), Scripted()
    bench = Bench(websocket=one, poll=two)
    assert bench.choosing.carrier is None
    await bench.dial()
    assert bench.choosing.carrier == "poll"
    assert [request.headers["n"] for request in one.requests + two.requests] == ["1", "2"]


async def test_silence_costs_so_many_seconds_and_leaves_nothing_behind() -> None:
    one, two, three = Scripted(None), Scripted(None), Scripted()
    bench = Bench(websocket=one, events=two, poll=three)
    dialing = asyncio.create_task(bench.dial())
    await bench.clock.pass_(9.9)
    assert not dialing.done()
    assert (one.given_up, two.given_up) == (1, 0)
    await bench.clock.pass_(0.1)
    await dialing
    assert (one.given_up, two.given_up) == (1, 1)
    assert bench.clock.waiting == []


async def test_the_last_one_has_all_the_time_there_is() -> None:
    one, two = Scripted(None), Scripted(None)
    bench = Bench(websocket=one, poll=two)
    dialing = asyncio.create_task(bench.dial())
    await bench.clock.pass_(3600.0)
    assert not dialing.done()
    dialing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dialing
    assert two.given_up == 1


async def test_a_dial_that_is_cancelled_is_no_silence() -> None:
    one, two = Scripted(None), Scripted()
    bench = Bench(websocket=one, poll=two)
    dialing = asyncio.create_task(bench.dial())
    await settle()
    dialing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dialing
    assert (one.given_up, two.requests, bench.clock.waiting) == (1, [], [])


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("the server hung up"),
        ConnectionResetError(),
        BrokenPipeError(),
        ProtocolError("not HTTP"),
        AnywireError("the server answered 400"),
    ],
)
async def test_another_carrier_may_do_better(error: Exception) -> None:
    two = Scripted()
    bench = Bench(websocket=Scripted(error), poll=two)
    await bench.dial()
    assert len(two.requests) == 1


@pytest.mark.parametrize(
    "error",
    [
        Refused("bad_token"),
        Unwilling("too many"),
        ProxyError("no connection to the proxy"),
        ConnectionRefusedError(),
        OSError("no route"),
    ],
)
async def test_no_other_carrier_would_do_better(error: Exception) -> None:
    two = Scripted()
    bench = Bench(websocket=Scripted(error), poll=two)
    with pytest.raises(type(error)):
        await bench.dial()
    assert two.requests == []


async def test_where_nothing_gets_through_the_error_says_why() -> None:
    bench = Bench(websocket=Scripted(ProtocolError("a")), poll=Scripted(ConnectionResetError()))
    with pytest.raises(ConnectionError) as caught:
        await bench.dial()
    said = "no carrier gets through (websocket: a; poll: ConnectionResetError)"
    assert str(caught.value) == said


async def test_what_got_through_has_a_second_attempt_of_its_own() -> None:
    one = Scripted(True, ProtocolError("a restart"), ProtocolError("a new proxy"))
    two = Scripted()
    bench = Bench(websocket=one, poll=two)
    await bench.dial()
    with pytest.raises(ProtocolError, match="a restart"):
        await bench.dial()
    assert two.requests == []
    await bench.dial()
    assert bench.choosing.carrier == "poll"
    await bench.dial()
    assert (len(one.requests), len(two.requests)) == (3, 2)
    await bench.clock.pass_(KEPT)
    await bench.dial()
    assert bench.choosing.carrier == "websocket"


# --- as options of the client ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"carriers": []},
        {"carriers": ["poll", "poll"]},
        {"carriers": ["carrier pigeon"]},
        {"carriers": ["events"], "format": "msgpack"},
        {"carriers": ["poll"], "machine": PlainClient("chat")},
    ],
)
def test_carriers_that_cannot_be_are_refused(options: Any) -> None:
    with pytest.raises(ValueError, match="carriers are some of"):
        connect("ws://x/", **options)


# --- networks -------------------------------------------------------------------------------------


@asynccontextmanager
async def gated(app: Anywire) -> AsyncIterator[tuple[Gate, str]]:
    """The app behind a gate, and its URL there."""
    async with running(app) as url:
        gate = Gate(port_of(url), lambda line: None)
        async with serving(gate.serve) as port:
            yield gate, f"ws://127.0.0.1:{port}/ws"
            gate.cut()


def through(url: str, clock: FakeClock | None = None, **options: Any) -> Client:
    return connect(url, random=lambda: 0.0, clock=clock, **options)


def eats(*names: str, verdict: str = "answer 400 Bad Request") -> Any:
    """A rule: this becomes of requests for these carriers."""
    firsts = ["UPGRADE" if name == "websocket" else f"GET /ws/{name}" for name in names]
    return lambda line: verdict if any(line.startswith(first) for first in firsts) else None


async def session_of(client: Client) -> str:
    chat = client.channel("chat")
    await chat.join()
    return str(await chat.call("session"))


async def comes_back(client: Client, clock: FakeClock) -> None:
    """Without a wait; the first attempt is alone, as the cut may have been a restart."""
    async with asyncio.timeout(5):
        while client.state != "open":
            await clock.pass_(0.0)


@pytest.mark.net
@pytest.mark.parametrize("carrier", CARRIERS)
async def test_a_carrier_can_be_forced(carrier: Any) -> None:
    async with gated(shop()) as (gate, url), through(url, carriers=[carrier]) as client:
        await session_of(client)
        assert client.carrier == carrier
        assert gate.asked[0].startswith(
            "UPGRADE GET /ws " if carrier == "websocket" else f"GET /ws/{carrier}?"
        )


@pytest.mark.net
@pytest.mark.parametrize("verdict", ["answer 400 Bad Request", "answer 200 OK", "reset"])
@pytest.mark.parametrize("format", ["json", "msgpack"])
async def test_an_upgrade_that_is_eaten_costs_no_time(verdict: str, format: Any) -> None:
    clock = FakeClock()
    async with gated(shop()) as (gate, url):
        gate.rule = eats("websocket", verdict=verdict)
        async with through(url, clock, format=format) as client:
            assert client.carrier == ("events" if format == "json" else "stream")
            await session_of(client)
    assert clock.time == 1000.0


@pytest.mark.net
@pytest.mark.parametrize("verdict", ["stall", "mute"])
async def test_an_upgrade_that_is_stalled_costs_five_seconds(verdict: str) -> None:
    clock = FakeClock()
    async with gated(shop()) as (gate, url):
        gate.rule = eats("websocket", verdict=verdict)
        client = through(url, clock)
        opening = asyncio.create_task(client.open())
        await until(lambda: len(gate.asked) == 1)
        await clock.pass_(4.9)
        assert not opening.done() and len(gate.asked) == 1
        await clock.pass_(0.1)
        await opening
        assert (client.carrier, client.state) == ("events", "open")
        await client.close()


@pytest.mark.net
@pytest.mark.parametrize("verdict", ["stall", "mute", "hold"])
async def test_a_network_that_holds_answers_back_ends_with_polls(verdict: str) -> None:
    clock = FakeClock()
    async with gated(shop(limits=Limits(poll=0.05))) as (gate, url):

        def rule(line: str) -> str | None:
            if line.startswith("UPGRADE"):
                return "answer 400 Bad Request"
            return "hold" if line.startswith(("GET /ws/poll", "POST")) else verdict

        gate.rule = rule
        client = through(url, clock, carrier_timeout=2.0)
        opening = asyncio.create_task(client.open())
        for count in (2, 3):
            await until(lambda count=count: len(gate.asked) == count)  # type: ignore[misc]
            await clock.pass_(2.0)
        await opening
        assert client.carrier == "poll"
        await session_of(client)
        await client.close()


@pytest.mark.net
@pytest.mark.parametrize("format", ["json", "msgpack"])
async def test_the_session_goes_on_from_one_carrier_to_the_next(format: Any) -> None:
    app = shop()
    clock = FakeClock()
    left = [carrier for carrier in CARRIERS if format == "json" or carrier != "events"]
    async with gated(app) as (gate, url), through(url, clock, format=format) as client:
        session = await session_of(client)
        chat = client.channel("chat")
        heard: list[int] = []
        chat.on("said", heard.append)
        for number, carrier in enumerate(left):
            assert client.carrier == carrier
            assert await chat.call("say", number) == number
            gate.rule = eats(*left[: number + 1])
            gate.cut()
            if carrier != left[-1]:
                await until(lambda: client.state == "waiting")
                await comes_back(client, clock)
        gate.rule = lambda line: None
        assert await session_of(client) == session
        assert list(app.node.sessions) == [session]
        assert heard == list(range(len(left)))


@pytest.mark.net
async def test_who_is_refused_tries_no_other_carrier() -> None:
    seen: list[str] = []

    async def authenticate(hello: Hello) -> User:
        seen.append(hello.path)
        raise Refused("name_missing", "say ?name=")

    app = shop()
    app.authenticate(authenticate)
    async with gated(app) as (gate, url):
        client = through(url)
        with pytest.raises(Refused, match="name_missing"):
            await client.open()
        gate.rule = eats("websocket")
        client = through(url)
        with pytest.raises(Refused, match="name_missing"):
            await client.open()
        gate.rule = eats("websocket", verdict="answer 403 Forbidden")
        with pytest.raises(Refused, match="refused"):
            await through(url).open()
    assert seen == ["/ws", "/ws/events"]


@pytest.mark.net
async def test_a_token_is_asked_for_anew_for_each_carrier() -> None:
    tokens: list[str] = []

    def token() -> str:
        tokens.append(f"t{len(tokens)}")
        return tokens[-1]

    seen: list[str | None] = []

    async def authenticate(hello: Hello) -> User:
        seen.append(hello.token)
        return User("ana")

    app = shop()
    app.authenticate(authenticate)
    async with gated(app) as (gate, url):
        gate.rule = eats("websocket", "events")
        async with through(url, token=token) as client:
            assert client.carrier == "stream"
    assert (tokens, seen) == (["t0", "t1", "t2"], ["t2"])


@pytest.mark.net
async def test_where_nobody_is_there_one_carrier_is_enough() -> None:
    async with serving(lambda reader, writer: asyncio.sleep(0)) as port:
        pass
    client = connect(f"ws://127.0.0.1:{port}/ws", first_timeout=0.05)
    troubles: list[Exception] = []
    client.on("error", troubles.append)
    with pytest.raises(Closed):
        await client.open()
    assert troubles and all(isinstance(trouble, ConnectionRefusedError) for trouble in troubles)
