"""Upgrade: from a request on a wire's path to a session over a WebSocket.

The order is the host's duty: origin, handshake, then the wire and `authenticate`, then 101. Nothing
suspends unless `authenticate` does. See docs/decisions/0009-authentication-before-anything.md.
"""

import asyncio
import logging

from anywire.core.admission import Admitted, admit
from anywire.core.node import Node
from anywire.net.deflate import Deflate
from anywire.net.handshake import Accepted, Denied, Offer, accept, read_offer
from anywire.servers.exchange import HttpExchange, failed
from anywire.servers.hello import hello_of
from anywire.servers.routes import Found
from anywire.servers.static import Reply, text
from anywire.transports.websocket import WebSocketTransport
from anywire.wires.base import Answer, Hello, Wire

log = logging.getLogger(__name__)


class Upgrader:
    """Opens WebSockets for one server."""

    __slots__ = ("_deflate", "_node")

    def __init__(self, node: Node, deflate: Deflate | None) -> None:
        self._node = node
        self._deflate = deflate

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
        wire = found.wire

        def admitted(result: object, error: BaseException | None) -> None:
            if exchange.is_gone:
                return
            try:
                if error is not None:
                    raise error
                if isinstance(result, Admitted):
                    self._attach(exchange, wire, hello, offer, result)
                else:
                    assert isinstance(result, Answer)
                    self._answer(exchange, offer, result)
            except asyncio.CancelledError:
                exchange.respond(text(503, "the server stops"))
            except Exception as bug:
                failed(exchange, bug)

        node.dispatcher.stepper.start(admit(node, wire, hello), admitted, "anywire admission")

    def _attach(
        self, exchange: HttpExchange, wire: Wire, hello: Hello, offer: Offer, admitted: Admitted
    ) -> None:
        opening = admitted.opening
        transport, rest = self._accept(exchange, offer, opening.subprotocol)
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

    def _answer(self, exchange: HttpExchange, offer: Offer, answer: Answer) -> None:
        if answer.code is None:
            exchange.respond(Reply.of(answer))
            return
        transport, _ = self._accept(exchange, offer, answer.subprotocol)
        transport.write([payload.framed(transport.framing) for payload in answer.payloads])
        transport.close(answer.code, answer.reason)

    def _accept(
        self, exchange: HttpExchange, offer: Offer, subprotocol: str | None
    ) -> tuple[WebSocketTransport, bytes]:
        accepted = accept(offer, subprotocol, deflate=self._deflate)
        return take_socket(exchange, accepted, self._node)


def take_socket(
    exchange: HttpExchange, accepted: Accepted, node: Node, *, max_size: int | None = None
) -> tuple[WebSocketTransport, bytes]:
    """Say 101; returns the transport, and the bytes that came behind the request's head."""
    exchange.transport.write(accepted.head)
    transport = WebSocketTransport(
        exchange.transport,
        buffer=exchange.buffer,
        now=node.now,
        deadlines=node.deadlines,
        limits=node.limits,
        max_size=max_size,
        deflate=accepted.deflate,
        lost=exchange.lost,
    )
    return transport, exchange.give_away(transport)
