"""Ends of WebSockets that the `websockets` library owns; `client` or `server` is the argument."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress

import websockets
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode
from websockets.protocol import Event

from tests.interop.line_peer import Order, ends, obey, tell, waiting

LARGEST = 16 * 1024 * 1024
_tasks: set[asyncio.Task[None]] = set()


def watch(connection: Connection, event: Event) -> None:
    """Tell of pings and pongs, of which the library has no word."""
    if isinstance(event, Frame) and event.opcode in (Opcode.PING, Opcode.PONG):
        tell(_names[connection], event.opcode.name.lower(), data=bytes(event.data))


_names: dict[Connection, str] = {}


class WatchedClient(ClientConnection):
    def process_event(self, event: Event) -> None:
        super().process_event(event)
        watch(self, event)


class WatchedServer(ServerConnection):
    def process_event(self, event: Event) -> None:
        super().process_event(event)
        watch(self, event)


class End:
    """One connection; a message in fragments is sent as an iterator, fed by the orders."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pieces: asyncio.Queue[str | bytes | None] | None = None

    async def send(self, data: bytes, *, binary: bool, fin: bool) -> None:
        piece = data if binary else data.decode()
        if self._pieces is None and fin:
            await self._connection.send(piece)
            return
        if self._pieces is None:
            self._pieces = asyncio.Queue()
            task = asyncio.create_task(self._connection.send(_all(self._pieces)))
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)
        self._pieces.put_nowait(piece)
        if fin:
            self._pieces.put_nowait(None)
            self._pieces = None

    async def ping(self, data: bytes) -> None:
        await self._connection.ping(data)

    async def pong(self, data: bytes) -> None:
        await self._connection.pong(data)

    async def close(self, code: int | None, reason: str) -> None:
        await self._connection.close(code or 1000, reason)

    def terminate(self) -> None:
        self._connection.transport.abort()


async def _all(pieces: "asyncio.Queue[str | bytes | None]") -> AsyncIterator[str | bytes]:
    while (piece := await pieces.get()) is not None:
        yield piece


async def follow(name: str, connection: Connection, *, is_echo: bool) -> None:
    """Tell what this end hears, to its end."""
    try:
        while True:
            message = await connection.recv()
            is_text = isinstance(message, str)
            data = message.encode() if isinstance(message, str) else message
            tell(name, "message", data=data, binary=not is_text)
            if is_echo:
                # What was heard before a close is still there to be told.
                with suppress(websockets.ConnectionClosed):
                    await connection.send(message)
    except websockets.ConnectionClosed:
        tell(name, "close", code=connection.close_code, reason=connection.close_reason or "")


def opened(name: str, connection: Connection, extensions: str) -> None:
    _names[connection] = name
    ends[name] = End(connection)
    tell(name, "open", protocol=connection.subprotocol or "", extensions=extensions)


async def dial(name: str, order: Order) -> None:
    try:
        connection = await connect(
            order["url"],
            subprotocols=order["subprotocols"] or None,
            compression="deflate" if order["deflate"] else None,
            create_connection=WatchedClient,
            ping_interval=None,
            max_size=LARGEST,
            proxy=None,
        )
    except websockets.InvalidStatus as error:
        tell(name, "refused", status=error.response.status_code)
        return
    assert connection.response is not None
    extensions = connection.response.headers.get("Sec-WebSocket-Extensions", "")
    opened(name, connection, extensions)
    task = asyncio.create_task(follow(name, connection, is_echo=order["echo"]))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def accepted(connection: ServerConnection) -> None:
    assert connection.request is not None and connection.response is not None
    name = connection.request.path[1:]
    order = waiting.pop(name)
    opened(name, connection, connection.response.headers.get("Sec-WebSocket-Extensions", ""))
    await follow(name, connection, is_echo=order["echo"])


async def main() -> None:
    if sys.argv[1] == "client":
        await obey(dial)
        return

    async def listen(name: str, order: Order) -> None:
        # One server for each end: subprotocols and compression are the server's.
        server = await serve(
            accepted,
            "127.0.0.1",
            0,
            subprotocols=order["subprotocols"] or None,
            compression="deflate" if order["deflate"] else None,
            create_connection=WatchedServer,
            ping_interval=None,
            max_size=LARGEST,
        )
        servers.append(server)
        waiting[name] = order
        tell(name, "listening", port=server.sockets[0].getsockname()[1])

    servers: list[object] = []
    await obey(listen)


asyncio.run(main())
