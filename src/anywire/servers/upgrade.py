"""Upgrade: from a request on a wire's path to a session over a WebSocket.

The order is the host's duty: origin, handshake, then the wire and `authenticate`, then 101. Nothing
suspends unless `authenticate` does. See docs/decisions/0009-authentication-before-anything.md.
"""

from collections.abc import Callable

from msgspec import UNSET

from anywire.core.admission import Elsewhere
from anywire.core.node import Node
from anywire.limits import Deflate, Limits
from anywire.net.handshake import Accepted, Denied, accept, read_offer
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

Socket = WebSocketTransport | HixieTransport
Take = Callable[[str | None], tuple[Socket, bytes]]
"""Says 101, with a subprotocol; returns the transport, and what came behind the request's head."""


class Upgrader:
    """Opens WebSockets for one server."""

    __slots__ = ("_deflate", "_forward", "_node")

    def __init__(self, node: Node, deflate: Deflate | None, forward: Forward) -> None:
        self._node = node
        self._deflate = deflate
        self._forward = forward

    def open(self, exchange: HttpExchange, found: Found, *, remote: str) -> None:
        """Answer a request on a WebSocket's path; its origin was checked."""
        request, node, mount = exchange.request, self._node, found.route.mount
        old = challenge(request, is_secure=exchange.is_secure) if mount.hixie else None
        offer = None if old is not None else read_offer(request)
        if isinstance(offer, Denied):
            exchange.respond(text(offer.status, offer.reason, *offer.headers))
            return
        subprotocols = () if offer is None else offer.subprotocols
        hello = hello_of(request, found, node, remote=remote, subprotocols=subprotocols)
        hello.hops = exchange.hops
        deflate = self._deflate if mount.deflate is UNSET else mount.deflate

        def take(subprotocol: str | None) -> tuple[Socket, bytes]:
            if old is not None:
                return _take_old(exchange, old, node, hello.limits)
            assert offer is not None  # it is the one or the other
            accepted = accept(offer, subprotocol, deflate=deflate)
            return take_socket(exchange, accepted, node, limits=hello.limits)

        upgrade = _Upgrade(exchange, hello, found.wire, self._forward, take, is_old=old is not None)
        Entrance(node, found, hello, upgrade).open()


class _Upgrade:
    """One request whose socket is ours (`entrance.Upgrade`); `take` says 101."""

    __slots__ = ("_forward", "_hello", "_is_old", "_rest", "_socket", "_take", "_wire", "exchange")

    def __init__(
        self,
        exchange: HttpExchange,
        hello: Hello,
        wire: Wire,
        forward: Forward,
        take: Take,
        *,
        is_old: bool,
    ) -> None:
        self.exchange = exchange
        self._hello = hello
        self._wire = wire
        self._forward = forward
        self._take = take
        self._is_old = is_old
        self._socket: Socket | None = None
        self._rest = b""

    def accept(self, subprotocol: str | None) -> Socket:
        """Say 101."""
        self._socket, self._rest = self._take(subprotocol)
        return self._socket

    def begin(self) -> None:
        """Hear what came behind the request's head."""
        if self._rest and self._socket is not None:
            self._socket.data_received(self._rest)

    async def elsewhere(self, elsewhere: Elsewhere) -> Relay | Answer | None:
        """Give the socket to the owner of the session, or be between them."""
        can_go = not (self._is_old or self.exchange.is_secure or elsewhere.user is not None)
        if can_go and await self._forward.hand_over(self.exchange, elsewhere):
            return None
        return await self._forward.relay(self._wire, self._hello, elsewhere, beats=not self._is_old)


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


def _take_old(
    exchange: HttpExchange, old: Challenge, node: Node, limits: Limits
) -> tuple[HixieTransport, bytes]:
    """The same for a browser of 2010: the rest of its handshake is still to come."""
    exchange.transport.write(old.head())
    transport = HixieTransport(
        exchange.transport,
        old,
        now=node.now,
        deadlines=node.deadlines,
        limits=limits,
        lost=exchange.lost,
    )
    return transport, exchange.give_away(transport)
