"""One request and its response, through real sockets and a stranger carrier."""

import asyncio
from collections.abc import Callable

from anywire.errors import Closed
from anywire.limits import Limits
from anywire.servers.carry import Exchange
from anywire.servers.static import Reply
from anywire.wires.base import Hello, Wire
from tests.servers.carrying import Poll, strange
from tests.servers.serving import dial, request, upgrade


async def test_a_response_is_streamed_in_chunks() -> None:
    async with strange() as server, dial(server) as client:
        client.send(request("/events"))
        said = await client.answer()
        assert said.headers["transfer-encoding"] == "chunked"
        assert said.body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
        client.send(request("/healthz"))
        assert (await client.answer()).body == b"ok\n"


async def test_who_reads_on_after_its_answer_is_told_that_nothing_comes() -> None:
    told: list[Exception] = []

    async def curt(exchange: Exchange, wire: Wire, hello: Hello) -> None:
        exchange.respond(Reply(200, []))
        try:
            while await exchange.read():
                pass
        except Closed as closed:
            told.append(closed)

    async with strange(post=curt) as server, dial(server) as client:
        client.send(request("/post/a", "Content-Length: 10", method="POST"), b"some")
        assert (await client.answer()).status == 200
        assert await client.rest() == b""
    assert len(told) == 1


async def test_a_client_of_http_1_0_is_told_the_end_by_the_end() -> None:
    async with strange() as server, dial(server) as client:
        client.send(b"GET /events HTTP/1.0\r\n\r\n")
        said = await client.answer()
        assert "transfer-encoding" not in said.headers
        assert (await client.rest()).startswith(b"data: 0\n\n")


async def test_a_body_arrives_whole_however_it_was_framed() -> None:
    async with strange() as server, dial(server) as client:
        client.send(request("/post/a", method="POST", body=b"x" * 500_000))
        assert (await client.answer()).body == b"x" * 500_000
        client.send(request("/post/a", "Transfer-Encoding: chunked", method="POST"))
        await client.trickle(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")
        assert (await client.answer()).body == b"abcde"


async def test_a_client_that_waits_is_told_to_continue() -> None:
    async with strange() as server, dial(server) as client:
        client.send(request("/post/a", "Expect: 100-continue", "Content-Length: 2", method="POST"))
        assert (await client.answer(has_body=False)).status == 100
        client.send(b"ok")
        assert (await client.answer()).body == b"ok"


async def test_a_body_over_the_limit_is_refused_by_its_length() -> None:
    async with strange(Limits(body=1000)) as server, dial(server) as client:
        client.send(request("/post/a", "Content-Length: 1001", method="POST"))
        said = await client.answer()
        assert (said.status, said.headers["connection"]) == (413, "close")
        assert b"1000 bytes" in said.body
        assert await client.rest() == b""


async def test_a_body_over_the_limit_is_refused_while_it_is_read() -> None:
    async with strange(Limits(body=1000)) as server, dial(server) as client:
        client.send(request("/post/a", "Transfer-Encoding: chunked", method="POST"))
        client.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n", b"1\r\nx")
        assert (await client.answer()).status == 413


async def test_a_refused_client_that_is_still_sending_hears_why() -> None:
    async with strange(Limits(body=1000, closing=0.2)) as server, dial(server) as client:
        client.send(request("/post/a", method="POST", body=b"x" * 5_000_000))
        assert (await client.answer()).status == 413
        assert await client.rest() == b""


async def test_the_socket_and_what_was_read_can_be_given_away() -> None:
    async with strange() as server:
        async with dial(server) as client:
            client.send(upgrade("/take"), b"first")
            assert (await client.answer(has_body=False)).status == 101
            assert await client.reader.readexactly(5) == b"FIRST"
            client.send(b"then")
            assert await client.reader.readexactly(4) == b"THEN"
        async with dial(server) as client:
            client.send(request("/take"))
            assert (await client.answer(has_body=False)).status == 101  # written before it failed
            assert await client.rest() != b""


async def test_a_carrier_learns_that_its_client_is_gone() -> None:
    poll = Poll()
    async with strange(poll=poll) as server:
        async with dial(server) as client:
            client.send(request("/poll"))
            await poll.held.wait()
        async with asyncio.timeout(5):
            await poll.left.wait()


async def test_a_body_that_differs_from_its_length_is_the_carriers_bug() -> None:
    async def short(exchange: Exchange, wire: Wire, hello: Hello) -> None:
        exchange.start(200, [("Content-Length", "5")])
        exchange.end(b"abc")

    async def long(exchange: Exchange, wire: Wire, hello: Hello) -> None:
        exchange.start(200, [("Content-Length", "2")])
        exchange.write(b"abc")

    async with strange(poll=short, events=long) as server:
        for path in ("/poll", "/events"):
            async with dial(server) as client:
                client.send(request(path))
                said = await client.answer(has_body=False)
                assert said.status in (200, 500)
                assert len(await client.rest()) < 60


async def test_a_response_that_has_begun_takes_no_second_one() -> None:
    raised: list[Exception] = []

    async def twice(exchange: Exchange, wire: Wire, hello: Hello) -> None:
        exchange.start(204, [])
        try:
            exchange.start(200, [])
        except ValueError as error:
            raised.append(error)
        exchange.write(b"dropped")
        exchange.end()
        exchange.end()

    async with strange(poll=twice) as server, dial(server) as client:
        client.send(request("/poll"), request("/healthz"))
        assert (await client.answer()).status == 204
        assert (await client.answer()).body == b"ok\n"
        assert len(raised) == 1


class Kept:
    """A carrier that returns at once and answers later; lists what it was told meanwhile."""

    def __init__(self) -> None:
        self.exchange: asyncio.Future[Exchange] = asyncio.get_running_loop().create_future()
        self.told: list[tuple[bool, bool]] = []
        self._changed = asyncio.Event()

    async def __call__(self, exchange: Exchange, wire: Wire, hello: Hello) -> None:
        assert not exchange.is_kept

        def changed() -> None:
            self.told.append((exchange.is_gone, exchange.is_full))
            self._changed.set()

        exchange.keep(changed)
        assert exchange.is_kept
        self.exchange.set_result(exchange)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


async def test_what_is_kept_is_answered_later_and_the_connection_goes_on() -> None:
    kept = Kept()
    async with strange(poll=kept) as server, dial(server) as client:
        client.send(request("/poll"))
        exchange = await kept.exchange
        assert not (exchange.has_begun or exchange.is_full)
        exchange.respond(Reply(200, [], b"at last"))
        assert (await client.answer()).body == b"at last"
        assert kept.told == [(False, False)]  # of its end, for the last time
        client.send(request("/healthz"))
        assert (await client.answer()).body == b"ok\n"


async def test_who_keeps_a_request_is_told_when_its_client_is_gone() -> None:
    kept = Kept()
    async with strange(poll=kept) as server:
        async with dial(server) as client:
            client.send(request("/poll"))
            exchange = await kept.exchange
        await kept.until(lambda: exchange.is_gone)
        assert kept.told == [(True, False)]
        exchange.respond(Reply(200, []))
        exchange.write(b"to nobody")
        exchange.end()


async def test_who_keeps_a_request_is_told_when_all_that_was_written_is_taken() -> None:
    kept = Kept()
    async with strange(poll=kept) as server, dial(server) as client:
        client.send(request("/poll"))
        exchange = await kept.exchange
        exchange.start(200, [])
        written = 0
        while not exchange.is_full:
            exchange.write(b"x" * 100_000)
            written += 1
        assert kept.told == []
        await client.answer(has_body=False)
        for _ in range(written):
            assert len(await client.chunk()) == 100_000
        await kept.until(lambda: not exchange.is_full)
        exchange.end()
        assert await client.chunk() == b""


async def test_parts_that_are_written_together_are_chunks_of_their_own() -> None:
    async def carry(exchange: Exchange, wire: Wire, hello: Hello) -> None:
        exchange.start(200, [])
        exchange.write(b"a", b"", b"bc")
        exchange.write()
        exchange.end(b"d")

    async with strange(poll=carry) as server, dial(server) as client:
        client.send(request("/poll"))
        await client.answer(has_body=False)
        assert [await client.chunk() for _ in range(4)] == [b"a", b"bc", b"d", b""]


async def test_headers_of_the_host_stand_in_every_answer() -> None:
    origin = "Origin: https://friend.example"

    async def streamed(exchange: Exchange, wire: Wire, hello: Hello) -> None:
        exchange.start(200, [("X-Own", "1")])
        exchange.end()

    async def whole(exchange: Exchange, wire: Wire, hello: Hello) -> None:
        exchange.respond(Reply(200, [("X-Own", "1")]))

    async def failing(exchange: Exchange, wire: Wire, hello: Hello) -> None:
        exchange.fail(502, "no")

    for carry, own in ((streamed, "1"), (whole, "1"), (failing, None)):
        async with strange(poll=carry, origins=["https://friend.example"]) as server:
            async with dial(server) as client:
                client.send(request("/poll", origin))
                headers = (await client.answer()).headers
                assert headers["access-control-allow-origin"] == "https://friend.example"
                assert headers.get("x-own") == own
