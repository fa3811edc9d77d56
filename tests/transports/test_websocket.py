"""The WebSocket transport: what every transport does, then what only this one does."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from anywire.core.clock import Deadlines
from anywire.limits import Limits
from anywire.net.connection import Close, Connection, Ping, Pong
from anywire.net.deflate import PerMessageDeflate
from anywire.net.rfc6455 import DEFLATED, PLAIN
from anywire.payload import UNFRAMED, Framed, Message, Payload
from anywire.transports.websocket import WebSocketTransport, Writer
from tests.contracts.transport import CHECKS, Check, Pair, Recorder

KEPT = PerMessageDeflate(keep_sent=True)


class Accepting(asyncio.Protocol):
    """A host in ten lines: each socket is a WebSocket from its first byte."""

    def __init__(self, accepted: Callable[[asyncio.Transport], None]) -> None:
        self._accepted = accepted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        transport.set_write_buffer_limits(high=0)
        self._accepted(transport)


class Client:
    """The other end: our own connection over asyncio streams."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        deflate: PerMessageDeflate | None,
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.events: deque[object] = deque()
        self.connection = Connection(
            write=writer.write,
            client=True,
            mask=lambda: b"\x01\x02\x03\x04",
            deflate=deflate,
        )

    async def send(self, message: Message) -> None:
        self.connection.send(message)
        await self.writer.drain()

    async def event(self) -> object:
        """The next thing that happened."""
        while not self.events:
            data = await self.reader.read(65536)
            self.events += self.connection.receive(data) if data else self.connection.eof()
        return self.events.popleft()

    async def receive(self) -> Message:
        event = await self.event()
        assert isinstance(event, str | bytes), event
        return event

    async def closed(self) -> tuple[int, str]:
        event = await self.event()
        assert isinstance(event, Close), event
        assert await self.reader.read() == b""
        return event.code, event.reason

    async def goodbye(self, code: int, reason: str) -> None:
        self.connection.close(code, reason)
        await self.writer.drain()

    def vanish(self) -> None:
        self.writer.transport.abort()

    def deafen(self) -> None:
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def listen(self) -> None:
        self.writer.transport.resume_reading()  # type: ignore[attr-defined]


@asynccontextmanager
async def connected(
    deflate: PerMessageDeflate | None = None,
    *,
    limits: Limits | None = None,
    lost: Callable[[Writer], None] | None = None,
) -> AsyncIterator[Pair]:
    """A transport over a real socket, and its client."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[WebSocketTransport] = loop.create_future()
    deadlines = Deadlines(now=loop.time, call_at=loop.call_at)
    sink = Recorder()

    def accepted(writer: asyncio.Transport) -> None:
        transport = WebSocketTransport(
            writer,
            buffer=memoryview(bytearray(65536)),
            now=loop.time,
            deadlines=deadlines,
            limits=limits or Limits(closing=0.2),
            deflate=deflate,
            lost=lost,
        )
        writer.set_protocol(transport)
        transport.attach(sink)
        made.set_result(transport)

    listener = await loop.create_server(lambda: Accepting(accepted), "127.0.0.1", 0)
    name = listener.sockets[0].getsockname()
    client = Client(*await asyncio.open_connection(*name), deflate)
    transport = await made
    try:
        yield Pair(transport, sink, client)
    finally:
        transport.abort()
        client.writer.transport.abort()
        listener.close()
        await sink.until(lambda: bool(sink.ends))
        await asyncio.wait([loop.create_task(_hung_up(client))])
        deadlines.close()


async def _hung_up(client: Client) -> None:
    try:
        await client.writer.wait_closed()
    except OSError:
        pass


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "deflate", [None, PerMessageDeflate(), KEPT], ids=["plain", "deflate", "kept"]
)
async def test_the_contract(check: Check, deflate: PerMessageDeflate | None) -> None:
    async with connected(deflate) as pair:
        await check(pair)


async def test_an_entry_of_another_framing_is_framed_anew() -> None:
    async with connected() as pair:
        text = "the same words " * 100
        payload = Payload.of(text)
        entries = [
            payload.framed(DEFLATED[15]),
            payload.framed(UNFRAMED),
            payload.framed(PLAIN),
            Framed(payload, b"made by a stranger"),
        ]
        pair.transport.write(entries)
        pair.transport.write([])
        assert [await pair.peer.receive() for _ in entries] == [text] * 4


async def test_a_shared_frame_is_written_as_it_is() -> None:
    async with connected() as pair:
        payload = Payload(b"x")
        framed = payload.framed(PLAIN)
        framed.data = b"\x81\x01y"
        pair.transport.write([framed])
        assert await pair.peer.receive() == "y"


async def test_a_beat_is_a_ping_and_its_answer_is_heard() -> None:
    async with connected() as pair:
        assert isinstance(pair.peer, Client)
        assert pair.transport.beat()
        pair.say("then")
        assert {await pair.peer.event(), await pair.peer.event()} == {Ping(), "then"}
        await pair.sink.until(lambda: pair.sink.heards > 0)
        pair.peer.connection.ping(b"you?")
        assert await pair.peer.event() == Pong(b"you?")
        assert pair.sink.messages == []


async def test_a_part_of_a_message_is_a_sign_of_life() -> None:
    async with connected() as pair:
        assert isinstance(pair.peer, Client)
        pair.peer.writer.write(b"\x82\xfe\x10")
        await pair.sink.until(lambda: pair.sink.heards == 1)
        assert pair.sink.messages == []


async def test_a_broken_rule_is_told_to_both_ends() -> None:
    async with connected() as pair:
        assert isinstance(pair.peer, Client)
        pair.peer.writer.write(b"\x81\x01x")
        assert (await pair.peer.closed())[0] == 1002
        await pair.sink.until(lambda: bool(pair.sink.ends))
        code, reason, is_clean = pair.sink.ends[0]
        assert (code, is_clean) == (1002, False)
        assert reason


async def test_a_broken_rule_is_told_though_the_peer_has_reset_the_connection() -> None:
    async with connected() as pair:
        assert isinstance(pair.peer, Client)
        assert isinstance(pair.transport, WebSocketTransport)

        def reset() -> None:
            raise OSError("Transport endpoint is not connected")

        pair.transport._writer.write_eof = reset  # type: ignore[method-assign]
        pair.peer.writer.write(b"\x81\x01x")
        await pair.sink.until(lambda: bool(pair.sink.ends))
        assert pair.sink.ends[0][0] == 1002


async def test_an_end_without_a_close_frame_is_1006() -> None:
    async with connected() as pair:
        assert isinstance(pair.peer, Client)
        pair.peer.writer.write_eof()
        await pair.sink.until(lambda: bool(pair.sink.ends))
        assert pair.sink.ends == [(1006, "", False)]


async def test_a_close_that_is_not_answered_is_cut() -> None:
    gone: list[Writer] = []
    limits = Limits(closing=0.05)
    async with connected(limits=limits, lost=gone.append) as pair:
        pair.transport.close(1000, "")
        await pair.sink.until(lambda: bool(pair.sink.ends))
        assert pair.sink.ends == [(1006, "", False)]
    assert len(gone) == 1


async def test_a_client_that_neither_reads_nor_answers_is_cut() -> None:
    async with connected(limits=Limits(closing=0.05)) as pair:
        pair.peer.deafen()
        while not pair.transport.buffered:
            pair.say(b"x" * 60_000)
        await pair.peer.goodbye(1000, "")
        await pair.sink.until(lambda: bool(pair.sink.ends))
        assert pair.sink.ends == [(1000, "", True)]


async def test_who_makes_us_answer_pings_and_never_reads_is_cut() -> None:
    async with connected(limits=Limits(outbox=1_000)) as pair:
        pair.peer.deafen()
        while pair.transport.buffered <= 1_000:
            pair.say(b"x" * 60_000)
        assert isinstance(pair.peer, Client)
        pair.peer.connection.ping(b"are you there?")
        await pair.sink.until(lambda: bool(pair.sink.ends))
        assert pair.sink.ends == [(1006, "", False)]


@pytest.mark.parametrize(("code", "told"), [(1006, 1011), (42, 1011), (4999, 4999)])
async def test_a_code_that_may_not_be_sent_is_replaced(code: int, told: int) -> None:
    async with connected() as pair:
        pair.transport.close(code, "é" * 100)
        assert await pair.peer.closed() == (told, "é" * 61)


async def test_what_was_closed_before_a_sink_came_stays_silent() -> None:
    async with connected() as pair:
        late = Recorder()
        pair.transport.close(4000, "")
        assert isinstance(pair.transport, WebSocketTransport)
        pair.transport.attach(late)
        await pair.peer.send("too late")
        assert (await pair.peer.closed())[0] == 4000
        await late.until(lambda: bool(late.ends))
        assert late.messages == []
        pair.transport.attach(pair.sink)
        pair.sink.ends.append((0, "", False))
