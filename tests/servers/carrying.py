"""A stranger carrier: what a later issue adds, with nothing but the server's carrier table."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from anywire.limits import Limits
from anywire.net.http1 import field
from anywire.payload import Carrier
from anywire.servers.carry import Exchange, whole
from anywire.servers.exchange import HttpExchange
from anywire.servers.static import Reply
from anywire.servers.tcp import Server
from anywire.wires.base import Answer, Hello, Opening, Route, Wire
from tests.servers.serving import make_node, serving


class Strange:
    """A wire with one route for each thing a carrier may want to do with HTTP."""

    name = "strange"
    reserved: frozenset[str] = frozenset()

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/events", Carrier.EVENTS),
            Route("POST", "/post/{address}", Carrier.POST),
            Route("GET", "/take", Carrier.STREAM),
            Route("GET", "/poll", Carrier.POLL),
        ]

    def open(self, hello: Hello) -> Opening | Answer:
        return Answer(status=404)

    def refuse(self, hello: Hello, why: object) -> Answer:
        return Answer(status=503)


async def events(exchange: Exchange, wire: Wire, hello: Hello) -> None:
    """Three parts, each once the kernel has the one before it."""
    exchange.start(200, [("Content-Type", "text/event-stream")])
    for number in range(3):
        exchange.write(b"data: %d\n\n" % number)
        await exchange.drained()
    exchange.end()


async def post(exchange: Exchange, wire: Wire, hello: Hello) -> None:
    """The body, and to whom it was sent."""
    body = await whole(exchange)
    exchange.respond(Reply(200, [("X-To", hello.address or "")], body))


async def take(exchange: Exchange, wire: Wire, hello: Hello) -> None:
    """The socket itself: it says what it hears, in upper case."""
    assert isinstance(exchange, HttpExchange)  # the standalone server's has a socket
    transport = exchange.transport
    transport.write(b"HTTP/1.1 101 Switching Protocols\r\n" + field("Upgrade", "loud") + b"\r\n")
    loud = Loud(transport, exchange)
    rest = exchange.give_away(loud)
    if rest:
        loud.data_received(rest)


class Loud(asyncio.Protocol):
    """The new owner of a socket."""

    def __init__(self, transport: asyncio.Transport, exchange: HttpExchange) -> None:
        self.transport = transport
        self.exchange = exchange

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())

    def connection_lost(self, error: Exception | None) -> None:
        self.exchange.lost(self.transport)


class Poll:
    """Holds a request until it is told to answer, or until its client is gone."""

    def __init__(self) -> None:
        self.held = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, exchange: Exchange, wire: Wire, hello: Hello) -> None:
        self.held.set()
        await exchange.gone()
        self.left.set()


TABLE = {Carrier.EVENTS: events, Carrier.POST: post, Carrier.STREAM: take, Carrier.POLL: Poll()}


def strange(
    limits: Limits | None = None, origins: Sequence[str] = (), **carriers: object
) -> AbstractAsyncContextManager[Server]:
    """A server with the stranger wire; carriers by their name replace those of the table."""
    replaced = {Carrier(name): carry for name, carry in carriers.items()}
    node, table = make_node(limits=limits), {**TABLE, **replaced}
    return serving(node=node, wires=[Strange()], carriers=table, origins=origins)
