"""Ends of WebSockets that aiohttp owns; `client` or `server` is the argument."""

import asyncio
import sys
from typing import TypeAlias

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError, web

from tests.interop.line_peer import Order, ends, obey, tell, waiting

LARGEST = 16 * 1024 * 1024
Response: TypeAlias = ClientWebSocketResponse | web.WebSocketResponse
_tasks: set[asyncio.Task[None]] = set()


class End:
    """One connection. aiohttp has no fragments: what is given in pieces is sent whole."""

    def __init__(self, response: Response, transport: asyncio.BaseTransport) -> None:
        self._response = response
        self._transport = transport
        self._pieces: list[bytes] = []

    async def send(self, data: bytes, *, binary: bool, fin: bool) -> None:
        self._pieces.append(data)
        if not fin:
            return
        whole = b"".join(self._pieces)
        self._pieces.clear()
        if binary:
            await self._response.send_bytes(whole)
        else:
            await self._response.send_str(whole.decode())

    async def ping(self, data: bytes) -> None:
        await self._response.ping(data)

    async def pong(self, data: bytes) -> None:
        await self._response.pong(data)

    async def close(self, code: int | None, reason: str) -> None:
        # The frame alone: `Response.close` beside a `receive` hangs up before the peer's answer.
        writer = self._response._writer
        assert writer is not None
        await writer.close(code or 1000, reason.encode())

    def terminate(self) -> None:
        assert isinstance(self._transport, asyncio.Transport)
        self._transport.abort()


async def follow(name: str, response: Response, *, is_echo: bool) -> None:
    """Tell what this end hears, to its end."""
    while True:
        heard = await response.receive()
        if heard.type is WSMsgType.TEXT:
            tell(name, "message", data=heard.data.encode(), binary=False)
            if is_echo:
                await response.send_str(heard.data)
        elif heard.type is WSMsgType.BINARY:
            tell(name, "message", data=bytes(heard.data), binary=True)
            if is_echo:
                await response.send_bytes(heard.data)
        elif heard.type is WSMsgType.PING:
            tell(name, "ping", data=bytes(heard.data))
            await response.pong(heard.data)
        elif heard.type is WSMsgType.PONG:
            tell(name, "pong", data=bytes(heard.data))
        else:
            break
    if heard.type is WSMsgType.CLOSE:
        tell(name, "close", code=heard.data or 1005, reason=heard.extra or "")
    else:
        tell(name, "close", code=1006)


def opened(
    name: str,
    response: Response,
    transport: asyncio.BaseTransport | None,
    *,
    protocol: str | None,
    extensions: str,
) -> None:
    assert transport is not None
    ends[name] = End(response, transport)
    tell(name, "open", protocol=protocol or "", extensions=extensions)


async def client() -> None:
    async with ClientSession() as session:

        async def dial(name: str, order: Order) -> None:
            try:
                response = await session.ws_connect(
                    order["url"],
                    protocols=order["subprotocols"],
                    compress=15 if order["deflate"] else 0,
                    autoping=False,
                    max_msg_size=LARGEST,
                )
            except WSServerHandshakeError as error:
                tell(name, "refused", status=error.status)
                return
            assert response._conn is not None
            opened(
                name,
                response,
                response._conn.transport,
                protocol=response.protocol,
                extensions=response._response.headers.get("Sec-WebSocket-Extensions", ""),
            )
            task = asyncio.create_task(follow(name, response, is_echo=order["echo"]))
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)

        await obey(dial)


async def accept(request: web.Request) -> web.StreamResponse:
    name = request.path[1:]
    order = waiting.pop(name)
    response = web.WebSocketResponse(
        protocols=order["subprotocols"],
        compress=order["deflate"],
        autoping=False,
        max_msg_size=LARGEST,
    )
    await response.prepare(request)
    opened(
        name,
        response,
        request.transport,
        protocol=response.ws_protocol,
        extensions=response.headers.get("Sec-WebSocket-Extensions", ""),
    )
    await follow(name, response, is_echo=order["echo"])
    return response


async def server() -> None:
    app = web.Application()
    app.router.add_get("/{name}", accept)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]

    async def listen(name: str, order: Order) -> None:
        waiting[name] = order
        tell(name, "listening", port=port)

    await obey(listen)


asyncio.run(client() if sys.argv[1] == "client" else server())
