"""Upgrade: from a request on a wire's path to a session over a WebSocket.

The order is the host's duty: origin, handshake, then the wire and `authenticate`, then 101. Nothing
suspends unless `authenticate` does. See docs/decisions/0009-authentication-before-anything.md.
"""

import asyncio
import logging

from msgspec import UNSET

from anywire.core.admission import Admitted, Elsewhere, admit
from anywire.core.node import Node
from anywire.limits import Deflate, Limits
from anywire.net.handshake import Accepted, Denied, Offer, accept, read_offer
from anywire.servers.exchange import HttpExchange, failed
from anywire.servers.hello import hello_of
from anywire.servers.neighbours.forward import Forward
from anywire.servers.neighbours.relay import Relay
from anywire.servers.routes import Found
from anywire.servers.static import Reply, text
from anywire.transports.websocket import WebSocketTransport
from anywire.wires.base import Answer, Hello, Mount, Wire

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
        offer = read_offer(exchange.request)
        if isinstance(offer, Denied):
            exchange.respond(text(offer.status, offer.reason, *offer.headers))
            return
        node = self._node
        hello = hello_of(
            exchange.request, found, node, remote=remote, subprotocols=offer.subprotocols
        )
        hello.hops = exchange.hops

        def admitted(result: object, error: BaseException | None) -> None:
            if exchange.is_gone or exchange.has_begun:
                if isinstance(result, Relay):
                    result.abandon()
                return
            try:
                if error is not None:
                    raise error
                if isinstance(result, Admitted):
                    self._attach(exchange, found, hello, offer, result)
                elif isinstance(result, Relay):
                    self._relay(exchange, found, offer, result)
                elif isinstance(result, Elsewhere):
                    elsewhere = self._elsewhere(exchange, found.wire, hello, result)
                    stepper.start(elsewhere, admitted, "anywire hand-over")
                else:
                    assert isinstance(result, Answer)
                    self._answer(exchange, found, offer, result)
            except asyncio.CancelledError:
                exchange.respond(text(503, "the server stops"))
            except Exception as bug:
                failed(exchange, bug)

        stepper = node.dispatcher.stepper
        stepper.start(admit(node, found.wire, hello), admitted, "anywire admission")

    def _attach(
        self, exchange: HttpExchange, found: Found, hello: Hello, offer: Offer, admitted: Admitted
    ) -> None:
        wire, opening = found.wire, admitted.opening
        transport, rest = self._accept(exchange, found.route.mount, offer, opening.subprotocol)
        try:
            session = self._node.open(
                wire, hello, opening, admitted.machine, admitted.user, transport
            )
        except Exception:
            log.exception("opening a session of %s failed", wire.name)
            transport.close(1011, "internal")
            return
        transport.attach(session)
        if rest:
            transport.data_received(rest)

    async def _elsewhere(
        self, exchange: HttpExchange, wire: Wire, hello: Hello, elsewhere: Elsewhere
    ) -> Relay | Answer | None:
        """Give the socket to the owner of the session, or be between them; None: it has it."""
        can_go = not exchange.is_secure and elsewhere.user is None
        if can_go and await self._forward.hand_over(exchange, elsewhere):
            return None
        return await self._forward.relay(wire, hello, elsewhere)

    def _relay(self, exchange: HttpExchange, found: Found, offer: Offer, relay: Relay) -> None:
        transport, rest = self._accept(exchange, found.route.mount, offer, relay.subprotocol)
        transport.attach(relay)
        relay.attach(transport)
        if rest:
            transport.data_received(rest)

    def _answer(self, exchange: HttpExchange, found: Found, offer: Offer, answer: Answer) -> None:
        if answer.code is None:
            exchange.respond(Reply.of(answer))
            return
        transport, _ = self._accept(exchange, found.route.mount, offer, answer.subprotocol)
        transport.write([payload.framed(transport.framing) for payload in answer.payloads])
        transport.close(answer.code, answer.reason)

    def _accept(
        self, exchange: HttpExchange, mount: Mount, offer: Offer, subprotocol: str | None
    ) -> tuple[WebSocketTransport, bytes]:
        deflate = self._deflate if mount.deflate is UNSET else mount.deflate
        accepted = accept(offer, subprotocol, deflate=deflate)
        return take_socket(exchange, accepted, self._node, limits=mount.limits)


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
