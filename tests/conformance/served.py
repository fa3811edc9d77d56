"""The conformance app as a process of its own, and clients of its Engine.IO mounts.

The clients know nothing of ours and do what they are told, be it wrong. `ANYWIRE_CONFORMANCE_URL`
names a server that runs already and is taken instead.
"""

import asyncio
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from yarl import URL

from tests.servers.serving import Dialed

ROOT = Path(__file__).parents[2]
VARIABLE = "ANYWIRE_CONFORMANCE_URL"
PING_INTERVAL = 0.3
PING_TIMEOUT = 0.2
LARGEST = 1_000_000
ORIGIN = "https://page.example"
TIMEOUT = 8.0
"""Seconds until what is waited for will not come."""
LOOKING = 0.05
"""Seconds between two looks."""
CLOSING = 1.0
"""Seconds that a server has to answer a close."""
POLLING = "EIO=4&transport=polling"
WEBSOCKET = "EIO=4&transport=websocket"
KIND = "text/plain;charset=UTF-8"
PING, PONG, NOOP = "2", "3", "6"
MOUNTS = ["/engine.io/", "/socket.io/"]
NAMES = ["__proto__", "constructor", "toString", "hasOwnProperty", "__class__", "__init__"]
"""Of what every object of some language has."""
NOBODY = {"sessions": 1, "members": 1, "rooms": 1, "users": 1}
"""What a server has of its clients when there is only who asks."""
REFUSALS = {
    0: "Transport unknown",
    1: "Session ID unknown",
    2: "Bad handshake method",
    3: "Bad request",
    5: "Unsupported protocol version",
}
CHARACTERS = "0123456789b\x1e[]{}\"',:/-\\ \n\x00é\u0664\U0001f600nulltrue"
_LISTENING = re.compile(r"Listening on (http\S+)")


@dataclass(frozen=True, slots=True)
class Served:
    """A running server; `log` has what it says of itself, where it is ours."""

    url: str
    log: Path | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        port = urlsplit(self.url).port
        assert port is not None
        return port

    async def standing(self) -> dict[str, int]:
        """What it has of its clients, of which one asks this."""
        url = f"ws{self.url.removeprefix('http')}/socket/websocket?vsn=2.0.0&user=looks"
        async with asyncio.timeout(TIMEOUT), connect(url, compression=None, proxy=None) as socket:
            await socket.send('["1","1","standing","phx_join",{}]')
            await socket.send('["1","2","standing","count",{}]')
            await socket.recv()
            count = json.loads(await socket.recv())[4]["response"]
        assert isinstance(count, dict)
        return count

    async def empties(self) -> dict[str, int]:
        """Wait until nobody else is there; returns what it has at last."""
        count = await self.standing()
        for _ in range(round(TIMEOUT / LOOKING)):
            if count == NOBODY:
                break
            await asyncio.sleep(LOOKING)
            count = await self.standing()
        return count

    def said(self) -> str:
        """What it has logged."""
        return "" if self.log is None else self.log.read_text(encoding="utf-8", errors="replace")

    def process(self) -> Path:
        """The folder in /proc of the process that listens there."""
        listening = set()
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                local, _, state, *_, inode = line.split()[1:10]
                if state == "0A" and int(local.rpartition(":")[2], 16) == self.port:
                    listening.add(f"socket:[{inode}]")
        for entry in Path("/proc").glob("[0-9]*/fd/*"):
            with suppress(OSError):
                if os.readlink(entry) in listening:
                    return entry.parent.parent
        raise AssertionError(f"nobody listens on port {self.port}")

    def files(self) -> int:
        """How many files and sockets its process has open."""
        return len(os.listdir(self.process() / "fd"))

    def memory(self) -> int:
        """Bytes of its process that are in memory."""
        status = (self.process() / "status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024


@contextmanager
def serving() -> Iterator[Served]:
    """The app, on a free port until the end."""
    if url := os.environ.get(VARIABLE):
        yield Served(url.rstrip("/"))
        return
    command = (sys.executable, "-m", "anywire", "serve", "conformance.app:app", "--port", "0")
    with (
        tempfile.NamedTemporaryFile() as log,
        subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdout is not None
        try:
            found = next(filter(None, map(_LISTENING.search, process.stdout)), None)
            assert found is not None, Path(log.name).read_text(encoding="utf-8")
            yield Served(found[1], Path(log.name))
        finally:
            process.terminate()
            try:
                process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()


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
        url = f"ws{self.server.url.removeprefix('http')}{self.path}?{query}"
        async with asyncio.timeout(TIMEOUT):
            connection = await connect(
                url,
                compression=None,
                ping_interval=None,
                max_size=None,
                proxy=None,
                close_timeout=CLOSING,
            )
        socket = Socket(connection)
        self._stack.push_async_callback(socket.close)
        return socket

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
