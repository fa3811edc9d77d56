"""Tests of anywire.servers.neighbours.request: a carrier whose client is at another node."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from anywire.core.admission import Elsewhere, admit
from anywire.errors import Closed, ProtocolError
from anywire.limits import Limits
from anywire.payload import Carrier
from anywire.servers.carry import Exchange, whole
from anywire.servers.hosting import Hosting
from anywire.servers.neighbours import words
from anywire.servers.neighbours.request import BroughtRequest
from anywire.servers.static import Reply
from anywire.wires.base import Answer, Hello, Opening, Role, Route, Why, Wire
from tests.core.support import Bench
from tests.servers.neighbours.pair import House, descriptors, dial_to, pair
from tests.servers.neighbours.test_relay import Wire as Link
from tests.servers.serving import request

Act = Callable[[Exchange], Awaitable[None]]


class Named:
    """A wire whose requests say in their query which node owns their session."""

    name = "named"
    reserved: frozenset[str] = frozenset()

    def routes(self) -> list[Route]:
        return [Route("GET", "/s", Carrier.STREAM), Route("POST", "/s", Carrier.POST)]

    def open(self, hello: Hello) -> Opening | Answer:
        return Opening(machine=None, session=f"{hello.query['at']}.x", role=Role.DOWNLINK)

    def refuse(self, hello: Hello, why: Why) -> Answer:
        return Answer(status=404, body=why.reason.value.encode())


class Streaming:
    """The carrier of a test: passes on what belongs elsewhere, else does what the test says."""

    def __init__(self, act: Act) -> None:
        self.act = act
        self.hostings: dict[object, Hosting] = {}
        self.ended = asyncio.Event()

    def of(self, house: House) -> None:
        """Make known where this node passes on."""
        self.hostings[house.node.id] = house.hosting

    async def __call__(self, exchange: Exchange, wire: Wire, hello: Hello) -> None:
        hosting = self.hostings[hello.sign]
        admission = await admit(hosting._node, wire, hello)
        if isinstance(admission, Elsewhere):
            await hosting.forward.request(exchange, wire, hello, admission)
            return
        try:
            await self.act(exchange)
        finally:
            self.ended.set()


async def streamed(act: Act, sent: bytes, limits: Limits | None = None) -> tuple[bytes, Streaming]:
    """What the client of the wrong node hears, where the owner's carrier acts so."""
    carry = Streaming(act)
    carriers = {Carrier.STREAM: carry, Carrier.POST: carry}
    async with pair(wires=[Named()], carriers=carriers, limits=limits) as (one, two):
        carry.of(one)
        carry.of(two)
        before = descriptors()
        async with dial_to(two) as dialed:
            dialed.send(sent)
            async with asyncio.timeout(5):
                heard = await dialed.rest()
        assert two.node.counters.forwarded == 1
        await two.until(lambda: not two.node.dispatcher.stepper.tasks)
        await one.until(lambda: descriptors() <= before)
    return heard, carry


GET = request("/s?at=n0", "Connection: close")


async def test_what_is_kept_is_answered_later_without_a_task() -> None:
    told: list[tuple[bool, bool]] = []

    async def act(exchange: Exchange) -> None:
        assert not exchange.is_kept
        tasks = len(asyncio.all_tasks())

        def changed() -> None:
            told.append((exchange.is_gone, exchange.is_full))
            if len(told) == 2:
                assert len(asyncio.all_tasks()) < tasks
                exchange.end(b"!")

        exchange.keep(changed)
        await exchange.read()
        exchange.start(200, [("Content-Type", "text/plain")])
        exchange.write(b"one", b"", b"two")
        assert exchange.is_full

    heard, _ = await streamed(act, GET)
    assert heard.split(b"\r\n\r\n", 1)[1] == b"3\r\none\r\n3\r\ntwo\r\n1\r\n!\r\n0\r\n\r\n"
    assert told[:2] == [(False, False), (False, False)]  # its body is whole; all was taken


async def test_who_keeps_a_request_is_told_when_its_client_is_gone() -> None:
    gone = asyncio.Event()

    async def act(exchange: Exchange) -> None:
        exchange.keep(lambda: gone.set() if exchange.is_gone else None)

    carry = Streaming(act)
    async with pair(wires=[Named()], carriers={Carrier.STREAM: carry}) as (one, two):
        carry.of(one)
        carry.of(two)
        async with dial_to(two) as dialed:
            dialed.send(GET)
            async with asyncio.timeout(5):
                await carry.ended.wait()
        async with asyncio.timeout(5):
            await gone.wait()


async def test_a_response_that_streams_comes_part_by_part() -> None:
    async def act(exchange: Exchange) -> None:
        exchange.start(200, [("Content-Type", "text/plain"), (b"X-Bytes", b"\xff")])
        with pytest.raises(ValueError, match="begun"):
            exchange.start(200, [])
        for n in range(3):
            exchange.write(b"%d" % n)
            exchange.write(b"")
            await exchange.drained()
        exchange.end(b"last")
        exchange.write(b"never")
        exchange.end(b"never")
        exchange.fail(500, "never")
        exchange.respond(Reply(500, []))

    heard, _ = await streamed(act, GET)
    head, body = heard.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"x-bytes: \xff" in head.lower()
    assert body == b"1\r\n0\r\n1\r\n1\r\n1\r\n2\r\n4\r\nlast\r\n0\r\n\r\n"


async def test_who_writes_much_waits_for_the_client() -> None:
    written = 0
    part = b"x" * 100_000

    async def act(exchange: Exchange) -> None:
        nonlocal written
        exchange.start(200, [])
        while not exchange.is_gone:
            exchange.write(part)
            written += 1
            await exchange.drained()

    carry = Streaming(act)
    async with pair(wires=[Named()], carriers={Carrier.STREAM: carry, Carrier.POST: carry}) as (
        one,
        two,
    ):
        carry.of(one)
        carry.of(two)
        async with dial_to(two) as dialed:
            dialed.writer.transport.pause_reading()  # type: ignore[attr-defined]
            dialed.send(GET)
            before = -1
            while before != written:  # until it stands still
                before = written
                for _ in range(50):
                    await asyncio.to_thread(int)
            assert 0 < written < 500
            dialed.writer.transport.resume_reading()  # type: ignore[attr-defined]
            await dialed.reader.readexactly(written * len(part) + 1000)
            dialed.writer.transport.abort()
        async with asyncio.timeout(5):
            await carry.ended.wait()


async def test_a_body_reaches_the_owner_and_its_limit_holds_there() -> None:
    async def act(exchange: Exchange) -> None:
        exchange.respond(Reply(200, [], await whole(exchange)))

    body = b"x" * 300_000
    sent = request("/s?at=n0", "Connection: close", method="POST", body=body)
    heard, _ = await streamed(act, sent)
    assert heard.endswith(b"\r\n\r\n" + body)

    async def tight(exchange: Exchange) -> None:
        exchange.bound(1000)
        with pytest.raises(Closed):
            await whole(exchange)

    heard, _ = await streamed(tight, sent)
    assert heard.startswith(b"HTTP/1.1 413 ")
    assert b"at most 1000 bytes" in heard


async def test_a_carrier_that_fails_or_forgets_to_answer_is_a_500(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(exchange: Exchange) -> None:
        raise KeyError("secret")

    heard, _ = await streamed(broken, GET)
    assert heard.startswith(b"HTTP/1.1 500 ")
    assert b"internal error " in heard
    assert b"secret" not in heard
    assert "KeyError" in caplog.text

    async def forgetful(exchange: Exchange) -> None:
        pass

    heard, _ = await streamed(forgetful, GET)
    assert heard.startswith(b"HTTP/1.1 500 ")


async def test_a_carrier_that_fails_in_the_middle_hangs_up_without_an_end() -> None:
    async def act(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"half")
        await exchange.drained()
        exchange.fail(500, "unheard")

    heard, _ = await streamed(act, GET)
    assert heard.endswith(b"4\r\nhalf\r\n")


async def test_a_client_that_leaves_is_gone_for_the_owners_carrier() -> None:
    begun = asyncio.Event()

    async def act(exchange: Exchange) -> None:
        begun.set()
        await exchange.gone()
        assert exchange.is_gone
        assert not exchange.has_ended
        exchange.respond(Reply(200, []))
        await exchange.drained()

    carry = Streaming(act)
    async with pair(wires=[Named()], carriers={Carrier.STREAM: carry, Carrier.POST: carry}) as (
        one,
        two,
    ):
        carry.of(one)
        carry.of(two)
        async with dial_to(two) as dialed:
            dialed.send(GET)
            await begun.wait()
        async with asyncio.timeout(5):
            await carry.ended.wait()


async def test_an_owner_that_dies_in_the_middle_of_an_answer_cuts_it() -> None:
    async def act(exchange: Exchange) -> None:
        exchange.start(200, [])
        exchange.write(b"half")
        await exchange.drained()
        assert isinstance(exchange, BroughtRequest)
        assert exchange._link is not None
        exchange._link.cut("killed")
        await exchange.gone()

    heard, _ = await streamed(act, GET)
    assert heard.endswith(b"4\r\nhalf\r\n")


async def test_an_owner_that_says_what_is_no_response_is_cut() -> None:
    async def act(exchange: Exchange) -> None:
        assert isinstance(exchange, BroughtRequest)
        exchange._say(words.Beat())
        await exchange.gone()

    heard, _ = await streamed(act, GET)
    assert heard.startswith(b"HTTP/1.1 404 ")
    assert heard.endswith(b"owner_gone")


async def test_a_stop_of_the_owner_answers_what_it_has_not() -> None:
    begun = asyncio.Event()

    async def act(exchange: Exchange) -> None:
        begun.set()
        await asyncio.Event().wait()

    carry = Streaming(act)
    async with pair(wires=[Named()], carriers={Carrier.STREAM: carry, Carrier.POST: carry}) as (
        one,
        two,
    ):
        carry.of(one)
        carry.of(two)
        async with dial_to(two) as dialed:
            dialed.send(GET)
            await begun.wait()
            await one.node.stop()
            assert (await dialed.answer()).status == 503


# --- without another node -------------------------------------------------------------------------


async def brought(limit: int = 10) -> tuple[BroughtRequest, Link]:
    """A request under way, whose carrier does nothing."""

    async def carry(exchange: Exchange, wire: Wire, hello: Hello) -> None:
        await asyncio.Event().wait()

    bench = Bench()
    hello = Hello(limits=Limits(body=limit))
    link = Link()
    return BroughtRequest(bench.node, bench.wire, hello, carry), link


async def test_a_body_is_read_as_it_comes_and_raises_when_it_never_will() -> None:
    exchange, link = await brought()
    exchange.take(link, words.Part(b"a"))  # type: ignore[arg-type]
    exchange.take(link, words.Part(b"b"))  # type: ignore[arg-type]
    assert await exchange.read() == b"ab"
    reading = asyncio.ensure_future(exchange.read())
    await asyncio.sleep(0)
    exchange.take(link, words.End())  # type: ignore[arg-type]
    assert await reading == b""
    other, _ = await brought()
    reading = asyncio.ensure_future(other.read())
    await asyncio.sleep(0)
    other.lost()
    with pytest.raises(Closed):
        await reading
    with pytest.raises(ProtocolError):
        other.take(link, words.Heard())  # type: ignore[arg-type]


async def test_a_bound_counts_what_has_come_already() -> None:
    exchange, link = await brought()
    exchange.take(link, words.Part(b"12345"))  # type: ignore[arg-type]
    exchange.bound(5)
    assert not exchange.has_ended
    exchange.bound(4)
    assert exchange.has_ended
    with pytest.raises(Closed):
        await whole(exchange)


async def test_a_reader_that_was_cancelled_hinders_nobody() -> None:
    exchange, _ = await brought()
    reading = asyncio.ensure_future(exchange.read())
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])
    exchange.lost()
    assert exchange.is_gone
