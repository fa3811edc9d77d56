"""ASGI hosts for tests: our own server's guest side, and one that is queues."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from anywire import Anywire
from anywire.core.stepping import Stepper
from anywire.limits import Limits
from anywire.servers.asgiexchange import AsgiExchange
from anywire.servers.asgisocket import AsgiSocket
from anywire.servers.guest import Asgi, Message, Receive, Send
from anywire.servers.tcp import Server
from tests.contracts.transport import Pair, Recorder
from tests.servers.serving import make_node, serving
from tests.transports.test_websocket import Client

Scope = dict[str, Any]


def http(path: str = "/", **more: Any) -> Scope:
    """The scope of a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"test")],
        "client": ("192.0.2.1", 5),
        "server": ("test", 80),
        **more,
    }


def websocket(path: str = "/raw/echo", **more: Any) -> Scope:
    """The scope of a WebSocket."""
    scope = http(path)
    del scope["method"]
    extensions: Scope = {"websocket.http.response": {}}
    ours = {"type": "websocket", "scheme": "ws", "subprotocols": [], "extensions": extensions}
    return scope | ours | more


class Line:
    """One connection of a host that is queues. `takes` cleared: `send` waits; `breaks`: raises."""

    def __init__(self, app: Asgi, scope: Scope) -> None:
        self.said: list[Message] = []
        self.asked = 0
        """How often `receive` was called."""
        self.takes = asyncio.Event()
        self.takes.set()
        self.breaks = False
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._changed = asyncio.Event()
        self.task = asyncio.create_task(self._run(app, scope))

    async def _run(self, app: Asgi, scope: Scope) -> None:
        try:
            await app(scope, self._receive, self._send)
        finally:
            self._changed.set()

    def tell(self, kind: str, **more: Any) -> None:
        """The host has something for the app."""
        self._inbox.put_nowait({"type": kind, **more})

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until it holds; five seconds are too many."""
        async with asyncio.timeout(5):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def next(self, count: int = 1) -> Message:
        """What was said as the `count`-th."""
        await self.until(lambda: len(self.said) >= count or self.task.done())
        if len(self.said) < count:
            await self.task
        return self.said[count - 1]

    async def ended(self) -> None:
        """The app has returned."""
        async with asyncio.timeout(5):
            await self.task

    async def _receive(self) -> Message:
        self.asked += 1
        self._changed.set()
        return await self._inbox.get()

    async def _send(self, message: Message) -> None:
        if self.breaks:
            raise OSError("gone")
        await self.takes.wait()
        self.said.append(message)
        self._changed.set()


@asynccontextmanager
async def socket_pair(limits: Limits | None = None) -> AsyncIterator[Pair]:
    """A transport under our own server as the host, over a real socket, and its client."""
    made: asyncio.Future[AsgiSocket] = asyncio.get_running_loop().create_future()
    limits = limits or Limits(closing=0.2)
    node = make_node(limits=limits)
    sink = Recorder()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            return
        await receive()
        exchange = AsgiExchange(scope, receive, send, Stepper())
        transport = exchange.accept(None, now=node.now, deadlines=node.deadlines, limits=limits)
        transport.attach(sink)
        made.set_result(transport)
        await exchange.run()

    async with serving(node=node, wires=[], fallback=app) as server:
        client = await dialed(server)
        transport = await made
        try:
            yield Pair(transport, sink, client)
        finally:
            transport.abort()
            client.writer.transport.abort()
            await sink.until(lambda: bool(sink.ends))


async def dialed(server: Server) -> Client:
    """A client whose handshake is done."""
    address = server.addresses[0]
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(
        b"GET /guest HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    return Client(reader, writer, None)


@asynccontextmanager
async def hosted(app: Anywire) -> AsyncIterator[Callable[[Scope], Line]]:
    """Connections to an app; those that are open still are ended, and then the app."""
    lines: list[Line] = []

    def opened(scope: Scope) -> Line:
        lines.append(Line(app, scope))
        return lines[-1]

    try:
        yield opened
    finally:
        for line in lines:
            line.task.cancel()
        await asyncio.gather(*(line.task for line in lines), return_exceptions=True)
