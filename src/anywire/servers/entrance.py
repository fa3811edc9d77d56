"""Entrance: from a request for a WebSocket to its session, whoever has the socket.

The order is a host's duty: origin, handshake, then the wire and `authenticate`, then the upgrade.
Nothing suspends unless `authenticate` does, or the session belongs to another node. See
docs/decisions/0009-authentication-before-anything.md.
"""

import asyncio
import logging
from typing import Protocol

from anywire.core.admission import Admitted, Attached, Elsewhere, admit
from anywire.core.candidate import Candidate, may_upgrade
from anywire.core.node import Node
from anywire.servers.carry import Served
from anywire.servers.exchange import failed
from anywire.servers.neighbours.relay import Relay
from anywire.servers.routes import Found
from anywire.servers.static import Reply, text
from anywire.transports.base import Transport
from anywire.wires.base import Answer, Hello, Reason, Why

log = logging.getLogger(__name__)


class Upgrade(Protocol):
    """A request for a WebSocket, as its host has it."""

    @property
    def exchange(self) -> Served: ...

    def accept(self, subprotocol: str | None) -> Transport:
        """Say yes; once at most."""
        ...

    def begin(self) -> None:
        """The socket has its sink: it may hear what came behind the request."""
        ...

    async def elsewhere(self, elsewhere: Elsewhere) -> Relay | Answer | None:
        """Have the owner of the session take it; None: it has the socket."""
        ...


class Entrance:
    """One such request on its way in."""

    __slots__ = ("_found", "_hello", "_node", "_upgrade")

    def __init__(self, node: Node, found: Found, hello: Hello, upgrade: Upgrade) -> None:
        self._node = node
        self._found = found
        self._hello = hello
        self._upgrade = upgrade

    def open(self) -> None:
        """Ask who it is, and answer; the origin was checked."""
        admission = admit(self._node, self._found.wire, self._hello)
        self._node.dispatcher.stepper.start(admission, self._decided, "anywire admission")

    def _decided(self, result: object, error: BaseException | None) -> None:
        exchange = self._upgrade.exchange
        if exchange.is_gone or exchange.has_begun:
            if isinstance(result, Relay):
                result.abandon()
            elif isinstance(result, Admitted) and result.opening.session not in self._node.sessions:
                self._node.disclaim(result.opening.session)
            return
        try:
            if error is not None:
                raise error
            if isinstance(result, Admitted):
                self._attach(result)
            elif isinstance(result, Attached):
                self._join(result)
            elif isinstance(result, Relay):
                self._relay(result)
            elif isinstance(result, Elsewhere):
                going = self._upgrade.elsewhere(result)
                self._node.dispatcher.stepper.start(going, self._decided, "anywire elsewhere")
            else:
                assert isinstance(result, Answer)
                self._answer(result)
        except asyncio.CancelledError:
            exchange.respond(text(503, "the server stops"))
        except Exception as bug:
            failed(exchange, bug)

    def _attach(self, admitted: Admitted) -> None:
        opening, wire = admitted.opening, self._found.wire
        socket = self._upgrade.accept(opening.subprotocol)
        try:
            session = self._node.open(
                wire, self._hello, opening, admitted.machine, admitted.user, socket
            )
        except Exception:
            log.exception("opening a session of %s failed", wire.name)
            socket.close(1011, "internal")
            return
        socket.attach(session)
        self._upgrade.begin()

    def _join(self, attached: Attached) -> None:
        """A second transport of a session, which may take over."""
        session, opening = attached.session, attached.opening
        if opening.upgrade is None or not may_upgrade(session):
            why = Why(Reason.TAKEN, text="this session goes on over another connection")
            self._answer(self._found.wire.refuse(self._hello, why))
            return
        socket = self._upgrade.accept(opening.subprotocol)
        socket.attach(Candidate(session, opening.upgrade, socket))
        self._upgrade.begin()

    def _relay(self, relay: Relay) -> None:
        socket = self._upgrade.accept(relay.subprotocol)
        socket.attach(relay)
        relay.attach(socket)
        self._upgrade.begin()

    def _answer(self, answer: Answer) -> None:
        if answer.code is None:
            self._upgrade.exchange.respond(Reply.of(answer))
            return
        socket = self._upgrade.accept(answer.subprotocol)
        socket.write([payload.framed(socket.framing) for payload in answer.payloads])
        socket.close(answer.code, answer.reason)
