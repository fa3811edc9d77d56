"""A client of the mounts of Engine.IO, which does as it is told, be it wrong."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from yarl import URL

from tests.conformance.served import TIMEOUT, Served
from tests.servers.serving import Dialed

PING_INTERVAL = 0.3
PING_TIMEOUT = 0.2
ORIGIN = "https://page.example"
CLOSING = 1.0
"""Seconds that a server has to answer a close."""
POLLING = "EIO=4&transport=polling"
WEBSOCKET = "EIO=4&transport=websocket"
KIND = "text/plain;charset=UTF-8"
PING, PONG, NOOP = "2", "3", "6"
MOUNTS = ["/engine.io/", "/socket.io/"]
REFUSALS = {
    0: "Transport unknown",
    1: "Session ID unknown",
    2: "Bad handshake method",
    3: "Bad request",
    5: "Unsupported protocol version",
}
CHARACTERS = "0123456789b\x1e[]{}\"',:/-\\ \n\x00é\u0664\U0001f600nulltrue"


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response."""

    status: int
    text: str
    headers: Mapping[str, str]


class Socket:
    """A WebSocket of a client."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, *messages: str | bytes) -> None:
        """Say these, text as text and binary as binary."""
        for message in messages:
            await self._connection.send(message)

    async def send_text(self, data: bytes) -> None:
        """Say bytes as a text message, which they need not be."""
        await self._connection.send(data, text=True)

    async def next(self) -> str | bytes:
        """The next message, a ping too."""
        async with asyncio.timeout(TIMEOUT):
            return await self._connection.recv()

    async def hear(self) -> str | bytes:
        """The next message that is no ping; pings are answered."""
        async with asyncio.timeout(TIMEOUT):
            while (message := await self.next()) == PING:
                await self.send(PONG)
            return message

    async def ends(self) -> int | None:
        """Wait until the server closes, though pings are answered; nothing else is said before.

        Returns the close code, None where there was no close frame.
        """
        with suppress(ConnectionClosed):
            raise AssertionError(f"it goes on, and said {await self.hear()!r}")
        return self._code

    async def is_given_up(self) -> None:
        """Wait until the server closes on who answers nothing."""
        with suppress(ConnectionClosed):
            while True:
                await self.next()

    async def close(self) -> None:
        """Leave."""
        await self._connection.close()

    def drop(self) -> None:
        """Hang up without a word."""
        self._connection.transport.abort()

    @property
    def _code(self) -> int | None:
        received = self._connection.protocol.close_rcvd
        return None if received is None else received.code


class Client:
    """A client of one mount. `question`: a message that the mount answers with `answer`."""

    def __init__(
        self, server: Served, path: str, http: aiohttp.ClientSession, stack: AsyncExitStack
    ) -> None:
        self.server = server
        self.path = path
        self.question, self.answer = {
            "/engine.io/": ("4hello", "4hello"),
            "/socket.io/": ("40/nowhere,", '44/nowhere,{"message":"Invalid namespace"}'),
        }[path]
        self._http = http
        self._stack = stack

    @property
    def origin(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.server.url)
        assert parts.hostname is not None
        return parts.hostname, self.server.port

    async def request(
        self,
        method: str,
        query: str,
        body: str | bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request of this mount; the query is sent as it is."""
        url = URL(f"{self.server.url}{self.path}?{query}", encoded=True)
        async with (
            asyncio.timeout(TIMEOUT),
            self._http.request(method, url, data=body, headers=headers) as response,
        ):
            return Answer(response.status, await response.text(errors="replace"), response.headers)

    async def get(self, query: str) -> Answer:
        return await self.request("GET", query)

    async def open(self) -> str:
        """The id of a new session on polls."""
        answer = await self.get(POLLING)
        assert answer.status == 200, answer
        sid = json.loads(answer.text[1:])["sid"]
        assert isinstance(sid, str)
        return sid

    async def poll(self, sid: str) -> Answer:
        return await self.get(f"{POLLING}&sid={sid}")

    async def post(self, sid: str, body: str | bytes, *, kind: str = KIND) -> Answer:
        """Say something in a session; `kind` is the header Content-Type."""
        headers = {"Content-Type": kind}
        return await self.request("POST", f"{POLLING}&sid={sid}", body, headers=headers)

    async def socket(self, query: str = WEBSOCKET) -> Socket:
        """A WebSocket of this mount."""
        where = f"{self.path}?{query}"
        connection = await self.server.socket(where, self._stack, close_timeout=CLOSING)
        return Socket(connection)

    async def opened(self) -> tuple[Socket, dict[str, Any]]:
        """A session on a WebSocket of its own, and what the server says of it."""
        socket = await self.socket()
        first = await socket.next()
        assert isinstance(first, str) and first[0] == "0", first
        return socket, json.loads(first[1:])

    async def probed(self, sid: str) -> Socket:
        """A WebSocket that may take a session over, and whose probe was answered."""
        socket = await self.socket(f"{WEBSOCKET}&sid={sid}")
        await socket.send("2probe")
        assert await socket.hear() == "3probe"
        return socket

    async def upgraded(self, sid: str) -> Socket:
        """A WebSocket that has taken a session over."""
        socket = await self.probed(sid)
        await socket.send("5")
        await self.talks(socket)
        return socket

    async def talks(self, socket: Socket) -> None:
        """The session on this socket goes on."""
        await socket.send(self.question)
        assert await socket.hear() == self.answer

    async def is_answered(self, socket: Socket) -> bool:
        """Whether the session on this socket goes on; what it says before is passed over."""
        try:
            await socket.send(self.question)
            while await socket.hear() != self.answer:
                pass
        except ConnectionClosed:
            return False
        return True

    async def goes_on(self, sid: str) -> None:
        """The session on polls goes on."""
        said = await self.post(sid, self.question)
        assert (said.status, said.text) == (200, "ok")
        await self.hears(sid, self.answer)

    async def hears(self, sid: str, wanted: str) -> None:
        """Poll until this was said; pings before it are answered, noops passed over."""
        heard: list[str] = []
        while wanted not in heard:
            answer = await self.poll(sid)
            assert answer.status == 200, answer
            heard += answer.text.split("\x1e")
            assert set(heard) <= {PING, NOOP, wanted}, heard
            if PING in heard:
                heard.remove(PING)
                await self.post(sid, PONG)

    async def is_over(self, sid: str) -> None:
        """The session is unknown."""
        assert (await self.poll(sid)).status == 400

    async def refusal(self, query: str = WEBSOCKET) -> int | None:
        """The status that a WebSocket is refused with, None where it is closed at once."""
        try:
            socket = await self.socket(query)
        except InvalidStatus as refused:
            return refused.response.status_code
        except (InvalidHandshake, ConnectionError, EOFError):
            return None
        await socket.ends()
        return None

    async def dial(self) -> Dialed:
        """A connection that speaks bytes."""
        return Dialed(*await asyncio.open_connection(*self.origin))

    async def refuses(self, query: str, code: int, *, method: str = "GET") -> None:
        """The answer is the refusal of this number, for a page of any origin to read."""
        answer = await self.request(method, query, headers={"Origin": ORIGIN})
        assert answer.status == 400, answer
        assert answer.headers["Content-Type"].startswith("application/json")
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert json.loads(answer.text) == {"code": code, "message": REFUSALS[code]}

    async def line(self) -> Dialed:
        """The same, closed at the end; the server has read from it already."""
        line = await self.dial()
        self._stack.push_async_callback(line.close)
        line.send(b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n")
        assert (await status(line)) == 200
        return line

    async def reached(self) -> None:
        """Return when the server has read what was sent on any line before."""
        async with self._http.get(f"{self.server.url}/health") as response:
            assert response.status == 200

    async def works(self) -> None:
        """All is as it should be for somebody new, on polls, on a socket, and from one to it."""
        sid = await self.open()
        await self.goes_on(sid)
        await self.talks(await self.upgraded(sid))
        socket, _ = await self.opened()
        await self.talks(socket)
        await socket.close()

    async def sessions(self) -> int:
        """How many sessions the server has, on all its mounts."""
        async with self._http.get(f"{self.server.url}/counters") as response:
            count = (await response.json())["sessions"]
        assert isinstance(count, int)
        return count


@asynccontextmanager
async def client(server: Served, path: str) -> AsyncIterator[Client]:
    """A client of one mount, and the end of all it has opened."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Client(server, path, http, stack)


async def status(line: Dialed) -> int | None:
    """The status of the next response; None where the server hangs up instead."""
    try:
        async with asyncio.timeout(TIMEOUT):
            return (await line.answer()).status
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def said_at_random(chance: random.Random) -> str | bytes:
    """Up to 40 characters or bytes, of which the first is often a packet's type."""
    size = chance.randrange(40)
    if chance.random() < 0.2:
        return chance.randbytes(size)
    return chance.choice("01234456b" + CHARACTERS) + "".join(chance.choices(CHARACTERS, k=size))


async def settles(read: Callable[[], int], limit: int) -> int:
    """Wait until this is no more than the limit; returns what it is at last."""
    for _ in range(round(TIMEOUT / PING_TIMEOUT)):
        if read() <= limit:
            break
        await asyncio.sleep(PING_TIMEOUT)
    return read()
