"""A server that answers as it is told, and a receiver that remembers: for links over requests."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from anywire.client.dial import Opener
from anywire.payload import Message
from anywire.wires.base import Request
from tests.client.served import no_tasks
from tests.client.test_http import Serve, serving

WELCOME = json.dumps(
    {
        "type": "welcome",
        "session": "s",
        "token": "t",
        "beat": 0,
        "resumed": False,
        "received": 0,
        "limits": {},
    }
)
OPEN = Request(
    subprotocols=["anywire.json.1"], query={"session": "s", "resume": "t", "received": "3"}
)
OCTETS, EVENTS = "application/octet-stream", "text/event-stream"


def said(body: bytes = b"", *, status: int = 200, headers: str = "", kind: str = OCTETS) -> bytes:
    """A whole answer."""
    lines = f"{headers}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body


def begun(body: bytes = b"", *, kind: str = OCTETS) -> bytes:
    """A stream, as far as it came."""
    head = f"HTTP/1.1 200 X\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + (chunk(body) if body else b"")


def chunk(body: bytes) -> bytes:
    """More of a stream; empty: its end."""
    return b"%x\r\n%b\r\n" % (len(body), body)


FIRST = said(WELCOME.encode())
"""The first answer to a poll."""
STREAM = begun(b"    \x1e" + WELCOME.encode() + b"\x1e")


@dataclass(slots=True)
class Script:
    """A server that answers as it is told; None: not at all; empty: it hangs up."""

    gets: list[bytes | None]
    """The answers to the first of them; the others wait."""
    posts: list[bytes | None] = field(default_factory=list)
    """The answers to the first of them; the others are 204."""
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: asyncio.StreamWriter | None = None
    """The connection of the last GET."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, resource, _ = head.split(" ", 2)
                size = 0
                if method == "POST":
                    size = int(head.split("Content-Length: ")[1].split("\r\n")[0])
                self.asked.append((method, resource, await reader.readexactly(size)))
                self.changed.set()
                answers = self.gets if method == "GET" else self.posts
                answer = answers.pop(0) if answers else None
                if method == "GET":
                    self.waiting = writer
                if answer is None and method == "POST":
                    answer = b"HTTP/1.1 204 X\r\n\r\n"
                if answer is not None:
                    writer.write(answer)
                if answer == b"":
                    return

    async def until(self, count: int, method: str = "") -> None:
        """So many requests came."""
        async with asyncio.timeout(5):
            while len(self.of(method)) < count:
                self.changed.clear()
                await self.changed.wait()

    def of(self, method: str) -> list[tuple[str, str, bytes]]:
        return [one for one in self.asked if one[0].startswith(method)]

    def say(self, data: bytes) -> None:
        """More of the answer to the last GET."""
        assert self.waiting is not None
        self.waiting.write(data)

    def cut(self) -> None:
        """Hang up on the last GET."""
        assert self.waiting is not None
        self.waiting.transport.abort()


class Heard:
    """A receiver that remembers, and has a session."""

    def __init__(self, **session: str) -> None:
        self.messages: list[Message] = []
        self.ends: list[tuple[int, str]] = []
        self.signs = 0
        self.writable = 0
        self.session = session or {"session": "s", "resume": "t", "received": "3"}
        self.told: Callable[[Message], None] = lambda message: None
        self._changed = asyncio.Event()

    def opening(self) -> Request:
        return Request(query=self.session)

    def on_message(self, message: Message) -> None:
        self.messages.append(message)
        self._changed.set()
        self.told(message)

    def on_heard(self) -> None:
        self.signs += 1
        self._changed.set()

    def on_writable(self) -> None:
        self.writable += 1
        self._changed.set()

    def on_closed(self, code: int, reason: str) -> None:
        self.ends.append((code, reason))
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def closed(self) -> tuple[int, str]:
        await self.until(lambda: self.ends)
        await no_tasks()
        assert len(self.ends) == 1
        return self.ends[0]


opener: type[Opener] = Heard


@asynccontextmanager
async def scripted(
    *gets: bytes | None, posts: list[bytes | None] | None = None
) -> AsyncIterator[tuple[Script, str]]:
    """The script, and the URL where it is played."""
    script = Script(list(gets), posts or [])
    serve: Serve = script.serve
    async with serving(serve) as port:
        yield script, f"http://127.0.0.1:{port}/ws"
