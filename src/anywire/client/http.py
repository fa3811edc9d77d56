"""HTTP/1.1 requests of the client: one after the other over one connection (RFC 9112).

It knows no protocol above HTTP, follows no redirect, repeats no request and keeps no cookie.
Whatever goes wrong is the caller's to mend: who does not know whether a request arrived cannot say
it again.
"""

import asyncio
import base64
import ssl as tls
from collections.abc import Sequence
from typing import cast

import httptools

from anywire.client.proxy import ENVIRONMENT, connect_through, parse_proxy, proxy_of_environment
from anywire.errors import ProtocolError, Refused
from anywire.limits import Limits
from anywire.net.handshake import Target
from anywire.net.response import field
from anywire.wires.base import Answer

_HEAD = Limits().header_bytes
_HIGH = 256 * 1024
"""Bytes that nobody has taken past which no more are read."""
_OURS = frozenset((b"connection", b"content-length", b"transfer-encoding", b"upgrade", b"expect"))


class Way:
    """How to reach one server: what connections to it have in common.

    `ssl`, `server_hostname`, `unix`, `proxy`: see `SocketDialer`. Raises ValueError for options
    that cannot be.
    """

    __slots__ = ("_is_proxy_named", "_proxy", "_server_hostname", "_ssl", "_unix")

    def __init__(
        self,
        *,
        ssl: tls.SSLContext | None = None,
        server_hostname: str | None = None,
        unix: str | None = None,
        proxy: str | None = None,
    ) -> None:
        self._ssl = ssl
        self._server_hostname = server_hostname
        self._unix = unix
        self._is_proxy_named = proxy == ENVIRONMENT
        self._proxy = None if proxy is None or self._is_proxy_named else parse_proxy(proxy)
        if self._proxy is not None and unix is not None:
            raise ValueError("proxy and unix are two ways to a server: give one of the two")

    async def connect(self, target: Target, protocol: asyncio.Protocol) -> None:
        """Connect `protocol`. Raises OSError or AnywireError; then nothing is left open."""
        loop = asyncio.get_running_loop()
        context = (self._ssl or tls.create_default_context()) if target.is_secure else None
        name = (self._server_hostname or target.host) if target.is_secure else None
        proxy = proxy_of_environment(target) if self._is_proxy_named else self._proxy
        if self._unix is not None:
            await loop.create_unix_connection(
                lambda: protocol, self._unix, ssl=context, server_hostname=name
            )
        elif proxy is not None:
            await connect_through(proxy, target, protocol, ssl=context, server_hostname=name)
        else:
            await loop.create_connection(
                lambda: protocol, target.host, target.port, ssl=context, server_hostname=name
            )


class Asking:
    """Asks one server, one request at a time; the connection is kept, or `fresh` for each.

    `headers` go with every request; `max_answer`: bytes of the largest body taken. Raises Refused
    for headers that cannot be sent.
    """

    __slots__ = ("_connection", "_fresh", "_head", "_max_answer", "_target", "_way")

    def __init__(
        self,
        way: Way,
        target: Target,
        headers: Sequence[tuple[str, str]],
        *,
        fresh: bool,
        max_answer: int,
    ) -> None:
        self._way = way
        self._target = target
        self._head = _head(target, headers, fresh=fresh)
        self._fresh = fresh
        self._max_answer = max_answer
        self._connection: _Connection | None = None

    async def ask(self, method: str, resource: str, body: bytes = b"") -> Answer:
        """The whole answer, whatever its status; names of headers are in lower case.

        Raises OSError or AnywireError: it may have been heard or not. Cancelled, or after an error,
        nothing is left open.
        """
        return await (await self.begin(method, resource, body)).whole(self._max_answer)

    async def begin(self, method: str, resource: str, body: bytes = b"") -> "Incoming":
        """The answer once its head is there; to be read to its end. Raises as `ask`."""
        head = f"{method} {resource} HTTP/1.1\r\n".encode("ascii") + self._head
        if method == "POST":
            head += b"Content-Type: application/octet-stream\r\nContent-Length: %d\r\n" % len(body)
        connection = self._connection
        if connection is None or not connection.is_usable:
            connection = self._connection = _Connection(is_kept=not self._fresh)
            try:
                await self._way.connect(self._target, connection)
            except BaseException:
                connection.abort()
                raise
        return await connection.ask(b"%b\r\n%b" % (head, body))

    def abort(self) -> None:
        """Hang up at once."""
        if self._connection is not None:
            self._connection.abort()


class Incoming:
    """An answer that comes; names of `headers` are in lower case."""

    __slots__ = ("_connection", "headers", "status")

    def __init__(
        self, connection: "_Connection", status: int, headers: Sequence[tuple[str, str]]
    ) -> None:
        self._connection = connection
        self.status = status
        self.headers = headers

    async def part(self) -> bytes:
        """The next bytes of the body; empty once it is whole.

        Raises OSError or ProtocolError: it never will be. Cancelled, or after an error, nothing is
        left open.
        """
        return await self._connection.part()

    async def whole(self, most: int) -> Answer:
        """All of it. Raises as `part`, and for a body of over `most` bytes (1009)."""
        body = bytearray()
        while part := await self.part():
            body += part
            if len(body) > most:
                self._connection.abort()
                raise ProtocolError(f"an answer of over {most} bytes", code=1009)
        return Answer(status=self.status, headers=self.headers, body=bytes(body))


class _Connection(asyncio.Protocol):
    """One connection. What httptools calls back as the answer is read begins with `on_`.

    `is_kept`: it may serve another request after this one.
    """

    __slots__ = (
        "_body",
        "_error",
        "_headers",
        "_is_asked",
        "_is_gone",
        "_is_headed",
        "_is_kept",
        "_is_paused",
        "_is_whole",
        "_parser",
        "_size",
        "_transport",
        "_waiter",
        "is_usable",
    )

    def __init__(self, *, is_kept: bool) -> None:
        self._is_kept = is_kept
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_asked = False
        self._is_gone = False
        self._is_headed = False
        self._is_paused = False
        self._is_whole = False
        self.is_usable = False
        """It stands, and nothing is asked or said on it."""
        self._begin()

    async def ask(self, data: bytes) -> Incoming:
        """The answer to a whole request, once its head is there. Raises OSError or
        ProtocolError.
        """
        if self._transport is None:
            raise ConnectionError("the server hung up")
        self._begin()
        self.is_usable = False
        self._is_asked = True
        self._transport.write(data)
        while not self._is_headed:
            await self._changed()
        return Incoming(self, self._parser.get_status_code(), self._headers)

    async def part(self) -> bytes:
        """See `Incoming`."""
        while not self._body and not self._is_whole:
            await self._changed()
        if self._body:
            data = bytes(self._body)
            self._body.clear()
            if self._is_paused and self._transport is not None:
                self._is_paused = False
                self._transport.resume_reading()
            return data
        if not self.is_usable:
            self.abort()
        return b""

    def abort(self) -> None:
        """Hang up at once."""
        self._is_gone = True
        self.is_usable = False
        if self._transport is not None:
            self._transport.abort()

    # --- as an asyncio protocol -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        if self._is_gone:  # it was given up meanwhile
            self._transport.abort()
        else:
            self.is_usable = True

    def data_received(self, data: bytes) -> None:
        if not self._is_asked or self._is_whole or self._error is not None:
            self.abort()  # nobody asked
            return
        if not self._is_headed:
            self._size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ProtocolError(f"the answer is not HTTP/1.1: {error}"))
            return
        if not self._is_headed and self._size > _HEAD:
            self._fail(ProtocolError(f"the head of the answer is over {_HEAD} bytes"))
        elif len(self._body) > _HIGH and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self.abort()
        self._fail(error or ConnectionError("the server hung up before it had answered"))

    # --- as what httptools calls back -----------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._is_whole:  # nobody asked for a second one
            self.is_usable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_whole:
            self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1").strip()))

    def on_headers_complete(self) -> None:
        if self._parser.get_status_code() >= 200:
            self._is_headed = True

    def on_body(self, data: bytes) -> None:
        if not self._is_whole:
            self._body += data

    def on_message_complete(self) -> None:
        if not self._is_headed:  # RFC 9110, 15.2: the answer is still to come
            self._size = 0
            self._headers.clear()
        elif not self._is_whole:
            self._is_whole = True
            self.is_usable = self._is_kept and self._parser.should_keep_alive()

    # --- inside ---------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[str, str]] = []
        self._body = bytearray()
        self._is_headed = False
        self._is_whole = False
        self._error: Exception | None = None
        self._size = 0

    async def _changed(self) -> None:
        """Wait until more is there. Raises what made an end of it."""
        if self._error is not None:
            raise self._error
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.abort()
            raise

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        if not self._is_whole and self._error is None:
            self._error = error
            self.abort()
            self._wake()


def _head(target: Target, headers: Sequence[tuple[str, str]], *, fresh: bool) -> bytes:
    """The header lines that all requests have."""
    try:
        lines = [field(name, value) for name, value in headers]
    except ValueError as error:
        raise Refused("invalid", f"this cannot be asked for: {error}") from None
    names = {line.partition(b":")[0].lower() for line in lines}
    if ours := names & _OURS:
        raise Refused("invalid", f"the header {min(ours).decode()!r} is the connection's own")
    if b"host" not in names:
        lines.insert(0, field("Host", target.authority))
    if target.userinfo is not None and b"authorization" not in names:
        credentials = base64.b64encode(target.userinfo.encode()).decode()
        lines.append(field("Authorization", f"Basic {credentials}"))
    if fresh:
        lines.append(field("Connection", "close"))
    return b"".join(lines)
