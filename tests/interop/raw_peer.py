"""Peers without a WebSocket library: a server that says any bytes, and our own client's frames."""

import asyncio
import base64
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Self

from anywire.limits import Deflate
from anywire.net.connection import Close, Connection, Event
from anywire.net.handshake import check, parse_url, request
from anywire.net.http1 import ResponseParser
from tests.interop.peer import TIMEOUT

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class RawPeer:
    """A server's end of one TCP connection that has sent a request's head."""

    def __init__(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader = reader
        self._head = head
        self._writer = writer

    def say(self, *data: bytes) -> None:
        """Write these bytes as one."""
        self._writer.write(b"".join(data))

    def answer(self, *lines: str, accept: str | None = None) -> bytes:
        """The right answer to the handshake, with more lines, or with another accept key."""
        key = self._head.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
        right = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
        fields = (
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {right if accept is None else accept}",
            *lines,
        )
        return "\r\n".join((*fields, "", "")).encode()

    async def frame(self) -> tuple[int, bytes]:
        """First byte and payload of the next frame, which is small and masked."""
        first, size = await self.reader.readexactly(2)
        assert 0x80 <= size < 0x80 + 126
        mask = await self.reader.readexactly(4)
        payload = await self.reader.readexactly(size - 0x80)
        return first, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))

    def say_no_more(self) -> None:
        """End the bytes of this side (TCP's FIN)."""
        self._writer.write_eof()


@asynccontextmanager
async def raw_server(play: Callable[[RawPeer], Awaitable[None]]) -> AsyncIterator[str]:
    """The URL of a server that plays this for each client, then hangs up; it ends without error."""
    playing: list[asyncio.Task[None]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        playing.append(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            await play(RawPeer(head, reader, writer))
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with asyncio.timeout(TIMEOUT):
            await asyncio.gather(*playing)


class Frames:
    """Our `Connection`, a client's, over a socket: for frames and options that no link has."""

    def __init__(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.connection = connection
        self._reader = reader
        self._writer = writer
        self._events: list[Event] = []

    @classmethod
    async def dial(cls, url: str, *, deflate: Deflate | None = None) -> Self:
        """Shake hands; raises what `check` raises."""
        target = parse_url(url)
        key = os.urandom(16)
        reader, writer = await asyncio.open_connection(target.host, target.port)
        try:
            writer.write(request(target, key, deflate=deflate))
            parser = ResponseParser()
            while (response := parser.receive(await reader.read(1000))) is None:
                pass
            agreed = check(response, key, deflate=deflate)
        except BaseException:
            writer.close()
            raise
        connection = Connection(
            write=writer.write,
            client=True,
            max_size=1024 * 1024,
            deflate=agreed.deflate,
            mask=lambda: os.urandom(4),
        )
        dialed = cls(connection, reader, writer)
        dialed._events += connection.receive(agreed.rest)
        return dialed

    async def event(self) -> Event:
        """What happens next."""
        async with asyncio.timeout(TIMEOUT):
            while not self._events:
                data = await self._reader.read(65_536)
                self._events += self.connection.receive(data) if data else self.connection.eof()
        return self._events.pop(0)

    async def close(self) -> None:
        """Say goodbye, hear it answered, and close the socket."""
        self.connection.close()
        assert await self.event() == Close(1000, clean=True)
        self._writer.close()
        await self._writer.wait_closed()
