"""The link to a client: a server's end of a WebSocket, byte for byte."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from anywire.cli.peer import Peer
from anywire.net.connection import Close, Connection, Event, Ping, Pong
from anywire.payload import Message, Payload

pytestmark = pytest.mark.net

TEXT = Payload.of("hi")


class Heard:
    """A receiver, and what it was told in order."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.ended = asyncio.Event()
        self.writable = asyncio.Event()
        self._more = asyncio.Event()

    async def hears(self, what: object) -> None:
        while what not in self.told:
            self._more.clear()
            await self._more.wait()

    def _tell(self, what: object) -> None:
        self.told.append(what)
        self._more.set()

    def on_message(self, message: Message) -> None:
        self._tell(message)

    def on_heard(self) -> None:
        self._tell("heard")

    def on_ping(self, data: bytes) -> None:
        self._tell(("ping", data))

    def on_pong(self, data: bytes) -> None:
        self._tell(("pong", data))

    def on_writable(self) -> None:
        self.writable.set()

    def on_closed(self, code: int, reason: str) -> None:
        self._tell((code, reason))
        self.ended.set()


class Client:
    """The other end: a stream, and our own parser as a client's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.ws = Connection(write=writer.write, client=True, mask=lambda: b"mask")

    async def events(self, count: int) -> list[Event]:
        found: list[Event] = []
        while len(found) < count:
            data = await self.reader.read(65536)
            assert data, f"the end came after {found}"
            found += self.ws.receive(data)
        return found


@asynccontextmanager
async def both_ends(
    *, max_message: int = 65536
) -> AsyncIterator[tuple[Peer, Client, asyncio.Event]]:
    """A peer and its client on a connection of their own; the event is set once it is gone."""
    loop = asyncio.get_running_loop()
    lost = asyncio.Event()
    made: asyncio.Future[Peer] = loop.create_future()

    class Starting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            peer = Peer(
                transport,
                subprotocol="one",
                deflate=None,
                max_message=max_message,
                lost=lost.set,
            )
            transport.set_protocol(peer)
            made.set_result(peer)

    server = await loop.create_server(Starting, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    reader, writer = await asyncio.open_connection(host, port)
    peer = await made
    try:
        yield peer, Client(reader, writer), lost
    finally:
        peer.abort()
        writer.close()
        server.close()


async def test_what_came_before_the_start_is_told_then() -> None:
    async with both_ends() as (peer, client, _):
        client.ws.send("early")
        client.ws.send("bird")
        heard = Heard()
        peer.start(heard)
        await heard.hears("bird")
        assert [one for one in heard.told if one != "heard"] == ["early", "bird"]
        assert peer.subprotocol == "one"


async def test_pings_and_pongs_go_both_ways() -> None:
    async with both_ends() as (peer, client, _):
        heard = Heard()
        peer.start(heard)
        client.ws.ping(b"1")
        await heard.hears(("ping", b"1"))
        client.ws.pong(b"2")
        await heard.hears(("pong", b"2"))
        assert peer.ping(b"3") and peer.pong(b"4") and peer.beat()
        assert {type(event) for event in await client.events(2)} == {Ping, Pong}


async def test_a_close_by_the_client_ends_it_with_its_code() -> None:
    async with both_ends() as (peer, client, lost):
        heard = Heard()
        peer.start(heard)
        client.ws.close(4001, "bye")
        await heard.ended.wait()
        assert heard.told[-1] == (4001, "bye")
        assert isinstance((await client.events(1))[0], Close)
        assert await client.reader.read() == b""
        peer.write([TEXT])
        assert not peer.ping() and not peer.pong()
        await lost.wait()


@pytest.mark.parametrize(("code", "sent"), [(1001, 1001), (4100, 4100), (1006, 1000)])
async def test_a_close_by_us_says_its_code_where_that_may_be_said(code: int, sent: int) -> None:
    async with both_ends() as (peer, client, _):
        heard = Heard()
        peer.start(heard)
        peer.write([TEXT])
        peer.close(code, "so")
        said, close = await client.events(2)
        assert said == "hi"
        assert isinstance(close, Close) and (close.code, close.reason) == (sent, "so")
        await heard.ended.wait()
        assert heard.told[-1] == (sent, "")  # the answer has the code, and no reason


async def test_a_client_that_breaks_the_rules_is_told_which() -> None:
    async with both_ends(max_message=10) as (peer, client, _):
        heard = Heard()
        peer.start(heard)
        client.ws.send("x" * 11)
        await heard.ended.wait()
        assert heard.told[-1] == (1009, "a message has at most 10 bytes")
        (close,) = await client.events(1)
        assert isinstance(close, Close) and close.code == 1009
        client.writer.write(b"more of it")


async def test_a_cut_is_told_once_also_before_the_start() -> None:
    async with both_ends() as (peer, client, lost):
        client.ws.send("last")
        await client.writer.drain()
        client.writer.close()
        await lost.wait()
        heard = Heard()
        peer.start(heard)
        assert heard.told == ["last", (1006, "the connection was lost")]


async def test_part_of_a_frame_is_a_sign_of_life() -> None:
    async with both_ends() as (peer, client, _):
        heard = Heard()
        peer.start(heard)
        client.writer.write(b"\x81")
        await heard.hears("heard")


async def test_a_client_that_does_not_read_blocks_and_is_told_of() -> None:
    async with both_ends() as (peer, client, _):
        heard = Heard()
        peer.start(heard)
        while not peer.is_blocked:
            peer.write([Payload.of(b"\x00" * 1_000_000)])
        while not heard.writable.is_set():
            await client.reader.read(1_000_000)
        assert not peer.is_blocked
