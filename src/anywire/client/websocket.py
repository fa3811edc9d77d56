"""The client's WebSocket: a dialer for TCP, TLS and Unix sockets, and the link it opens.

A thin edge: bytes go into `net.connection`, messages come out. It knows no protocol above RFC 6455.
"""

import asyncio
import os
import ssl as tls
from collections.abc import Sequence
from dataclasses import replace
from typing import cast
from urllib.parse import urlencode

from anywire.client.dial import Link, Receiver
from anywire.errors import AnywireError, Refused, close_reason
from anywire.net.connection import Close, Connection, State
from anywire.net.deflate import Deflate
from anywire.net.handshake import HandshakeError, Target, check, parse_url, request
from anywire.net.http1 import ResponseParser
from anywire.payload import Payload
from anywire.wires.base import Request

CLOSING = 2.0
"""Seconds a peer has to answer our close frame and to hang up."""
_MASKS = 4096
_SENDABLE = frozenset((1000, 1002, 1003, 1007, 1009, 1011))


class SocketDialer:
    """WebSockets over TCP, TLS or a Unix socket.

    `ssl`: the context for `wss` (default: certificate and host name are verified against the
    system's authorities); `unix`: path of a Unix socket to connect to, whatever host the URL names;
    `max_message`: bytes of the largest message taken, inflated; `compress`: offer
    permessage-deflate.
    """

    __slots__ = ("_deflate", "_max_message", "_ssl", "_unix")

    def __init__(
        self,
        *,
        ssl: tls.SSLContext | None = None,
        unix: str | None = None,
        max_message: int = 4 * 1024 * 1024,
        compress: bool = True,
    ) -> None:
        self._ssl = ssl
        self._unix = unix
        self._max_message = max_message
        self._deflate = Deflate() if compress else None

    async def dial(self, url: str, request: Request) -> Link:
        """The link, once the opening handshake is done. A redirect is not followed: no secret
        travels on.

        Raises Refused for the statuses 401 and 403, OSError or AnywireError for what may pass.
        """
        target = parse_url(url)
        loop = asyncio.get_running_loop()
        link = _Socket(
            _with_query(target, request),
            request,
            deflate=self._deflate,
            max_message=self._max_message,
            loop=loop,
        )
        context = (self._ssl or tls.create_default_context()) if target.is_secure else None
        name = target.host if target.is_secure else None
        try:
            if self._unix is None:
                await loop.create_connection(
                    lambda: link, target.host, target.port, ssl=context, server_hostname=name
                )
            else:
                await loop.create_unix_connection(
                    lambda: link, self._unix, ssl=context, server_hostname=name
                )
            await link.agreed
        except HandshakeError as error:
            link.abort()
            if error.status in (401, 403):
                raise Refused("refused", error.reason) from error
            raise
        except BaseException:
            link.agreed.cancel()
            link.abort()
            raise
        return link


def _with_query(target: Target, request: Request) -> Target:
    """The target, with what the request adds to its query."""
    if not request.query:
        return target
    joint = "&" if "?" in target.resource else "?"
    return replace(target, resource=f"{target.resource}{joint}{urlencode(request.query)}")


class _Masks:
    """Four fresh random bytes a call, drawn from the system a page at a time (RFC 6455, 10.3)."""

    __slots__ = ("_at", "_pool")

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def __call__(self) -> bytes:
        if self._at == len(self._pool):
            self._pool = os.urandom(_MASKS)
            self._at = 0
        self._at += 4
        return self._pool[self._at - 4 : self._at]


class _Socket(asyncio.Protocol):
    """A link over an asyncio transport; first it is the client's side of the handshake."""

    __slots__ = (
        "_closing",
        "_connection",
        "_deflate",
        "_early",
        "_has_ended",
        "_key",
        "_loop",
        "_loss",
        "_max_message",
        "_parser",
        "_receiver",
        "_request",
        "_target",
        "_transport",
        "agreed",
        "is_blocked",
        "subprotocol",
    )

    def __init__(
        self,
        target: Target,
        request: Request,
        *,
        deflate: Deflate | None,
        max_message: int,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._target = target
        self._request = request
        self._deflate = deflate
        self._max_message = max_message
        self._loop = loop
        self._key = os.urandom(16)
        self._parser = ResponseParser()
        self._connection: Connection | None = None
        self._transport: asyncio.Transport | None = None
        self._receiver: Receiver | None = None
        self._early: list[bytes] = []
        self._loss: str | None = None
        """Why the socket is gone."""
        self._has_ended = False
        self._closing: asyncio.TimerHandle | None = None
        self.agreed: asyncio.Future[None] = loop.create_future()
        self.is_blocked = False
        self.subprotocol: str | None = None

    # --- as a link ------------------------------------------------------------------------------

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        early, self._early = self._early, []
        for data in early:
            self._receive(data)
        if self._loss is not None:
            self._lost(self._loss)

    def write(self, payloads: Sequence[Payload]) -> None:
        connection = self._connection
        if connection is not None and connection.state is State.OPEN and payloads:
            connection.write_framed([connection.frame(payload) for payload in payloads])

    def beat(self) -> bool:
        if self._connection is not None:
            self._connection.ping()
        return True

    def close(self, code: int, reason: str) -> None:
        connection = self._connection
        if connection is None or self._transport is None:
            self.abort()
            return
        if code not in _SENDABLE and not 3000 <= code <= 4999:
            code = 1000  # RFC 6455, 7.4.1: the others are not for an endpoint to send
        connection.close(code, close_reason(reason))
        if self._closing is None:
            self._closing = self._loop.call_later(CLOSING, self.abort)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # --- as an asyncio protocol -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self._transport = transport
        if self.agreed.done():  # the attempt was given up meanwhile
            self._transport.abort()
            return
        wanted = self._request
        try:
            head = request(
                self._target,
                self._key,
                headers=list(wanted.headers.items()),
                subprotocols=wanted.subprotocols,
                deflate=self._deflate,
            )
        except ValueError as error:
            self.agreed.set_exception(Refused("invalid", f"this cannot be asked for: {error}"))
        else:
            self._transport.write(head)

    def data_received(self, data: bytes) -> None:
        if self._connection is None:
            self._shake_hands(data)
        elif self._receiver is None:
            self._early.append(data)
        else:
            self._receive(data)

    def pause_writing(self) -> None:
        self.is_blocked = True

    def resume_writing(self) -> None:
        self.is_blocked = False
        if self._receiver is not None:
            self._receiver.on_writable()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._closing is not None:
            self._closing.cancel()
        if not self.agreed.done():
            what = error or ConnectionError("the server hung up before the handshake was done")
            self.agreed.set_exception(what)
        self._loss = str(error or "the connection was lost")
        if self._receiver is not None:  # else `start` tells it, after what came before
            self._lost(self._loss)

    # --- inside ---------------------------------------------------------------------------------

    def _shake_hands(self, data: bytes) -> None:
        if self.agreed.done():
            return
        try:
            response = self._parser.receive(data)
            if response is None:
                return
            agreed = check(
                response,
                self._key,
                subprotocols=self._request.subprotocols,
                deflate=self._deflate,
            )
        except AnywireError as error:
            self.agreed.set_exception(error)
            self.abort()
            return
        assert self._transport is not None  # bytes come from somewhere
        self._connection = Connection(
            write=self._transport.write,
            client=True,
            max_size=self._max_message,
            deflate=agreed.deflate,
            mask=_Masks(),
        )
        self.subprotocol = agreed.subprotocol
        if agreed.rest:
            self._early.append(agreed.rest)
        self.agreed.set_result(None)

    def _receive(self, data: bytes) -> None:
        connection, receiver = self._connection, self._receiver
        assert connection is not None and receiver is not None
        if self._has_ended:
            return  # RFC 6455, 5.5.1: what follows a close frame is nobody's
        events = connection.receive(data)
        if not events:
            receiver.on_heard()
        for event in events:
            if isinstance(event, str | bytes):
                receiver.on_message(event)
            elif isinstance(event, Close):
                self._hang_up(event.by_peer)
                self._has_ended = True
                receiver.on_closed(event.code, event.reason)
            else:
                receiver.on_heard()

    def _hang_up(self, by_peer: bool) -> None:
        """The server closes the TCP connection first (RFC 6455, 7.1.1), or is made to."""
        if self._transport is None:
            return
        if self._closing is None:
            self._closing = self._loop.call_later(CLOSING, self.abort)
        if by_peer:
            return
        if self._transport.can_write_eof():
            # It may still be sending: hanging up before it has read our close frame would reset
            # the connection and take the reason with it.
            self._transport.write_eof()
        else:
            self._transport.close()

    def _lost(self, why: str) -> None:
        """The socket is gone; that is the end, unless the end was told."""
        connection, receiver = self._connection, self._receiver
        assert connection is not None and receiver is not None
        for event in connection.eof():
            if isinstance(event, Close):
                self._has_ended = True
                receiver.on_closed(event.code, why)
