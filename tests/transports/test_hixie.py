"""The transport of 2010: its handshake however late, text both ways, the ends it has."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import pytest

from anywire.core.clock import Deadlines
from anywire.limits import Limits
from anywire.net.hixie import CLOSE, Challenge
from anywire.payload import Payload
from anywire.transports.hixie import HixieTransport
from tests.contracts.transport import Recorder

# Section 1.2 of the draft.
CHALLENGE = Challenge("http://example.com", "ws://example.com/demo", 155712099, 173347027)
NONCE, PROOF = b"Tm[K T2u", b"fQJ,fN/4F4!~K~MH"


class Accepting(asyncio.Protocol):
    """A host in four lines: each socket is given away at once."""

    def __init__(self, accepted: asyncio.Future[asyncio.Transport]) -> None:
        self._accepted = accepted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._accepted.set_result(cast(asyncio.Transport, transport))


@dataclass(slots=True)
class Pair:
    """A transport with its sink attached, and the socket it leads to."""

    transport: HixieTransport
    sink: Recorder
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    gone: asyncio.Event

    def say(self, *messages: str | bytes) -> None:
        framing = self.transport.framing
        self.transport.write([Payload.of(message).framed(framing) for message in messages])

    async def proved(self) -> None:
        """The client sends the rest of its handshake, and reads the proof of it."""
        self.writer.write(NONCE)
        assert await self.reader.readexactly(len(PROOF)) == PROOF

    async def heard(self, *messages: str) -> None:
        await self.sink.until(lambda: len(self.sink.messages) >= len(messages))
        assert self.sink.messages == list(messages)

    async def ended(self, code: int, *, is_clean: bool) -> None:
        """The sink was told so once, and the host that the socket is gone."""
        await self.sink.until(lambda: bool(self.sink.ends))
        assert self.sink.ends == [(code, "", is_clean)]
        async with asyncio.timeout(5):
            await self.gone.wait()
        assert self.sink.ends == [(code, "", is_clean)]


@asynccontextmanager
async def connected(limits: Limits | None = None) -> AsyncIterator[Pair]:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(now=loop.time, call_at=loop.call_at)
    accepted: asyncio.Future[asyncio.Transport] = loop.create_future()
    listener = await loop.create_server(lambda: Accepting(accepted), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
    server = await accepted
    server.set_write_buffer_limits(high=0)
    gone = asyncio.Event()
    transport = HixieTransport(
        server,
        CHALLENGE,
        now=loop.time,
        deadlines=deadlines,
        limits=limits or Limits(),
        lost=lambda writer: gone.set(),
    )
    server.set_protocol(transport)
    sink = Recorder()
    transport.attach(sink)
    try:
        yield Pair(transport, sink, reader, writer, gone)
    finally:
        transport.abort()
        writer.transport.abort()
        listener.close()
        await sink.until(lambda: bool(sink.ends))
        deadlines.close()


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    async with connected() as made:
        yield made


async def test_text_goes_both_ways_in_order(pair: Pair) -> None:
    await pair.proved()
    pair.say("a", "é", "")
    pair.say("b")
    assert await pair.reader.readexactly(12) == b"\0a\xff\0\xc3\xa9\xff\0\xff\0b\xff"
    pair.writer.write(b"\0one\xff\0tw")
    await pair.heard("one")
    pair.writer.write(b"o\xff")
    await pair.heard("one", "two")


async def test_the_proof_comes_before_all_that_was_said_meanwhile(pair: Pair) -> None:
    """However late the client's last bytes come, and in how many pieces."""
    pair.say("early")
    pair.say("too")
    assert pair.transport.buffered == len(b"\0early\xff\0too\xff")
    pair.writer.write(NONCE[:3])
    await asyncio.sleep(0.01)
    assert pair.sink.writables == 0
    pair.writer.write(NONCE[3:] + b"\0hello\xff")
    await pair.heard("hello")
    assert await pair.reader.readexactly(28) == PROOF + b"\0early\xff\0too\xff"
    assert pair.transport.buffered == 0
    assert pair.sink.writables == 1


async def test_what_is_no_text_is_not_said(pair: Pair) -> None:
    await pair.proved()
    pair.say(b"\x01", "text")
    assert await pair.reader.readuntil(b"\xff") == b"\0text\xff"
    pair.say(b"\x01")
    assert not pair.transport.beat()


async def test_the_client_says_goodbye_and_is_told_it_too(pair: Pair) -> None:
    await pair.proved()
    pair.writer.write(b"\0last\xff" + CLOSE + b"\0behind it\xff")
    await pair.heard("last")
    assert await pair.reader.read() == CLOSE
    await pair.ended(1005, is_clean=True)
    pair.say("to nobody")


async def test_a_close_comes_after_all_that_was_said(pair: Pair) -> None:
    await pair.proved()
    pair.say("last")
    pair.transport.close(3000, "Go away!")
    pair.transport.close(3001, "again")
    pair.say("never")
    assert await pair.reader.read() == b"\0last\xff" + CLOSE
    await pair.ended(1006, is_clean=False)


async def test_a_close_before_the_proof_is_a_hang_up(pair: Pair) -> None:
    pair.transport.close(1000, "")
    assert await pair.reader.read() == b""
    await pair.ended(1006, is_clean=False)


async def test_a_client_that_does_not_take_its_close_is_cut() -> None:
    async with connected(Limits(closing=0.05)) as pair:
        await pair.proved()
        while not pair.transport.buffered:
            pair.say("x" * 60_000)
        pair.transport.close(1000, "")
        await pair.ended(1006, is_clean=False)


async def test_a_client_that_does_not_read_is_seen_and_its_end_too(pair: Pair) -> None:
    await pair.proved()
    assert pair.transport.buffered == 0
    said = 0
    while not pair.transport.buffered:
        pair.say("x" * 60_000)
        said += 1
    assert pair.sink.writables == 0
    await pair.reader.readexactly(said * 60_002)
    await pair.sink.until(lambda: pair.sink.writables > 0)
    assert pair.transport.buffered == 0


async def test_what_was_said_early_may_not_fit_either() -> None:
    """`writable` is told once, when the kernel has taken it."""
    async with connected() as pair:
        for _ in range(200):
            pair.say("x" * 60_000)
        pair.writer.write(NONCE)
        await pair.reader.readexactly(len(PROOF) + 200 * 60_002)
        await pair.sink.until(lambda: pair.sink.writables > 0)
        assert pair.sink.writables == 1


async def test_reading_can_be_paused(pair: Pair) -> None:
    await pair.proved()
    pair.transport.pause()
    pair.writer.write(b"\0waits\xff")
    pair.say("not paused")
    assert await pair.reader.readuntil(b"\xff") == b"\0not paused\xff"
    assert pair.sink.messages == []
    pair.transport.resume()
    await pair.heard("waits")


async def test_a_broken_rule_ends_it() -> None:
    async with connected(Limits(message=10)) as pair:
        await pair.proved()
        pair.writer.write(b"\0" + b"x" * 11)
        assert await pair.reader.read() == CLOSE
        await pair.ended(1009, is_clean=False)


async def test_a_handshake_that_is_never_finished_is_cut() -> None:
    async with connected(Limits(handshake=0.05)) as pair:
        pair.writer.write(NONCE[:7])
        assert await pair.reader.read() == b""
        await pair.ended(1006, is_clean=False)


async def test_a_finished_handshake_is_not_cut() -> None:
    async with connected(Limits(handshake=0.05)) as pair:
        await pair.proved()
        await asyncio.sleep(0.1)
        pair.say("still here")
        assert await pair.reader.readuntil(b"\xff") == b"\0still here\xff"


async def test_a_client_that_vanishes_is_lost(pair: Pair) -> None:
    await pair.proved()
    pair.writer.write_eof()
    await pair.ended(1006, is_clean=False)


async def test_an_abort_is_told_once(pair: Pair) -> None:
    pair.transport.abort()
    await pair.ended(1006, is_clean=False)
