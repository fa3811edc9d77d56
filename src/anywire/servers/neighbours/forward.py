"""Forwarding: what a node does with a request or a WebSocket that belongs to another one.

A WebSocket is handed over, descriptor and all, where that can be done: the owner reads the request
again and answers it, and this node is out of it. Under TLS and under an ASGI host it is relayed:
the owner has the session, this node the socket. A request is brought to the owner, and its answer
back. All of it goes through the owner's door.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable

import msgspec

from anywire.brokers.local.dialogue import Dialogue
from anywire.brokers.local.words import frame
from anywire.core.admission import Elsewhere
from anywire.core.node import Node
from anywire.errors import Closed, ProtocolError, Refused
from anywire.payload import Payload
from anywire.servers.carry import Exchange
from anywire.servers.exchange import HttpExchange
from anywire.servers.neighbours import words
from anywire.servers.neighbours.relay import Relay
from anywire.servers.neighbours.words import FromOwner
from anywire.servers.outlet import refuse
from anywire.servers.static import Reply
from anywire.wires.base import Answer, Hello, Reason, Why, Wire

log = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds another node has to open its door, and to take a socket."""

_Link = Dialogue[FromOwner]


class Forward:
    """Where one node passes on what is not its own. `key` is what doors ask for."""

    __slots__ = ("_key", "_node", "_relays")

    def __init__(self, node: Node, key: bytes = b"") -> None:
        self._node = node
        self._key = key
        self._relays: set[Relay] = set()

    def stop(self) -> None:
        """Hang up on the clients of relayed WebSockets: they come back, but not to us."""
        for relay in list(self._relays):
            relay.leave()

    # --- requests -------------------------------------------------------------------------------

    async def request(
        self, exchange: Exchange, wire: Wire, hello: Hello, elsewhere: Elsewhere
    ) -> None:
        """Have the owner answer this request."""
        self._node.counters.forwarded += 1
        try:
            sent = await self._sent(wire, hello, elsewhere)
            if isinstance(sent, Answer):
                refuse(exchange, sent)
            else:
                await self._bring(exchange, wire, hello, elsewhere.node, sent)
        except OSError:
            refuse(exchange, _owner_gone(wire, hello))
        except Closed:
            pass  # the client is gone, or has its answer; nobody reads the rest of its request
        except asyncio.CancelledError:
            why = Why(Reason.STOPPING, text="the server stops")
            refuse(exchange, wire.refuse(hello, why))
            raise

    async def _bring(
        self, exchange: Exchange, wire: Wire, hello: Hello, owner: str, sent: bytes
    ) -> None:
        """Raises OSError where the owner cannot be reached, and Closed."""
        drained = _Drained(exchange)

        def take(link: _Link, word: FromOwner) -> bool:
            match word:
                case words.Responded():
                    exchange.respond(Reply(word.status, list(word.headers), word.body))
                case words.Started():
                    exchange.start(word.status, word.headers)
                case words.Part():
                    exchange.write(word.data)
                    drained.tell(link)
                case words.End():
                    exchange.end()
                case words.Broken():
                    exchange.fail(word.status, word.reason)
                case _:
                    raise ProtocolError(f"{type(word).__name__} is no part of a response")
            return False

        def lost(_: _Link) -> None:
            drained.stop()
            if not exchange.has_begun:
                refuse(exchange, _owner_gone(wire, hello))
            elif not exchange.has_ended:
                exchange.fail(502, "the owner of this session is gone")

        link = await self._knock(owner, take, lost)
        try:
            link.say(words.Brought(words.VERSION, self._key, sent))
            while part := await exchange.read():
                link.say(words.Part(part))
            link.say(words.End())
            await exchange.gone()
        finally:
            link.close()

    # --- WebSockets -----------------------------------------------------------------------------

    async def hand_over(self, exchange: HttpExchange, elsewhere: Elsewhere) -> bool:
        """Give the socket of this unanswered upgrade to the owner; false when it did not take it.

        The bytes that were read go with it, so the owner begins where this node began.
        """
        door = self._node.nodes.doors().get(elsewhere.node)
        sock = exchange.transport.get_extra_info("socket")
        if not door or sock is None:
            return False
        word = words.Handed(words.VERSION, self._key, exchange.request.head() + exchange.rest)
        copy = os.dup(sock.fileno())
        is_taken = False
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as visit:
            visit.setblocking(False)
            try:
                async with asyncio.timeout(PATIENCE):
                    await _offer(visit, door, frame(word), copy)
            except OSError as error:  # also when it took too long
                why = str(error) or "it was not taken in time"
                log.warning("a socket could not be handed to its owner: %s", why)
            finally:
                os.close(copy)
                is_taken = _is_taken(visit)
                if is_taken:
                    self._node.counters.handed_over += 1
                    if not exchange.is_gone:
                        exchange.let_go()
        return is_taken

    async def relay(
        self, wire: Wire, hello: Hello, elsewhere: Elsewhere, *, beats: bool = True
    ) -> Relay | Answer:
        """Ask the owner to have a session for this WebSocket. `beats`: its transport can probe."""
        sent = await self._sent(wire, hello, elsewhere)
        if isinstance(sent, Answer):
            return sent
        relay = Relay(self._relays)
        link: _Link | None = None
        first: words.Accepted | words.Denied | None = None
        try:
            link = await self._knock(elsewhere.node, relay.take, relay.lost)
            link.say(words.Relayed(words.VERSION, self._key, sent, beats))
            async with asyncio.timeout(PATIENCE + hello.limits.authentication):
                first = await relay.begun
        except OSError:  # also when it took too long
            return _owner_gone(wire, hello)
        finally:
            if link is not None and first is None:
                link.close()
        if isinstance(first, words.Denied):
            link.close()
            return Answer(
                status=first.status,
                headers=list(first.headers),
                body=first.body,
                code=first.code,
                reason=first.reason,
                payloads=[Payload.of(message) for message in first.said],
                subprotocol=first.subprotocol,
            )
        self._node.counters.relayed += 1
        relay.accepted(link, first.subprotocol)
        return relay

    # --- inside ---------------------------------------------------------------------------------

    async def _sent(self, wire: Wire, hello: Hello, elsewhere: Elsewhere) -> bytes | Answer:
        """The hello as it travels, with the user where the owner needs one; or a refusal.

        Raises TypeError for a user whose claims cannot travel.
        """
        user = elsewhere.user or hello.user
        if elsewhere.needs_user and elsewhere.user is None:
            try:
                user = await self._node.authenticated(hello)
            except Refused as refused:
                why = Why(Reason.FORBIDDEN, code=refused.code, text=refused.text, data=refused.data)
                return wire.refuse(hello, why)
        return msgspec.msgpack.encode(msgspec.structs.replace(hello, user=user, hops=1, key=b""))

    async def _knock(
        self,
        node: str,
        take: Callable[[_Link, FromOwner], bool],
        lost: Callable[[_Link], None],
    ) -> _Link:
        """A conversation at a node's door. Raises OSError."""
        door = self._node.nodes.doors().get(node)
        if not door:
            raise ConnectionError(f"node {node} has no door")
        loop = asyncio.get_running_loop()
        _, link = await loop.create_unix_connection(
            lambda: Dialogue(words.from_owner, take, lost), door
        )
        return link


class _Drained:
    """Tells the owner, after each part, that the client has taken it."""

    __slots__ = ("_exchange", "_task")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._task: asyncio.Task[None] | None = None

    def tell(self, link: _Link) -> None:
        """Say so as soon as it is true; once for all parts before."""
        if self._task is None or self._task.done():
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._wait(link), name="anywire forward")

    def stop(self) -> None:
        """Nobody listens any more."""
        if self._task is not None:
            self._task.cancel()

    async def _wait(self, link: _Link) -> None:
        await self._exchange.drained()
        link.say(words.Taken())


async def _offer(visit: socket.socket, door: str, data: bytes, descriptor: int) -> None:
    """Send bytes and a descriptor, and wait for an answer: it is left unread."""
    loop = asyncio.get_running_loop()
    await loop.sock_connect(visit, door)
    sent = socket.send_fds(visit, [data], [descriptor])
    if sent < len(data):
        await loop.sock_sendall(visit, data[sent:])
    answered = asyncio.Event()
    loop.add_reader(visit.fileno(), answered.set)
    try:
        await answered.wait()
    finally:
        loop.remove_reader(visit.fileno())


def _is_taken(visit: socket.socket) -> bool:
    """Whether the owner has taken what was offered; if it has not by now, it cannot any more."""
    try:
        visit.shutdown(socket.SHUT_RD)  # from here on its answer fails, and it takes nothing
        return visit.recv(1) != b""
    except OSError:
        return False


def _owner_gone(wire: Wire, hello: Hello) -> Answer:
    return wire.refuse(hello, Why(Reason.OWNER_GONE, text="the owner of this session is gone"))
