"""Upgrade: from a request on a wire's path to a session over a WebSocket.

The order is the host's duty: origin, handshake, then the wire and `authenticate`, then 101. Nothing
suspends unless `authenticate` does. See docs/decisions/0009-authentication-before-anything.md.
"""

import logging

from msgspec import UNSET

from anywire.core.admission import Elsewhere
from anywire.core.node import Node
from anywire.limits import Deflate, Limits
from anywire.net.handshake import Accepted, Denied, Offer, accept, read_offer
from anywire.net.hixie import Challenge, challenge
from anywire.servers.entrance import Entrance
from anywire.servers.exchange import HttpExchange
from anywire.servers.hello import hello_of
from anywire.servers.neighbours.forward import Forward
from anywire.servers.neighbours.relay import Relay
from anywire.servers.routes import Found
from anywire.servers.static import text
from anywire.transports.hixie import HixieTransport
from anywire.transports.websocket import WebSocketTransport
from anywire.wires.base import Answer, Hello, Wire

log = logging.getLogger(__name__)


class Upgrader:
    """Opens WebSockets for one server."""

    __slots__ = ("_deflate", "_forward", "_node")

    def __init__(self, node: Node, deflate: Deflate | None, forward: Forward) -> None:
        self._node = node
        self._deflate = deflate
        self._forward = forward

    def open(self, exchange: HttpExchange, found: Found, *, remote: str) -> None:
        """Answer a request on a WebSocket's path; its origin was checked."""
        old = None
        if found.route.mount.hixie:
            old = challenge(exchange.request, is_secure=exchange.is_secure)
        if old is not None:
            self._open_old(exchange, found, old, remote=remote)
            return
        offer = read_offer(exchange.request)
        if isinstance(offer, Denied):
            exchange.respond(text(offer.status, offer.reason, *offer.headers))
            return
        node, mount = self._node, found.route.mount
        hello = hello_of(
            exchange.request, found, node, remote=remote, subprotocols=offer.subprotocols
        )
        hello.hops = exchange.hops
        deflate = self._deflate if mount.deflate is UNSET else mount.deflate
        upgrade = _Upgrade(exchange, offer, deflate, hello, found.wire, node, self._forward)
        Entrance(node, found, hello, upgrade).open()

    def _open_old(
        self, exchange: HttpExchange, found: Found, old: Challenge, *, remote: str
    ) -> None:
        """The same for a browser of 2010."""
        hello = hello_of(exchange.request, found, self._node, remote=remote)
        hello.hops = exchange.hops
        upgrade = _OldUpgrade(exchange, old, hello, found.wire, self._node, self._forward)
        Entrance(self._node, found, hello, upgrade).open()


class _OldUpgrade:
    """One request of a browser of 2010, whose socket is ours (`entrance.Upgrade`)."""

    __slots__ = (
        "_challenge",
        "_forward",
        "_hello",
        "_node",
        "_rest",
        "_transport",
        "_wire",
        "exchange",
    )

    def __init__(
        self,
        exchange: HttpExchange,
        old: Challenge,
        hello: Hello,
        wire: Wire,
        node: Node,
        forward: Forward,
    ) -> None:
        self.exchange = exchange
        self._challenge = old
        self._hello = hello
        self._wire = wire
        self._node = node
        self._forward = forward
        self._transport: HixieTransport | None = None
        self._rest = b""

    def accept(self, subprotocol: str | None) -> HixieTransport:
        """Say 101; the rest of the handshake is still to come."""
        exchange, node = self.exchange, self._node
        exchange.transport.write(self._challenge.head())
        self._transport = HixieTransport(
            exchange.transport,
            self._challenge,
            now=node.now,
            deadlines=node.deadlines,
            limits=self._hello.limits,
            lost=exchange.lost,
        )
        self._rest = exchange.give_away(self._transport)
        return self._transport

    def begin(self) -> None:
        """Hear what came behind the request's head."""
        if self._rest and self._transport is not None:
            self._transport.data_received(self._rest)

    async def elsewhere(self, elsewhere: Elsewhere) -> Relay | Answer | None:
        """Be between the client and the owner of the session."""
        return await self._forward.relay(self._wire, self._hello, elsewhere, beats=False)


class _Upgrade:
    """One request whose socket is ours (`entrance.Upgrade`)."""

    __slots__ = (
        "_deflate",
        "_forward",
        "_hello",
        "_node",
        "_offer",
        "_rest",
        "_transport",
        "_wire",
        "exchange",
    )

    def __init__(
        self,
        exchange: HttpExchange,
        offer: Offer,
        deflate: Deflate | None,
        hello: Hello,
        wire: Wire,
        node: Node,
        forward: Forward,
    ) -> None:
        self.exchange = exchange
        self._offer = offer
        self._deflate = deflate
        self._hello = hello
        self._wire = wire
        self._node = node
        self._forward = forward
        self._transport: WebSocketTransport | None = None
        self._rest = b""

    def accept(self, subprotocol: str | None) -> WebSocketTransport:
        """Say 101."""
        accepted = accept(self._offer, subprotocol, deflate=self._deflate)
        limits = self._hello.limits
        self._transport, self._rest = take_socket(
            self.exchange, accepted, self._node, limits=limits
        )
        return self._transport

    def begin(self) -> None:
        """Hear what came behind the request's head."""
        if self._rest and self._transport is not None:
            self._transport.data_received(self._rest)

    async def elsewhere(self, elsewhere: Elsewhere) -> Relay | Answer | None:
        """Give the socket to the owner of the session, or be between them."""
        can_go = not self.exchange.is_secure and elsewhere.user is None
        if can_go and await self._forward.hand_over(self.exchange, elsewhere):
            return None
        return await self._forward.relay(self._wire, self._hello, elsewhere)


def take_socket(
    exchange: HttpExchange,
    accepted: Accepted,
    node: Node,
    *,
    limits: Limits | None = None,
    max_size: int | None = None,
) -> tuple[WebSocketTransport, bytes]:
    """Say 101; returns the transport, and the bytes that came behind the request's head.

    `limits`: those of the route, where it has its own.
    """
    exchange.transport.write(accepted.head)
    transport = WebSocketTransport(
        exchange.transport,
        buffer=exchange.buffer,
        now=node.now,
        deadlines=node.deadlines,
        limits=limits or node.limits,
        max_size=max_size,
        deflate=accepted.deflate,
        lost=exchange.lost,
    )
    return transport, exchange.give_away(transport)
