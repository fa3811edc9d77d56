"""The standalone server's exchange: one HTTP request and its response, as who answers it sees them.

Carriers and the user's own ASGI app stand on it. Reading and waiting are awaited, writing is not:
who writes much awaits `drained`. Once the client is gone, reads raise and writes are dropped.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from anywire.net.http1 import CONTINUE, LAST_CHUNK, Request, chunk, head, response
from anywire.servers.carry import Served
from anywire.servers.incoming import Incoming
from anywire.servers.static import Reply
from anywire.wires.base import Hello

log = logging.getLogger(__name__)

AHEAD = 64 * 1024
"""Bytes of a body that may be here unread before reading from the client pauses."""


class Link(Protocol):
    """What an exchange needs of its connection."""

    @property
    def transport(self) -> asyncio.Transport: ...

    @property
    def buffer(self) -> memoryview: ...

    @property
    def is_full(self) -> bool:
        """The kernel has not taken everything written."""
        ...

    @property
    def keeps_alive(self) -> bool: ...

    def date(self) -> str: ...

    def control(self) -> None:
        """Pause or resume reading, as much as there is to do."""
        ...

    def done(self, exchange: "HttpExchange") -> None:
        """The response is whole."""
        ...

    @property
    def lost(self) -> Callable[[object], None]:
        """To be told when the socket is gone, whoever had it; holds neither this nor a request."""
        ...

    def given_away(self) -> None:
        """The transport has another protocol now."""
        ...

    def fail(self, status: int, reason: str) -> None:
        """Answer so if nothing was said yet, then hang up."""
        ...


class HttpExchange:
    """One request and its response. `rest` is what came behind the head of an upgrade."""

    __slots__ = (
        "_chunked",
        "_head",
        "_incoming",
        "_left",
        "_limit",
        "_link",
        "_silent",
        "_wants_continue",
        "has_begun",
        "has_ended",
        "headers",
        "hops",
        "is_gone",
        "is_kept",
        "keeps",
        "request",
        "rest",
    )

    def __init__(self, request: Request, link: Link, hops: int = 0) -> None:
        self.request = request
        self.hops = hops
        """How many nodes have passed its socket on."""
        self.rest = b""
        self.is_gone = False
        """The client is gone, or was refused."""
        self.has_begun = False
        self.has_ended = False
        self.is_kept = False
        self.headers: Sequence[tuple[str, str]] = ()
        self.keeps = request.keep_alive
        self._link = link
        self._incoming = Incoming()
        self._wants_continue = request.expects_continue
        self._head = b""
        self._chunked = False
        self._silent = False
        self._left: int | None = None
        self._limit: int | None = None

    @property
    def transport(self) -> asyncio.Transport:
        """For addresses and TLS facts; it is written to through the exchange."""
        return self._link.transport

    @property
    def is_whole(self) -> bool:
        """The whole request is here."""
        return self._incoming.is_whole

    @property
    def remote(self) -> str:
        """The peer's address; empty over a Unix socket."""
        peer = self._link.transport.get_extra_info("peername")
        return str(peer[0]) if isinstance(peer, tuple) else ""

    def greet(self, hello: Hello) -> None:
        """Nothing is known here but the request."""

    @property
    def is_secure(self) -> bool:
        """Whether TLS ends here."""
        return self._link.transport.get_extra_info("sslcontext") is not None

    @property
    def buffer(self) -> memoryview:
        """What the server reads into, for a new owner of the socket that wants it."""
        return self._link.buffer

    @property
    def wants_pause(self) -> bool:
        """Enough is here unread, or an upgrade is being decided."""
        return self._incoming.unread > AHEAD or self.request.upgrade

    @property
    def is_full(self) -> bool:
        """The kernel has not taken everything written."""
        return self._link.is_full

    @property
    def has_spoken(self) -> bool:
        """A byte of the response has left."""
        return self.has_begun and not self._head

    # --- the request ----------------------------------------------------------------------------

    def bound(self, limit: int) -> None:
        """Refuse a body over so many bytes, by its length or while it is read: 413."""
        self._limit = limit
        length = self.request.length
        if (0 if length is None else length) > limit or self._incoming.size > limit:
            self._link.fail(413, f"a body has at most {limit} bytes here")

    async def read(self) -> bytes:
        """The next part of the body; empty once it is whole. Raises Closed if it never will be."""
        if self._wants_continue and not self._incoming.size and not self.is_whole:
            self._wants_continue = False
            if not (self.has_begun or self.is_gone):
                self._link.transport.write(CONTINUE)
        data = await self._incoming.read()
        if data:
            self._link.control()
        return data

    async def gone(self) -> None:
        """Wait until the client is gone or the response is whole."""
        while not (self.is_gone or self.has_ended):
            await self._incoming.changed()

    def keep(self, changed: Callable[[], None]) -> None:
        """Answer later: `changed` is called when the client is gone, or may have taken all."""
        self.is_kept = True
        self._incoming.watcher = changed

    # --- the response ---------------------------------------------------------------------------

    def respond(self, reply: Reply) -> None:
        """Answer with all there is to say."""
        if self.has_begun or self.is_gone:
            return
        keeps = self.keeps and self.is_whole and self._link.keeps_alive
        whole = response(
            reply.status,
            [*reply.headers, *self.headers],
            reply.body,
            keep_alive=keeps,
            head_only=self.request.method == "HEAD",
            date=self._link.date(),
        )
        self.has_begun = True
        self.keeps = keeps
        self._link.transport.write(whole)
        self._end()

    def start(self, status: int, headers: Iterable[tuple[str | bytes, str | bytes]]) -> None:
        """Begin a response whose body follows; the head leaves with its first part, or soon.

        Raises:
            ValueError: a header cannot stand in a response, or the response has begun.
        """
        if self.has_begun:
            raise ValueError("the response has begun")
        if self.is_gone:
            return
        fields = [*headers, *self.headers]
        request = self.request
        keeps = self.keeps and self._link.keeps_alive
        date = self._link.date()
        self._silent = request.method == "HEAD" or status in (204, 304)
        if self._silent:
            self._head = response(status, fields, keep_alive=keeps, head_only=True, date=date)
        else:
            self._left = _length(fields)
            self._chunked = self._left is None and request.version == "1.1"
            keeps = keeps and (self._chunked or self._left is not None)
            self._head = head(status, fields, chunked=self._chunked, keep_alive=keeps, date=date)
        self.keeps = keeps
        self.has_begun = True
        asyncio.get_running_loop().call_soon(self._write)

    def write(self, *parts: bytes) -> None:
        """More of the body, each part a chunk of its own. Raises ValueError for more than
        Content-Length said.
        """
        self._write(b"".join([self._part(part) for part in parts]))

    def end(self, data: bytes = b"") -> None:
        """The last part of the body, if there is one more, and its end."""
        if self.has_ended or self.is_gone:
            return
        self._write(self._part(data) + (LAST_CHUNK if self._chunked else b""))
        if self._left:
            self.keeps = False  # shorter than said: only the connection's end tells the client
        self._end()

    async def drained(self) -> None:
        """Wait until the kernel has taken everything written, or the client is gone."""
        while self._link.is_full and not self.is_gone:
            await self._incoming.changed()

    def fail(self, status: int, reason: str) -> None:
        """Answer so if nothing was said yet, then hang up."""
        if not self.has_ended and not self.is_gone:
            self._link.fail(status, reason)

    def give_away(self, protocol: asyncio.BaseProtocol) -> bytes:
        """Give the socket to another protocol; returns what was read behind the head, for it too.

        The new owner must call `lost` with the transport when its connection is lost.

        Raises:
            ValueError: the request was no upgrade, or the response has begun.
        """
        if self.has_begun or self.is_gone or not self.request.upgrade:
            raise ValueError("only the socket of an unanswered upgrade can be given away")
        self.has_begun = self.has_ended = True
        is_full = self._link.is_full
        self._link.given_away()
        self._link.transport.set_protocol(protocol)
        if is_full:
            protocol.pause_writing()
        self._incoming.stop()
        rest, self.rest = self.rest, b""
        return rest

    def let_go(self) -> None:
        """Another process has the socket of this unanswered upgrade: forget it without a word."""
        transport = self._link.transport
        self.give_away(_LetGo(self.lost, transport))
        transport.abort()

    @property
    def lost(self) -> Callable[[object], None]:
        """To be told when the socket that was given away is gone; nothing of us lives on in it."""
        return self._link.lost

    # --- what the connection tells --------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """A part of the body is here."""
        self._incoming.feed(data)
        if self._limit is not None:
            self.bound(self._limit)

    def feed_end(self) -> None:
        """The request is whole."""
        self._incoming.finish()

    def drain(self) -> None:
        """The kernel has taken everything."""
        self._incoming.wake()

    def cut(self) -> None:
        """The client is gone."""
        self.is_gone = True
        self._head = b""
        self._incoming.stop(drop=True)

    # --- inside ---------------------------------------------------------------------------------

    def _part(self, data: bytes) -> bytes:
        if self._silent or self.is_gone or self.has_ended:
            return b""
        if self._left is not None:
            if len(data) > self._left:
                raise ValueError("the body is longer than its Content-Length")
            self._left -= len(data)
        return chunk(data) if self._chunked else data

    def _write(self, data: bytes = b"") -> None:
        begin, self._head = self._head, b""
        if begin or data:
            self._link.transport.write(begin + data)

    def _end(self) -> None:
        self.has_ended = True
        self.keeps = self.keeps and self.is_whole
        self._incoming.stop()
        self._link.done(self)


def _length(fields: Iterable[tuple[str | bytes, str | bytes]]) -> int | None:
    for name, value in fields:
        if name.lower() in ("content-length", b"content-length"):
            return int(value)
    return None


def failed(exchange: Served, bug: BaseException) -> None:
    """A bug while answering: the client hears an id, and the log has it beside the traceback."""
    target = exchange.request.raw_path[:200].decode("ascii", "replace")
    exchange.fail(500, f"internal error {log_failure(target, bug)}")


def log_failure(target: str, bug: BaseException) -> str:
    """Log a bug; returns the id it is logged under."""
    id = secrets.token_hex(4)
    log.error("internal %s: answering %s failed", id, target, exc_info=bug)
    return id


class _LetGo(asyncio.Protocol):
    """The last protocol of a socket that another process has: this copy of it is closed."""

    def __init__(self, lost: Callable[[object], None], transport: asyncio.Transport) -> None:
        self._lost = lost
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the server."""
        self._lost(self._transport)
