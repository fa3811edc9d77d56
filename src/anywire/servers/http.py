"""One HTTP/1 connection: from accept to its end, or until its socket is given away (RFC 9112).

It reads requests one at a time and has each answered; pauses reading while more came than is
answered; and waits for nothing longer than `Limits` say, with one deadline and no task.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from anywire.core.clock import Deadline, Deadlines
from anywire.limits import Limits
from anywire.net.http1 import Data, End, Event, Failure, Request, RequestParser, Upgraded, response
from anywire.servers.exchange import HttpExchange
from anywire.servers.static import text


class Host(Protocol):
    """What the connections of one server share."""

    @property
    def limits(self) -> Limits: ...

    @property
    def deadlines(self) -> Deadlines: ...

    @property
    def buffer(self) -> memoryview:
        """What is read into, one for all connections."""
        ...

    @property
    def is_open(self) -> bool:
        """Connections may be kept for another request."""
        ...

    def now(self) -> float: ...

    def date(self) -> str: ...

    def made(self, transport: asyncio.Transport) -> None: ...

    @property
    def lost(self) -> Callable[[object], None]: ...

    def handle(self, exchange: HttpExchange) -> None:
        """Answer this one, now or later; it is whole, or its body follows."""
        ...


class HttpConnection(asyncio.BufferedProtocol):
    """The protocol of a new socket. `early`: what another process read of it that passed it on.

    Invariants: `_exchange` is None between requests; `_is_over`: nothing more is read, and the
    socket is being closed or somebody else's.
    """

    __slots__ = (
        "_deadline",
        "_early",
        "_exchange",
        "_host",
        "_is_kept",
        "_is_over",
        "_is_paused",
        "_is_running",
        "_parser",
        "_transport",
        "is_full",
    )

    def __init__(self, host: Host, early: bytes | None = None) -> None:
        self._host = host
        self._early = early
        self._parser = RequestParser(host.limits)
        self._transport: asyncio.Transport | None = None
        self._exchange: HttpExchange | None = None
        self._deadline: Deadline | None = None
        self._is_kept = False
        self._is_over = False
        self._is_paused = False
        self._is_running = False
        self.is_full = False

    # --- what the socket tells ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted: the head must come in time."""
        transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self._transport = transport
        # What a write leaves behind must be seen at once. TLS compares with >=, and 0 would always
        # be full.
        transport.set_write_buffer_limits(high=1 if transport.get_extra_info("sslcontext") else 0)
        self._host.made(transport)
        self._wait(self._host.limits.handshake)
        if self._early:
            early, self._early = self._early, b""
            self.data_received(early)  # now: the loop may read before who made us goes on

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read into."""
        return self._host.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes are in the buffer."""
        self.data_received(bytes(self._host.buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Bytes of a head or a body; after the last request they are dropped."""
        if self._is_over:
            return
        if self._is_kept and self._exchange is None and self._parser.is_idle:
            self._wait(self._host.limits.handshake)
        self._run(self._parser.receive(data))

    def eof_received(self) -> bool:
        """Who has no more to say has left."""
        self._cut()
        self._is_over = True
        if self.is_full:
            self._wait(self._host.limits.closing)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone."""
        self._rest()
        self._is_over = True
        self._cut()
        self._host.lost(self.transport)

    def pause_writing(self) -> None:
        """The client reads slower than we write."""
        self.is_full = True
        if not self._is_over:
            self._wait(self._host.limits.idle)

    def resume_writing(self) -> None:
        """The client has caught up: go on with what it is owed, or has asked meanwhile."""
        self.is_full = False
        exchange = self._exchange
        if self._is_over:
            return
        if exchange is None:
            self._wait(self._host.limits.idle)
            if not self._is_running:
                self._run(self._parser.next_request())
        else:
            self._expect(exchange)
            exchange.drain()

    # --- what an exchange asks ------------------------------------------------------------------

    @property
    def transport(self) -> asyncio.Transport:
        """The socket's."""
        assert self._transport is not None  # an exchange exists after connection_made only
        return self._transport

    @property
    def buffer(self) -> memoryview:
        """For who gets the socket."""
        return self._host.buffer

    @property
    def keeps_alive(self) -> bool:
        """Whether another request may follow."""
        return self._host.is_open

    def date(self) -> str:
        """The Date header's value."""
        return self._host.date()

    def control(self) -> None:
        """Read while there is room for it."""
        if self._is_over:
            return
        exchange = self._exchange
        wants = self._parser.waiting > 0 or (exchange is not None and exchange.wants_pause)
        if wants and not self._is_paused:
            self.transport.pause_reading()
        elif self._is_paused and not wants:
            self.transport.resume_reading()
        self._is_paused = wants

    def done(self, exchange: HttpExchange) -> None:
        """The response is whole: go on with the next request, or hang up."""
        self._exchange = None
        if not exchange.keeps:
            self._hang_up(is_read=exchange.is_whole and not exchange.request.upgrade)
            return
        self._is_kept = True
        self._wait(self._host.limits.idle)
        if not self._is_running and not self.is_full:
            self._run(self._parser.next_request())

    @property
    def lost(self) -> Callable[[object], None]:
        """To be told when the socket is gone, whoever had it."""
        return self._host.lost

    def given_away(self) -> None:
        """The socket has another owner."""
        self._rest()
        self._exchange = None
        self._is_over = True
        if self._is_paused:
            self.transport.resume_reading()

    def fail(self, status: int, reason: str) -> None:
        """Answer so, if nothing was said yet, and hang up."""
        exchange, self._exchange = self._exchange, None
        if exchange is None or not exchange.has_spoken:
            reply = text(status, reason)
            headers = reply.headers if exchange is None else [*reply.headers, *exchange.headers]
            head_only = exchange is not None and exchange.request.method == "HEAD"
            self.transport.write(
                response(
                    status,
                    headers,
                    reply.body,
                    keep_alive=False,
                    head_only=head_only,
                    date=self.date(),
                )
            )
        if exchange is not None:
            exchange.cut()
        self._hang_up(is_read=False)

    def close_idle(self) -> None:
        """The server stops: hang up now if nothing is being answered, else after the answer."""
        if self._exchange is None and not self._is_over:
            self._hang_up(is_read=self._parser.is_idle)

    # --- inside ---------------------------------------------------------------------------------

    def _run(self, events: Sequence[Event]) -> None:
        """Have requests answered, in a loop as long as the answers come at once."""
        self._is_running = True
        while events:
            self._take(events)
            if self._exchange is not None or self._is_over or self.is_full:
                break
            events = self._parser.next_request()
        self._is_running = False
        self.control()

    def _take(self, events: Sequence[Event]) -> None:
        begun: HttpExchange | None = None
        for event in events:
            exchange = self._exchange
            if isinstance(event, Request):
                begun = self._exchange = HttpExchange(event, self, int(self._early is not None))
            elif isinstance(event, Failure):
                self.fail(event.status, event.reason)
            elif exchange is None:
                return  # it was refused in the middle of its body
            elif isinstance(event, Data):
                exchange.feed(event.data)
            elif isinstance(event, End):
                exchange.feed_end()
            elif isinstance(event, Upgraded):
                exchange.rest += event.rest
        exchange = self._exchange
        if exchange is not None:
            self._expect(exchange)
            if exchange is begun:
                self._host.handle(exchange)

    def _expect(self, exchange: HttpExchange) -> None:
        """More of the body must come in time; the answer may take as long as it likes."""
        if self.is_full or not (exchange.is_whole or exchange.request.upgrade):
            self._wait(self._host.limits.idle)
        else:
            self._rest()

    def _hang_up(self, *, is_read: bool) -> None:
        """Close; with `is_read` false the client may still be sending, and is listened to a while.

        Closing a socket with unread bytes resets the connection, and the client never sees why.
        """
        self._is_over = True
        transport = self.transport
        self._wait(self._host.limits.closing)
        if is_read:
            transport.close()
            return
        if self._is_paused:
            self._is_paused = False
            transport.resume_reading()
        if transport.can_write_eof():
            with contextlib.suppress(OSError):  # the peer may have reset it already
                transport.write_eof()

    def _cut(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.cut()

    def _wait(self, seconds: float) -> None:
        host = self._host
        when = host.now() + seconds
        if self._deadline is None or not host.deadlines.move(self._deadline, when):
            self._deadline = host.deadlines.at(when, self._late)

    def _rest(self) -> None:
        if self._deadline is not None:
            self._host.deadlines.cancel(self._deadline)
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if self._is_over or self.is_full:
            self.transport.abort()
        elif self._is_paused:
            self._wait(self._host.limits.idle)  # the answerer is late, not the client
        elif self._exchange is None and self._parser.is_idle:
            self._hang_up(is_read=True)
        else:
            self.fail(408, "the request did not come in time")
