"""A WebSocket as the client's link, from the first byte of its handshake on.

A thin edge: bytes go into `net.connection`, messages come out. It knows no protocol above RFC 6455.
"""

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import cast

from anywire.client.dial import Receiver, Watcher
from anywire.client.redirect import Asked
from anywire.errors import AnywireError, Refused, close_reason
from anywire.limits import Deflate
from anywire.net.connection import Close, Connection, Ping, State
from anywire.net.handshake import check, request
from anywire.net.http1 import Response, ResponseParser
from anywire.payload import Payload

CLOSING = 2.0
"""Seconds a peer has to answer our close frame and to hang up."""
_MASKS = 4096
_SLICE = 16 * 1024
"""Bytes read at once of what may be compressed, so that a receiver can say stop in between."""
_SENDABLE = frozenset((1000, 1001, 1002, 1003, *range(1007, 1015)))


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


class SocketLink(asyncio.Protocol):
    """A link over an asyncio transport; first it is the client's side of the handshake."""

    __slots__ = (
        "_asked",
        "_closing",
        "_connection",
        "_deflate",
        "_early",
        "_greeting",
        "_has_ended",
        "_is_draining",
        "_is_paused",
        "_key",
        "_loop",
        "_loss",
        "_max_message",
        "_origin",
        "_parser",
        "_receiver",
        "_slice",
        "_subprotocols",
        "_transport",
        "_watcher",
        "agreed",
        "extensions",
        "headers",
        "is_blocked",
        "subprotocol",
        "url",
        "was_clean",
    )

    def __init__(
        self,
        asked: Asked,
        subprotocols: Sequence[str],
        *,
        origin: str | None,
        deflate: Deflate | None,
        max_message: int,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._asked = asked
        self._subprotocols = subprotocols
        self._origin = origin
        self._deflate = deflate
        self._max_message = max_message
        self._loop = loop
        self._key = os.urandom(16)
        self._parser = ResponseParser()
        self._connection: Connection | None = None
        self._transport: asyncio.Transport | None = None
        self._receiver: Receiver | None = None
        self._watcher: Watcher | None = None
        self._early: list[bytes] = []
        """What nobody may have yet: there is no receiver, or it pauses."""
        self._is_draining = False
        self._is_paused = False
        self._slice = _SLICE
        self._greeting: asyncio.Future[None] | None = None
        self._loss: str | None = None
        """Why the socket is gone."""
        self._has_ended = False
        self._closing: asyncio.TimerHandle | None = None
        self.agreed: asyncio.Future[None] = loop.create_future()
        self.is_blocked = False
        self.subprotocol: str | None = None
        target = asked.target
        self.url = f"{target.scheme}://{target.authority}{target.resource}"
        self.headers: Mapping[str, str] = {}
        self.extensions = ""
        self.was_clean = False

    async def greeting(self) -> None:
        """Wait until something came behind the handshake; called before `start`.

        Raises ConnectionError when nothing will.
        """
        if not self._early and self._loss is None:
            self._greeting = self._loop.create_future()
            await self._greeting
            self._greeting = None
        if not self._early:
            raise ConnectionError(f"the server said nothing: {self._loss}")

    # --- as a link ------------------------------------------------------------------------------

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._watcher = receiver if isinstance(receiver, Watcher) else None
        self._drain()

    def write(self, payloads: Sequence[Payload]) -> None:
        connection = self._connection
        if connection is not None and connection.state is State.OPEN and payloads:
            connection.write_framed([connection.frame(payload) for payload in payloads])

    def beat(self) -> bool:
        self.ping()
        return True

    def ping(self, data: bytes = b"") -> bool:
        connection = self._connection
        if connection is None or connection.state is not State.OPEN:
            return False
        connection.ping(data)
        return True

    def pong(self, data: bytes = b"") -> bool:
        connection = self._connection
        if connection is None or connection.state is not State.OPEN:
            return False
        connection.pong(data)
        return True

    def pause(self) -> None:
        connection = self._connection
        transport = self._transport
        if connection is None or connection.state is not State.OPEN or transport is None:
            return
        self._is_paused = True
        if not transport.is_closing():
            transport.pause_reading()

    def resume(self) -> None:
        if not self._is_paused:
            return
        self._is_paused = False
        self._drain()
        transport = self._transport
        if not self._is_paused and transport is not None and not transport.is_closing():
            transport.resume_reading()

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
        self.resume()  # the answer stands behind what is not read yet

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
        try:
            head = request(
                self._asked.target,
                self._key,
                headers=self._asked.headers,
                subprotocols=self._subprotocols,
                deflate=self._deflate,
                origin=self._origin,
            )
        except ValueError as error:
            self.agreed.set_exception(Refused("invalid", f"this cannot be asked for: {error}"))
        else:
            self._transport.write(head)

    def data_received(self, data: bytes) -> None:
        if self._connection is None:
            self._shake_hands(data)
        else:
            self._early.append(data)
            self._drain()
            if self._greeting is not None:
                self._greet()

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
        self._greet()
        self._is_paused = False  # no more can come
        self._drain()

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
                subprotocols=self._subprotocols,
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
        self.headers = _joined(response)
        self.extensions = self.headers.get("sec-websocket-extensions", "")
        if agreed.deflate is None:
            self._slice = 0
        if agreed.rest:
            self._early.append(agreed.rest)
        self.agreed.set_result(None)

    def _greet(self) -> None:
        if self._greeting is not None and not self._greeting.done():
            self._greeting.set_result(None)

    def _drain(self) -> None:
        """Deliver what came, then the end if it has come; unless nobody may have it yet.

        What a receiver does meanwhile (pause, resume, close) acts here, not in a call inside.
        """
        if self._receiver is None or self._is_draining:
            return
        self._is_draining = True
        try:
            while self._early and not self._is_paused:
                data = self._early.pop(0)
                if self._slice and len(data) > self._slice:
                    self._early.insert(0, data[self._slice :])
                    data = data[: self._slice]
                self._read(data)
            if self._loss is not None and not self._is_paused:
                self._lost(self._loss)
        finally:
            self._is_draining = False

    def _read(self, data: bytes) -> None:
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
                self._end(event.code, event.reason, was_clean=event.clean)
            else:
                receiver.on_heard()
                if self._watcher is not None:
                    tell = (
                        self._watcher.on_ping if isinstance(event, Ping) else self._watcher.on_pong
                    )
                    tell(event.data)

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
            with contextlib.suppress(OSError):  # the peer may have reset it already
                self._transport.write_eof()
        else:
            self._transport.close()

    def _lost(self, why: str) -> None:
        """The socket is gone; that is the end, unless the end was told."""
        connection = self._connection
        assert connection is not None
        for event in connection.eof():
            if isinstance(event, Close):
                self._end(event.code, why, was_clean=False)

    def _end(self, code: int, reason: str, *, was_clean: bool) -> None:
        assert self._receiver is not None
        self._has_ended = True
        self.was_clean = was_clean
        self._receiver.on_closed(code, reason)


def _joined(response: Response) -> Mapping[str, str]:
    names = {name.decode("latin-1") for name, _ in response.headers}
    return {name: response.header(name) or "" for name in sorted(names)}
