"""Proxy: a TCP port before a server, whose connections a test can cut and refuse."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Proxy:
    """Made by `proxied`."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._dead: set[asyncio.StreamWriter] = set()
        self._torn: set[asyncio.StreamWriter] = set()
        self.is_refusing = False
        """Connections that come now are cut at once."""
        self.port = 0

    def cut(self) -> None:
        """Reset every connection, without a goodbye."""
        for pair in self._pairs:
            for writer in pair:
                writer.transport.abort()

    def tear(self) -> None:
        """End every connection of now inside of what it carries next, one way or the other."""
        self._torn |= {random.choice(pair) for pair in self._pairs}

    def deaden(self) -> None:
        """Swallow what comes over the connections of now: they look alive and are dead."""
        self._dead |= {writer for pair in self._pairs for writer in pair}

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its begin to its end."""
        if self.is_refusing:
            writer.transport.abort()
            return
        theirs, ours = await asyncio.open_connection("127.0.0.1", self._target)
        pair = (writer, ours)
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._pump(reader, ours), self._pump(theirs, writer))
        finally:
            self._pairs.discard(pair)
            self._dead -= set(pair)
            self._torn -= set(pair)

    def _end(self, writer: asyncio.StreamWriter) -> None:
        """Close both connections of a pair, behind what has been written."""
        for pair in self._pairs:
            if writer in pair:
                for one in pair:
                    one.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if writer in self._torn:
                    writer.write(data[: random.randrange(len(data))])
                    self._end(writer)
                    break
                if writer not in self._dead:
                    writer.write(data)
                    await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def proxied(target: int) -> AsyncIterator[Proxy]:
    """A proxy to a port of this machine, on a port of its own."""
    proxy = Proxy(target)
    server = await asyncio.start_server(proxy.carry, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        await server.wait_closed()
