"""A client of Phoenix's mount, which does as it is told, be it wrong."""

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from io import BytesIO
from typing import Any
from urllib.parse import quote

import aiohttp
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.conformance.served import TIMEOUT, Served

LINED = "application/x-ndjson"
TOPIC = "room:lobby"
BEAT = '["1","1","phoenix","heartbeat",{}]'


class Phone:
    """A client of the mount, and what it has opened."""

    def __init__(self, server: Served, http: aiohttp.ClientSession, stack: AsyncExitStack) -> None:
        self.server = server
        self._http = http
        self._stack = stack

    async def socket(self, *, version: int = 2, user: str = "ana") -> ClientConnection:
        """A WebSocket that has said nothing."""
        where = f"/socket/websocket?vsn={version}.0.0&user={quote(user)}"
        return await self.server.socket(where, self._stack)

    async def joined(self, topic: str = TOPIC, *, user: str = "ana") -> ClientConnection:
        """… and has joined a room, under the ref "1"."""
        socket = await self.socket(user=user)
        await socket.send(json.dumps(["1", "1", topic, "phx_join", {}]))
        assert (await told(socket))[:4] == ["1", "1", topic, "phx_reply"]
        assert await told(socket) == ["1", None, topic, "welcome", {"user": user}]
        return socket

    async def request(
        self,
        method: str,
        token: str = "",
        body: str | bytes | BytesIO | None = None,
        *,
        kind: str = LINED,
    ) -> tuple[int, Any]:
        """A request of a session on polls: its status, and what the answer is."""
        query = {"vsn": "2.0.0"} | ({"token": token} if token else {})
        headers = {} if body is None else {"Content-Type": kind}
        async with (
            asyncio.timeout(TIMEOUT),
            self._http.request(
                method,
                f"{self.server.url}/socket/longpoll",
                params=query,
                data=body,
                headers=headers,
            ) as said,
        ):
            text = await said.text()
            return said.status, json.loads(text) if text.startswith("{") else text

    async def polls(self) -> str:
        """The token of a session on polls, which ends when the test does."""
        status, said = await self.request("GET")
        assert (status, said["status"]) == (200, 410)
        token = said["token"]
        assert isinstance(token, str)
        self._stack.push_async_callback(self.request, "POST", token, "junk")
        return token

    async def is_over(self, token: str) -> None:
        """The session on polls is gone, for each kind of request."""
        assert await self.request("GET", token) == (200, {"status": 410})
        assert await self.request("POST", token, BEAT) == (200, {"status": 410})

    async def goes_on(self, token: str) -> None:
        """… is there."""
        assert await self.request("POST", token, BEAT) == (200, {"status": 200})
        heard: list[str] = []
        while not heard:
            status, said = await self.request("GET", token)
            assert status == 200 and said["token"] == token, said
            heard = said["messages"]
        assert heard == ['[null,"1","phoenix","phx_reply",{"status":"ok","response":{}}]']

    async def works(self) -> None:
        """All is as it should be for somebody new, text and bytes."""
        socket = await self.joined("room:works")
        await echoes(socket, "room:works")
        await socket.send(pushed("room:works", "echo_binary", b"\x00\xff"))
        answer = b"\x01\x01\x04\x0a\x021markroom:worksok\x00\xff"
        async with asyncio.timeout(TIMEOUT):
            assert await socket.recv() == answer


def pushed(topic: str, event: str, data: bytes = b"") -> bytes:
    """A binary push of who joined under "1"."""
    texts = [one.encode() for one in ("1", "mark", topic, event)]
    return bytes([0, *map(len, texts)]) + b"".join(texts) + data


async def told(socket: ClientConnection) -> list[Any]:
    """The next message."""
    async with asyncio.timeout(TIMEOUT):
        said = await socket.recv()
    assert isinstance(said, str), said
    found = json.loads(said)
    assert isinstance(found, list)
    return found


async def ended(socket: ClientConnection) -> list[str | bytes]:
    """What was said before the server closed."""
    said: list[str | bytes] = []
    with suppress(ConnectionClosed):
        async with asyncio.timeout(TIMEOUT):
            while True:
                said.append(await socket.recv())
    return said


async def asked(
    socket: ClientConnection, event: str, payload: object, topic: str = TOPIC
) -> dict[str, Any]:
    """The answer to a push, which comes next."""
    await socket.send(json.dumps(["1", "7", topic, event, payload]))
    _, ref, where, kind, answer = await told(socket)
    assert (ref, where, kind) == ("7", topic, "phx_reply")
    assert isinstance(answer, dict)
    return answer


async def echoes(socket: ClientConnection, topic: str = TOPIC) -> None:
    """A push is answered, and nothing else was said before."""
    answer = {"status": "ok", "response": {"a": [1]}}
    assert await asked(socket, "echo", {"a": [1]}, topic) == answer


async def changed(socket: ClientConnection, side: str, key: str) -> dict[str, Any]:
    """What the next change of presence that has this key says of it."""
    while True:
        _, _, _, event, change = await told(socket)
        if event == "presence_diff" and key in change[side]:
            found = change[side][key]
            assert isinstance(found, dict)
            return found
