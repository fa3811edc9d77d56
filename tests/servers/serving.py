"""Servers for tests: a node with one echoing channel, on a free port of loopback."""

import asyncio
import os
import ssl as tls
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from anywire.brokers.memory import MemoryBroker
from anywire.core.channel import Channel, Channels
from anywire.core.clock import Deadlines
from anywire.core.member import Member
from anywire.core.node import Authenticate, Node
from anywire.limits import Limits
from anywire.net.rfc6455 import apply_mask, header
from anywire.servers.tcp import Server
from anywire.wires.base import Wire
from anywire.wires.raw import Raw


def echo() -> Channel:
    """A channel that says back what it hears, and publishes what begins with `all:`."""
    channel = Channel("echo", kinds={Member: "member"})

    @channel.message
    async def heard(member: Member, message: str | bytes) -> None:
        if isinstance(message, str) and message.startswith("all:"):
            await member.room.publish("message", message)
        else:
            await member.send("message", message)

    return channel


def make_node(
    channel: Channel | None = None,
    *,
    limits: Limits | None = None,
    authenticate: Authenticate | None = None,
) -> Node:
    """A node in the running loop, with the real clock."""
    loop = asyncio.get_running_loop()
    channels = Channels()
    channels.add(channel or echo())
    return Node(
        channels=channels,
        backend=MemoryBroker(),
        now=loop.time,
        wall=time.time,
        deadlines=Deadlines(now=loop.time, call_at=loop.call_at),
        limits=limits,
        authenticate=authenticate,
    )


@asynccontextmanager
async def serving(
    *, node: Node | None = None, wires: Sequence[Wire] | None = None, **options: Any
) -> AsyncIterator[Server]:
    """A started server, stopped at the end; raw echo at `/echo` if nothing else is said."""
    options.setdefault("port", 0)
    node = node or make_node()
    server = Server(
        node=node,
        wires=[Raw(paths={"/echo": "echo"})] if wires is None else wires,
        **options,
    )
    await node.start()
    try:
        await server.start()
        yield server
    finally:
        await server.stop()
        await node.stop()
        node.deadlines.close()


class Dialed:
    """A client that speaks bytes: for what no well-behaved client would send."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *parts: bytes) -> None:
        """Write the parts as one."""
        self.writer.write(b"".join(parts))

    async def trickle(self, data: bytes) -> None:
        """Write byte by byte, with time for the server in between."""
        number = self.writer.get_extra_info("socket").fileno()
        for byte in data:
            await asyncio.to_thread(os.write, number, bytes((byte,)))

    async def answer(self, *, has_body: bool = True) -> "Said":
        """The next response, its body by Content-Length or in chunks."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        status_line, *lines = head.decode().split("\r\n")[:-2]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = b""
        if has_body and "content-length" in headers:
            body = await self.reader.readexactly(int(headers["content-length"]))
        elif has_body and headers.get("transfer-encoding") == "chunked":
            while size := int(await self.reader.readline(), 16):
                body += await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
        return Said(int(status_line.split(" ")[1]), headers, body)

    async def chunk(self) -> bytes:
        """The next chunk of a response that goes on; empty at its end."""
        size = int(await self.reader.readline(), 16)
        data = await self.reader.readexactly(size)
        assert await self.reader.readexactly(2) == b"\r\n"
        return data

    async def rest(self) -> bytes:
        """Everything until the server hangs up."""
        return await self.reader.read()

    async def frame(self) -> tuple[int, bytes]:
        """First byte and payload of the next WebSocket frame."""
        first, size = await self.reader.readexactly(2)
        if size == 126:
            size = int.from_bytes(await self.reader.readexactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await self.reader.readexactly(8), "big")
        return first, await self.reader.readexactly(size)

    async def close(self) -> None:
        """Hang up."""
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


@dataclass(slots=True)
class Said:
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes


@asynccontextmanager
async def dial(server: Server, ssl: tls.SSLContext | None = None) -> AsyncIterator[Dialed]:
    """A connection to the server."""
    address = server.addresses[0]
    if address.path:
        streams = await asyncio.open_unix_connection(address.path)
    else:
        streams = await asyncio.open_connection(
            address.host, address.port, ssl=ssl, server_hostname="localhost" if ssl else None
        )
    dialed = Dialed(*streams)
    try:
        yield dialed
    finally:
        await dialed.close()


def request(path: str = "/", *lines: str, method: str = "GET", body: bytes = b"") -> bytes:
    """An HTTP/1.1 request; its Content-Length is written where there is a body."""
    fields = ["Host: test", *lines]
    if body:
        fields.append(f"Content-Length: {len(body)}")
    return f"{method} {path} HTTP/1.1\r\n{_joined(fields)}\r\n".encode() + body


def upgrade(path: str = "/echo", *lines: str) -> bytes:
    """A right handshake."""
    fields = (
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    return request(path, *fields, *lines)


def frame(data: str | bytes, *, first: int | None = None) -> bytes:
    """A whole masked frame."""
    raw = data.encode() if isinstance(data, str) else data
    opcode = first if first is not None else (0x81 if isinstance(data, str) else 0x82)
    mask = b"\x01\x02\x03\x04"
    return header(opcode, len(raw), 0x80) + mask + apply_mask(raw, mask)


def close_frame(code: int) -> bytes:
    """A masked close frame."""
    return frame(code.to_bytes(2, "big"), first=0x88)


def _joined(fields: Sequence[str]) -> str:
    return "".join(f"{field}\r\n" for field in fields)
