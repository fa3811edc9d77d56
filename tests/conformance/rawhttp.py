"""A small HTTP/1 client that hides nothing: heads, single chunks, the ends of connections."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self
from urllib.parse import urlsplit

PATIENCE = 5.0
"""Seconds for one piece to come; what takes longer raises TimeoutError."""
NO_BODY = frozenset({101, 204, 304})
NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Head:
    """The first part of an answer."""

    version: str
    """As "1.1"."""
    status: int
    headers: tuple[tuple[str, str], ...]
    """Names in lower case, in the order they came."""

    def __getitem__(self, name: str) -> str:
        """The value of a header, several joined by a comma; empty for one that is not there."""
        return ", ".join(value for one, value in self.headers if one == name.lower())

    def __contains__(self, name: str) -> bool:
        return any(one == name.lower() for one, _ in self.headers)

    @property
    def is_chunked(self) -> bool:
        return self["transfer-encoding"].lower() == "chunked"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    head: Head
    body: bytes

    @property
    def status(self) -> int:
        return self.head.status


class Connection:
    """One connection; what is read is exactly what is asked for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = Head("", 0, ())
        """Of the newest answer."""
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect to the server of this URL."""
        parts = urlsplit(url)
        async with asyncio.timeout(PATIENCE):
            return cls(*await asyncio.open_connection(parts.hostname, parts.port))

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = NONE,
        body: bytes | None = None,
        version: str = "1.1",
    ) -> None:
        """Write a request; a body, be it empty, is preceded by its length."""
        parts = urlsplit(url)
        # The URL's own spelling, in which "//" and "%20" stay what they are.
        target = url[url.index(parts.netloc) + len(parts.netloc) :]
        all_headers = {"Host": parts.netloc, **headers}
        if body is not None:
            all_headers["Content-Length"] = str(len(body))
        lines = [f"{method} {target} HTTP/{version}"]
        lines += [f"{name}: {value}" for name, value in all_headers.items()]
        await self.write("\r\n".join([*lines, "", ""]).encode() + (body or b""))

    async def write(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._writer.write(data)
        async with asyncio.timeout(PATIENCE):
            await self._writer.drain()

    async def answer(self) -> Head:
        """Read a head, and no more."""
        version, status, *_ = (await self._line()).removeprefix("HTTP/").split(" ", 2)
        headers = []
        while line := await self._line():
            name, _, value = line.partition(":")
            headers.append((name.lower(), value.strip()))
        self.head = Head(version, int(status), tuple(headers))
        return self.head

    async def chunk(self) -> bytes:
        """Read one chunk; the last one is empty."""
        assert self.head.is_chunked, self.head
        size = int((await self._line()).partition(";")[0], 16)
        data = await self.exactly(size)
        assert await self.exactly(2) == b"\r\n"
        return data

    async def exactly(self, size: int) -> bytes:
        """Read so many bytes."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.readexactly(size)

    async def rest(self) -> bytes:
        """Read all there is until the server closes the connection; it does so in time."""
        async with asyncio.timeout(PATIENCE):
            return await self._reader.read()

    async def body(self, method: str) -> bytes:
        """Read the body that belongs to the newest head, in whichever way its end is told."""
        if self.head.status in NO_BODY:
            return b""
        if self.head.is_chunked:
            parts = []
            while part := await self.chunk():
                parts.append(part)
            return b"".join(parts)
        if "content-length" in self.head:
            return await self.exactly(int(self.head["content-length"]))
        if self.head["connection"].lower() == "close":
            return await self.rest()
        assert method == "OPTIONS", f"the end of this body is told in no way: {self.head}"
        return b""

    async def close(self) -> None:
        """Close it, whatever may still come."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _line(self) -> str:
        async with asyncio.timeout(PATIENCE):
            line = await self._reader.readline()
        assert line.endswith(b"\r\n"), f"the server hung up after {line!r}"
        return line[:-2].decode("latin-1")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """A connection, closed at the end."""
    connection = await Connection.open(url)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def asked(
    method: str, url: str, *, headers: Mapping[str, str] = NONE, body: bytes | None = None
) -> AsyncIterator[Connection]:
    """A connection whose first answer has begun: its head is read, its body is not."""
    async with connected(url) as connection:
        if method == "POST":
            body = body or b""
        await connection.send(method, url, headers=headers, body=body)
        await connection.answer()
        yield connection


async def request(
    method: str, url: str, *, headers: Mapping[str, str] = NONE, body: bytes | None = None
) -> Answer:
    """Ask on a connection of its own and read the whole answer."""
    async with asked(method, url, headers=headers, body=body) as connection:
        return Answer(connection.head, await connection.body(method))


async def get(url: str, *, headers: Mapping[str, str] = NONE) -> Answer:
    """Ask with GET."""
    return await request("GET", url, headers=headers)


async def post(url: str, body: str = "", *, headers: Mapping[str, str] = NONE) -> Answer:
    """Ask with POST; the body's length is always told."""
    return await request("POST", url, headers=headers, body=body.encode())
