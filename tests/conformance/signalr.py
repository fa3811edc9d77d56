"""A client of SignalR's hub, which does as it is told, be it wrong."""

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from typing import Any

import aiohttp
import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from anywire.wires.signalr.records import framed
from tests.conformance.served import TIMEOUT, Served

HAND = '{"protocol":"json","version":1}\x1e'
PACKED = '{"protocol":"messagepack","version":1}\x1e'
pack = msgspec.msgpack.encode


class Hub:
    """A client of the hub, and what it has opened."""

    def __init__(self, server: Served, http: aiohttp.ClientSession, stack: AsyncExitStack) -> None:
        self.url = f"{server.url}/hub"
        self._server = server
        self._http = http
        self._stack = stack

    async def socket(self, token: str = "") -> ClientConnection:
        """A WebSocket that has said nothing."""
        where = f"/hub?id={token}" if token else "/hub"
        return await self._server.socket(where, self._stack)

    async def opened(self, token: str = "", hand: str = HAND) -> ClientConnection:
        """… and has shaken hands."""
        socket = await self.socket(token)
        await socket.send(hand)
        assert await next_of(socket) in ("{}\x1e", b"{}\x1e")
        return socket

    async def negotiate(self, query: str = "") -> dict[str, Any]:
        async with self._http.post(f"{self.url}/negotiate?negotiateVersion=1{query}") as said:
            assert said.status == 200
            found = await said.json()
            assert isinstance(found, dict)
            return found

    async def request(
        self, method: str, token: str, body: bytes = b"", *, accept: str = "*/*"
    ) -> tuple[int, bytes]:
        async with (
            asyncio.timeout(TIMEOUT),
            self._http.request(
                method, self.url, params={"id": token}, data=body, headers={"Accept": accept}
            ) as said,
        ):
            return said.status, await said.read()

    async def polls(self) -> str:
        """The token of a connection on long polls that has shaken hands."""
        token = (await self.negotiate())["connectionToken"]
        assert isinstance(token, str)
        assert await self.request("GET", token) == (200, b"")
        assert await self.request("POST", token, HAND.encode()) == (200, b"")
        assert await self.request("GET", token) == (200, b"{}\x1e")
        return token

    async def works(self) -> None:
        """All is as it should be for somebody new."""
        await echoes(await self.opened())
        packed = await self.opened(hand=PACKED)
        await packed.send(framed(pack([1, {}, "e", "Echo", [b"\x1e"]])))
        assert await next_of(packed) == framed(pack([3, {}, "e", 3, b"\x1e"]))


async def next_of(socket: ClientConnection) -> str | bytes:
    """The next message that is no ping."""
    async with asyncio.timeout(TIMEOUT):
        while (said := await socket.recv()) in ('{"type":6}\x1e', b"\x02\x91\x06"):
            pass
        return said


async def told(socket: ClientConnection) -> dict[str, Any]:
    """The next message, one alone in its frame."""
    said = await next_of(socket)
    assert isinstance(said, str)
    found = json.loads(said.removesuffix("\x1e"))
    assert isinstance(found, dict)
    return found


async def ended(socket: ClientConnection) -> list[str | bytes]:
    """What was said before the server closed."""
    said: list[str | bytes] = []
    with suppress(ConnectionClosed):
        while True:
            said.append(await next_of(socket))
    return said


async def refuses(socket: ClientConnection, code: int = 4400) -> None:
    """A Close message, and a close code."""
    said = await ended(socket)
    assert len(said) == 1
    if isinstance(said[0], str):
        close = json.loads(said[0].removesuffix("\x1e"))
        assert close["type"] == 7 and close["error"]
    else:
        assert said[0][1:3] == b"\x93\x07"
    assert socket.close_code == code


async def echoes(socket: ClientConnection) -> None:
    """Invocations are completed; what was said before is passed over."""
    told = {"type": 1, "target": "Echo", "arguments": ["mark"], "invocationId": "mark"}
    await socket.send(json.dumps(told) + "\x1e")
    completion = '{"type":3,"invocationId":"mark","result":"mark"}\x1e'
    while await next_of(socket) != completion:
        pass
