"""One WebSocket of the guest: ASGI's `websocket` messages on one side, a transport on the other.

It is the transport's sink, as a session is for ours. Beats are sent for it, since ASGI has none.
"""

import asyncio
import logging
from collections import deque
from collections.abc import MutableMapping
from typing import Any

from anywire.core.clock import Deadline
from anywire.core.node import Node
from anywire.frames import Bye
from anywire.limits import Deflate
from anywire.net.handshake import Offer, accept
from anywire.payload import Message, Payload
from anywire.servers.exchange import AHEAD, HttpExchange, failed
from anywire.servers.static import text
from anywire.servers.upgrade import take_socket
from anywire.transports.base import Transport
from anywire.transports.websocket import WebSocketTransport
from anywire.wires.pulse import Pulse

log = logging.getLogger(__name__)


class GuestSocket:
    """A WebSocket between its request and its end. `close` and `fail` may come at any time."""

    __slots__ = (
        "_beat",
        "_deflate",
        "_denial",
        "_end",
        "_exchange",
        "_inbox",
        "_is_connected",
        "_node",
        "_pulse",
        "_size",
        "_transport",
        "_waiter",
        "offer",
    )

    def __init__(
        self,
        exchange: HttpExchange,
        offer: Offer,
        node: Node,
        deflate: Deflate | None,
    ) -> None:
        self.offer = offer
        self._exchange = exchange
        self._node = node
        self._deflate = deflate
        self._transport: WebSocketTransport | None = None
        self._inbox: deque[Message] = deque()
        self._size = 0
        self._end: tuple[int, str] | None = None
        self._is_connected = False
        self._denial = False
        self._waiter: asyncio.Future[None] | None = None
        self._beat: Deadline | None = None
        self._pulse = Pulse(node.limits.beat, node.limits.beat_timeout)

    # --- the app's side -------------------------------------------------------------------------

    async def receive_message(self) -> dict[str, Any]:
        """ASGI's receive."""
        if not self._is_connected:
            self._is_connected = True
            return {"type": "websocket.connect"}
        while not self._inbox:
            if self._exchange.is_gone or (self._exchange.has_ended and self._transport is None):
                self._end = self._end or (1006, "")
            if self._end is not None:
                code, reason = self._end
                return {"type": "websocket.disconnect", "code": code, "reason": reason}
            if self._transport is None:
                await self._exchange.gone()
            else:
                await self._changed()
        message = self._inbox.popleft()
        self._size -= len(message)
        if self._size <= AHEAD and self._transport is not None:
            self._transport.resume()
        kind = "text" if isinstance(message, str) else "bytes"
        return {"type": "websocket.receive", kind: message}

    async def send_message(self, message: MutableMapping[str, Any]) -> None:
        """ASGI's send."""
        transport = self._transport
        kind = message["type"]
        if transport is None:
            self._answer(kind, message)
        elif kind == "websocket.send":
            data = message.get("text")
            payload = Payload.of(bytes(message["bytes"]) if data is None else data)
            transport.write([payload.framed(transport.framing)])
            while transport.buffered and self._end is None:
                await self._changed()
        elif kind == "websocket.close":
            self._close(transport, message.get("code", 1000), message.get("reason") or "")
        else:
            raise RuntimeError(f'"{kind}" cannot be sent on an open WebSocket')

    # --- the server's side ----------------------------------------------------------------------

    def close(self, code: int) -> None:
        """End it in any state; does nothing when it has ended."""
        if self._transport is not None:
            self._close(self._transport, code, "")
        elif code == 1000:
            failed(self._exchange, RuntimeError("the app neither accepted nor closed a WebSocket"))
        else:
            self._exchange.fail(503, "the server stops")

    def fail(self, bug: BaseException) -> None:
        """The app has raised."""
        if self._transport is None:
            failed(self._exchange, bug)
        else:
            log.error("the guest's WebSocket failed", exc_info=bug)
            self._close(self._transport, 1011, "internal")

    # --- what the transport tells (Sink) --------------------------------------------------------

    def receive(self, message: Message, now: float) -> None:
        """A whole message came in; reading pauses while the app is behind."""
        self._pulse.heard(now)
        self._inbox.append(message)
        self._size += len(message)
        if self._size > AHEAD and self._transport is not None:
            self._transport.pause()
        self._wake()

    def heard(self, now: float) -> None:
        """The peer is alive."""
        self._pulse.heard(now)

    def writable(self) -> None:
        """Everything written has been taken."""
        self._wake()

    def detached(self, transport: Transport, code: int, reason: str, *, is_clean: bool) -> None:
        """The WebSocket is over."""
        self._end = self._end or (code, reason)
        self._rest()
        self._wake()

    # --- inside ---------------------------------------------------------------------------------

    def _answer(self, kind: str, message: MutableMapping[str, Any]) -> None:
        """The handshake's answer: yes, no, or an HTTP response of the app's own."""
        exchange = self._exchange
        if exchange.is_gone:
            return
        if kind == "websocket.accept" and not exchange.has_begun:
            self._accept(message)
        elif kind == "websocket.close" and not exchange.has_begun:
            exchange.respond(text(403, "the app refused this WebSocket"))
        elif kind == "websocket.http.response.start":
            exchange.start(message["status"], message.get("headers", ()))
            self._denial = True
        elif kind == "websocket.http.response.body" and self._denial:
            data = bytes(message.get("body", b""))
            if message.get("more_body", False):
                exchange.write(data)
            else:
                exchange.end(data)
        elif not exchange.has_ended:
            raise RuntimeError(f'"{kind}" cannot be sent before websocket.accept')

    def _accept(self, message: MutableMapping[str, Any]) -> None:
        node = self._node
        accepted = accept(
            self.offer,
            message.get("subprotocol"),
            deflate=self._deflate,
            headers=message.get("headers", ()),
        )
        transport, rest = take_socket(
            self._exchange, accepted, node, max_size=node.limits.guest_message
        )
        self._transport = transport
        self._pulse.heard(node.now())
        self._watch()
        transport.attach(self)
        if rest:
            transport.data_received(rest)

    def _close(self, transport: WebSocketTransport, code: int, reason: str) -> None:
        self._end = self._end or (code, reason)
        self._rest()
        transport.close(code, reason)
        self._wake()

    def _tick(self) -> None:
        """Ask a silent peer for a sign of life, cut one that gave none."""
        self._beat = None
        assert self._transport is not None  # it began with the beats
        for frame in self._pulse.tick(self._node.now()):
            if isinstance(frame, Bye):
                self._transport.abort()
            else:
                self._transport.beat()
        self._watch()

    def _watch(self) -> None:
        """Set the timer for the next tick. Later deadlines move it only when it fires."""
        when = self._pulse.deadline()
        if when is not None:
            self._beat = self._node.deadlines.at(when, self._tick)

    def _rest(self) -> None:
        if self._beat is not None:
            self._node.deadlines.cancel(self._beat)
            self._beat = None

    async def _changed(self) -> None:
        """Wait for anything to happen; a cancelled waiter does not disturb another."""
        if self._waiter is None:
            self._waiter = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._waiter)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.set_result(None)
