"""A request that waits for what a session says, through real sockets and a stranger wire."""

import asyncio
from collections.abc import Callable

import pytest

from anywire.errors import Refused
from anywire.payload import Carrier, Payload
from anywire.servers.carry import Exchange
from anywire.servers.outlet import ExchangeOutlet, refuse
from anywire.transports.http import HttpTransport
from anywire.wires.base import Answer, Hello, Opening, Overlap, User, Wire
from tests.servers.carrying import strange
from tests.servers.hub import Hub, hub
from tests.servers.oddly import Guest, odd
from tests.servers.serving import Dialed, dial, make_node, request
from tests.wires.strangers.odd import Odd, goodbye

pytestmark = pytest.mark.net


async def until(condition: Callable[[], bool]) -> None:
    """Give the server turns until it holds; five seconds are too many."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def held(guest: Guest, dialed: Dialed | None = None, kind: str = "poll") -> None:
    """Have a request wait."""
    asked = guest.node.counters.requests
    guest.ask(dialed, kind)
    await until(lambda: guest.node.counters.requests > asked)


# --- polls ----------------------------------------------------------------------------------------


async def test_a_poll_is_answered_with_as_much_as_its_wire_puts_in_and_the_next_with_the_rest() -> (
    None
):
    async with odd(Odd(at_once=2)) as (_, guest):
        await guest.open()
        guest.say("a", "b", "c")
        assert await guest.poll() == ["ma", "mb"]
        assert await guest.poll() == ["mc"]


async def test_every_answer_has_the_headers_of_its_wire_and_what_keeps_it_from_harm() -> None:
    async with odd() as (_, guest):
        await guest.open()
        told = [guest.told]
        guest.say("a")
        await guest.poll()
        told.append(guest.told)
        for headers in told:
            assert headers["content-type"] == "text/odd"
            assert headers["set-cookie"] == "odd=very"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-accel-buffering"] == "no"
        posted = (await guest.post("hello")).headers
        assert (posted["x-odd"], posted["set-cookie"]) == ("taken", "odd=very")
        assert posted["x-content-type-options"] == "nosniff"


async def test_a_poll_with_nothing_to_say_is_ended_in_the_words_of_its_wire() -> None:
    async with odd(Odd(wait=0.01)) as (_, guest):
        await guest.open()
        guest.ask()
        said = await guest.asks.answer()
        assert (said.status, said.body) == (200, b"idle")
        assert guest.standing.is_attached


async def test_a_poll_waits_for_ever_where_its_wire_does_not_say_how_long() -> None:
    async with odd(Odd(gap=0.3)) as (_, guest):
        await guest.open()
        await held(guest)
        await asyncio.sleep(0.4)  # longer than it may take from one poll to the next
        guest.say("at last")
        assert guest.read(await guest.asks.answer()) == ["mat last"]


async def test_a_poll_whose_session_ends_without_a_word_says_so() -> None:
    async with odd(Odd(is_told=True)) as (_, guest):
        await guest.open()
        await held(guest)
        guest.standing.abort(1006, "")
        said = await guest.asks.answer()
        assert (said.body, said.headers["x-odd-end"]) == (b"closed", "1006")


@pytest.mark.parametrize("is_told", [True, False])
async def test_a_last_word_may_stand_in_the_headers_too(is_told: bool) -> None:
    async with odd(Odd(is_told=is_told, at_once=1)) as (_, guest):
        await guest.open()
        guest.say("before")
        guest.standing.close(4003, "out")
        assert await guest.poll() == ["mbefore"]
        assert "x-odd-end" not in guest.told
        assert await guest.poll() == ["x4003 out"]
        assert guest.told.get("x-odd-end") == ("4003" if is_told else None)


# --- two at once ----------------------------------------------------------------------------------


async def test_a_second_request_may_be_refused_in_words_that_it_understands() -> None:
    async with odd() as (server, guest), dial(server) as other:
        await guest.open()
        await held(guest)
        assert await guest.poll(other) == ["x4409 another request waits"]
        assert guest.told["set-cookie"] == "odd=very"
        guest.say("for the first")
        assert guest.read(await guest.asks.answer()) == ["mfor the first"]


async def test_a_second_request_may_end_both_and_their_session() -> None:
    async with odd(Odd(overlap=Overlap.END)) as (server, guest), dial(server) as other:
        await guest.open()
        await held(guest)
        assert await guest.poll(other) == ["x4409 another request waits"]
        assert (await guest.asks.answer()).body == b"closed"
        assert not guest.node.sessions


@pytest.mark.parametrize("overlap", [Overlap.REFUSE, Overlap.END])
@pytest.mark.parametrize("kind", ["poll", "stream"])
async def test_a_request_that_is_cut_takes_the_session_along(overlap: Overlap, kind: str) -> None:
    async with odd(Odd(overlap=overlap)) as (server, guest):
        await guest.open()
        async with dial(server) as other:
            await held(guest, other, kind)
        await until(lambda: not guest.node.sessions)


async def test_a_request_that_is_cut_may_be_asked_again() -> None:
    async with odd(Odd(overlap=Overlap.REPLACE)) as (server, guest):
        await guest.open()
        async with dial(server) as other:
            await held(guest, other)
        guest.say("for the next")
        assert await guest.poll() == ["mfor the next"]


async def test_a_last_word_may_be_said_to_everyone_who_asks_for_a_while() -> None:
    async with odd(Odd(is_repeated=True, gap=0.05)) as (_, guest):
        await guest.open()
        guest.say("only once")
        guest.standing.close(3000, "go away")
        assert await guest.poll() == ["monly once", "x3000 go away"]
        for _ in range(2):
            assert await guest.poll() == ["x3000 go away"]
        guest.ask(kind="stream")
        assert (await guest.asks.answer()).body == b"0:,13:x3000 go away,"

        async def is_forgotten() -> bool:
            return (await guest.poll()) == ["x1013 no such session"]

        async with asyncio.timeout(5):
            while not await is_forgotten():
                pass


# --- streams --------------------------------------------------------------------------------------


async def test_a_stream_has_a_chunk_for_each_thing_said() -> None:
    async with odd() as (_, guest):
        await guest.open()
        guest.ask(kind="stream")
        head = await guest.asks.answer(has_body=False)
        assert (head.status, head.headers["transfer-encoding"]) == (200, "chunked")
        assert head.headers["set-cookie"] == "odd=very"
        assert await guest.asks.chunk() == b"0:,"
        guest.say("a", "b")
        assert [await guest.asks.chunk() for _ in "ab"] == [b"2:ma,", b"2:mb,"]


async def test_a_stream_begins_at_once_though_there_is_nothing_to_say() -> None:
    async with odd() as (_, guest):
        await guest.open()
        guest.ask(kind="stream")
        await guest.asks.answer(has_body=False)
        assert await guest.asks.chunk() == b"0:,"


async def test_a_stream_that_has_said_enough_ends_and_the_next_goes_on() -> None:
    async with odd(Odd(limit=10)) as (_, guest):
        await guest.open()
        guest.ask(kind="stream")
        await guest.asks.answer(has_body=False)
        assert await guest.asks.chunk() == b"0:,"
        guest.say("aaa")
        assert await guest.asks.chunk() == b"4:maaa,"
        guest.say("bbb", "ccc")
        assert [await guest.asks.chunk() for _ in range(3)] == [b"4:mbbb,", b"4:mccc,", b""]
        guest.say("ddd")
        assert await guest.poll() == ["mddd"]


async def test_a_stream_ends_with_the_last_word_and_then_its_end() -> None:
    async with odd(Odd(limit=100, is_told=True)) as (_, guest):
        await guest.open()
        guest.ask(kind="stream")
        await guest.asks.answer(has_body=False)
        assert await guest.asks.chunk() == b"0:,"
        guest.standing.close(4003, "out")
        assert [await guest.asks.chunk() for _ in range(3)] == [b"9:x4003 out,", b"end 4003", b""]


async def test_a_stream_that_was_full_with_the_last_word_has_its_end_told_by_the_next() -> None:
    async with odd(Odd(limit=1, is_told=True)) as (_, guest):
        await guest.open()
        guest.ask(kind="stream")
        await guest.asks.answer(has_body=False)
        assert await guest.asks.chunk() == b"0:,"
        guest.standing.close(4003, "out")
        assert [await guest.asks.chunk() for _ in range(2)] == [b"9:x4003 out,", b""]
        guest.ask(kind="stream")
        assert (await guest.asks.answer()).body == b"0:,end 4003"


async def test_a_stream_that_ends_with_what_waited_says_so_whatever_its_limit() -> None:
    async with odd(Odd(limit=1, is_told=True)) as (_, guest):
        await guest.open()
        guest.say("before")
        guest.standing.close(4003, "out")
        guest.ask(kind="stream")
        assert (await guest.asks.answer()).body == b"0:,7:mbefore,9:x4003 out,end 4003"


async def test_what_was_framed_for_polls_is_framed_anew_for_a_stream() -> None:
    class Other:
        key = ("other", 0)

        def frame(self, payload: Payload) -> bytes:
            return b"<%b>" % payload.data

    wire = Odd()
    wire.downlinks[Carrier.STREAM] = type(wire.downlinks[Carrier.STREAM])(framing=Other())
    async with odd(wire) as (_, guest):
        await guest.open()
        guest.say("kept")
        await asyncio.sleep(0)
        guest.ask(kind="stream")
        await guest.asks.answer(has_body=False)
        assert await guest.asks.chunk() == b"<mkept>"


async def test_a_client_that_does_not_read_its_stream_is_waited_for() -> None:
    async with odd() as (_, guest):
        await guest.open()
        guest.ask(kind="stream")
        await guest.asks.answer(has_body=False)
        assert await guest.asks.chunk() == b"0:,"
        transport = guest.standing.transport
        assert isinstance(transport, HttpTransport)
        said = 0
        while not transport.buffered:
            guest.say("x" * 60_000)
            said += 1
            await asyncio.sleep(0)
        guest.say("behind")
        await asyncio.sleep(0)
        assert guest.standing.outbox.waiting > 0
        for _ in range(said):
            assert len(await guest.asks.chunk()) == 60_008
        assert await guest.asks.chunk() == b"7:mbehind,"
        assert transport.buffered == 0


# --- refusals -------------------------------------------------------------------------------------


async def nobody(hello: Hello) -> User:
    raise Refused("staff_only", "members only")


@pytest.mark.parametrize("is_told", [True, False])
async def test_who_is_not_let_in_hears_it_in_the_words_of_its_request(is_told: bool) -> None:
    node = make_node(authenticate=nobody)
    async with odd(Odd(is_told=is_told), node=node) as (_, guest):
        guest.asks.send(request("/odd/echo/poll"))
        said = await guest.asks.answer()
        assert (said.status, said.body) == (200, b"18:x4401 members only,")
        assert said.headers.get("x-odd-end") == ("4401" if is_told else None)
        assert said.headers["set-cookie"] == "odd=very"
        guest.asks.send(request("/odd/echo/stream"))
        body = (await guest.asks.answer()).body
        assert body == b"0:,18:x4401 members only," + (b"end 4401" if is_told else b"")


async def test_a_refusal_without_a_word_is_an_end() -> None:
    downlink = Odd(is_told=True).downlinks[Carrier.POLL]

    async def curt(exchange: Exchange, wire: Wire, hello: Hello) -> None:
        refuse(exchange, Answer.accepted(4000, "no", downlink=downlink))

    async with strange(poll=curt) as server, dial(server) as client:
        client.send(request("/poll"))
        said = await client.answer()
        assert (said.status, said.body, said.headers["x-odd-end"]) == (200, b"closed", "4000")


async def test_what_has_begun_is_not_refused_any_more() -> None:
    downlink = Odd().downlinks[Carrier.STREAM]
    answer = Answer.accepted(4000, "no", payloads=[goodbye(4000, "no")], downlink=downlink)

    async def late(exchange: Exchange, wire: Wire, hello: Hello) -> None:
        exchange.start(200, [])
        exchange.write(b"begun")
        refuse(exchange, answer)
        refuse(exchange, Answer(status=500))
        exchange.end()

    async with strange(poll=late) as server, dial(server) as client:
        client.send(request("/poll"))
        assert (await client.answer()).body == b"begun"


async def test_a_wire_that_does_not_say_how_it_answers_is_told_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Silent(Odd):
        def open(self, hello: Hello) -> Opening | Answer:
            opening = super().open(hello)
            assert isinstance(opening, Opening)
            opening.downlink = opening.uplink = None
            return opening

    async with odd(Silent()) as (_, guest):
        guest.asks.send(request("/odd/echo/poll"))
        assert (await guest.asks.answer()).status == 500
        assert "does not say how" in caplog.text


async def test_nothing_is_said_to_who_is_gone() -> None:
    opening = Opening(machine=None, session="", downlink=Odd().downlinks[Carrier.STREAM])
    gone: asyncio.Future[ExchangeOutlet] = asyncio.get_running_loop().create_future()

    async def waits(exchange: Exchange, wire: Wire, hello: Hello) -> None:
        outlet = ExchangeOutlet(exchange, Carrier.STREAM, opening)
        exchange.keep(lambda: gone.set_result(outlet) if exchange.is_gone else None)

    async with strange(poll=waits) as server:
        async with dial(server) as client:
            client.send(request("/poll"))
        outlet = await gone
        assert outlet.is_over
        assert outlet.say([Payload(b"late").framed(outlet.downlink.framing)], None) == 0
        outlet.end(None)


# --- an end that is a status ----------------------------------------------------------------------


async def waits(client: Hub) -> None:
    """Have a poll wait."""
    asked = client.node.counters.requests
    client.ask()
    await until(lambda: client.node.counters.requests > asked)


async def test_a_poll_whose_session_is_over_is_answered_by_a_status_where_its_wire_says_so() -> (
    None
):
    async with hub() as (_, client):
        await client.open()
        await waits(client)
        await client.post(b'{"type":7}\x1e')
        said = await client.asks.answer()
        assert (said.status, said.body) == (204, b"")


async def test_a_poll_that_another_replaces_is_so_too_and_one_that_waited_in_vain_is_not() -> None:
    async with hub(poll=0.02) as (server, client), dial(server) as other:
        await client.open()
        said = await client.poll()
        assert (said.status, said.body) == (200, b"")
        await waits(client)
        client.ask(other)
        assert (await client.asks.answer()).status == 204
        assert (await other.answer()).status == 200


async def test_the_last_words_are_said_before_the_status() -> None:
    async with hub() as (_, client):
        await client.open()
        await waits(client)
        client.standing.close(4000, "out")
        said = await client.asks.answer()
        assert (said.status, said.body[:9]) == (200, b'{"type":7')
