"""Pipe: a client's link and a server's transport, joined in memory.

What one side writes, the other gets in the next turn of the loop, as over a socket: nothing is ever
delivered inside the call that wrote it.
"""

import asyncio
import secrets
from collections.abc import Sequence
from urllib.parse import parse_qsl, urlsplit

from anywire.client.dial import Receiver
from anywire.core.admission import Admitted, admit
from anywire.core.node import Node
from anywire.errors import Closed, Refused
from anywire.payload import UNFRAMED, Carrier, Framed, Framing, Message, Payload
from anywire.servers.routes import Routes
from anywire.transports.base import Sink
from anywire.wires.base import Answer, Hello, Request, User, Wire


class Pipe:
    """Both ends of one connection; `cut` breaks it, `stall` lets the client read no more."""

    def __init__(self, node: Node, subprotocol: str | None) -> None:
        self._node = node
        self.client = MemoryLink(self, subprotocol)
        self.server = MemoryTransport(self)
        self.is_open = True
        self.is_stalled = False
        self._held: list[Message] = []

    def to_client(self, messages: list[Message]) -> None:
        """What the server wrote."""
        if self.is_stalled:
            self._held += messages
            self.server.buffered = sum(map(len, self._held))
            return
        asyncio.get_running_loop().call_soon(self.client.deliver, messages)

    def to_server(self, messages: list[Message]) -> None:
        """What the client wrote."""
        asyncio.get_running_loop().call_soon(self.server.deliver, messages)

    def stall(self) -> None:
        """The client's side reads no more: the server's writes pile up."""
        self.is_stalled = True

    def flow(self) -> None:
        """The client reads again."""
        self.is_stalled = False
        held, self._held = self._held, []
        self.server.buffered = 0
        self.to_client(held)
        if self.server.session is not None:
            self.server.session.writable()

    def cut(self) -> None:
        """Break the connection without a goodbye."""
        self.end(1006, "cut", is_clean=False)

    def end(self, code: int, reason: str, *, is_clean: bool) -> None:
        """The connection is over: both ends are told, once, after what was written."""
        if not self.is_open:
            return
        self.is_open = False
        loop = asyncio.get_running_loop()
        session = self.server.session
        if session is not None:
            server = self.server
            loop.call_soon(lambda: session.detached(server, code, reason, is_clean=is_clean))
        loop.call_soon(self.client.closed, code, reason)

    def now(self) -> float:
        """The server's time."""
        return self._node.now()


class MemoryTransport:
    """The server's end."""

    carrier = Carrier.WEBSOCKET

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.framing: Framing = UNFRAMED
        self.buffered = 0
        self.session: Sink | None = None
        self._is_paused = False
        self._unread: list[Message] = []

    def attach(self, sink: Sink) -> None:
        """Everything that comes is for this one."""
        self.session = sink
        unread, self._unread = self._unread, []
        self.deliver(unread)

    def deliver(self, messages: list[Message]) -> None:
        """Hand on what the client wrote, unless reading is paused."""
        for message in messages:
            if self._is_paused or self.session is None:
                self._unread.append(message)
            elif self._pipe.is_open:
                self.session.receive(message, self._pipe.now())

    def write(self, framed: Sequence[Framed]) -> None:
        self._pipe.to_client([m for entry in framed for m in entry.payload.messages()])

    def beat(self) -> bool:
        """As a WebSocket's ping: the client's side answers without its machine."""
        if self.session is not None and not self._pipe.is_stalled:
            session = self.session
            asyncio.get_running_loop().call_soon(lambda: session.heard(self._pipe.now()))
        return True

    def pause(self) -> None:
        self._is_paused = True

    def resume(self) -> None:
        self._is_paused = False
        unread, self._unread = self._unread, []
        if unread:
            asyncio.get_running_loop().call_soon(self.deliver, unread)

    def close(self, code: int, reason: str) -> None:
        self._pipe.end(code, reason, is_clean=True)

    def abort(self) -> None:
        self._pipe.end(1006, "", is_clean=False)


class MemoryLink:
    """The client's end."""

    is_blocked = False

    def __init__(self, pipe: Pipe, subprotocol: str | None) -> None:
        self.pipe = pipe
        self.subprotocol = subprotocol
        self._receiver: Receiver | None = None
        self._unread: list[Message] = []
        self._end: tuple[int, str] | None = None

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        unread, self._unread = self._unread, []
        for message in unread:
            receiver.on_message(message)
        if self._end is not None:
            receiver.on_closed(*self._end)

    def deliver(self, messages: list[Message]) -> None:
        """Hand on what the server wrote."""
        for message in messages:
            if self._receiver is None:
                self._unread.append(message)
            else:
                self._receiver.on_message(message)

    def closed(self, code: int, reason: str) -> None:
        self._end = (code, reason)
        if self._receiver is not None:
            self._receiver.on_closed(code, reason)

    def write(self, payloads: Sequence[Payload]) -> None:
        if self.pipe.is_open:
            self.pipe.to_server([m for payload in payloads for m in payload.messages()])

    def beat(self) -> bool:
        receiver = self._receiver
        if receiver is not None and self.pipe.is_open:
            asyncio.get_running_loop().call_soon(receiver.on_heard)
        return True

    def close(self, code: int, reason: str) -> None:
        self.pipe.end(code, reason, is_clean=True)

    def abort(self) -> None:
        self.pipe.end(1006, "", is_clean=False)


class MemoryDialer:
    """Opens links to a running app; the `Dialer` of the Python client, without a network.

    `user`: who it is, without asking `authenticate`; None asks it, with the request's query and
    headers.
    """

    def __init__(
        self, node: Node, wires: Sequence[Wire], *, user: str | User | None = None
    ) -> None:
        self._node = node
        self._routes = Routes(wires)
        self._user = User(user) if isinstance(user, str) else user
        self.pipes: list[Pipe] = []
        self.is_down = False
        """Every attempt fails, as if nothing listened."""

    async def dial(self, url: str, request: Request) -> MemoryLink:
        """Open a pipe.

        Raises OSError while `is_down`, Refused or Closed for what the server says.
        """
        if self.is_down:
            raise ConnectionRefusedError("nothing listens (MemoryDialer.is_down)")
        parts = urlsplit(url)
        found = self._routes.find("GET", parts.path or "/", is_upgrade=True)
        if found is None:
            text = f"no wire has the path {parts.path}: path= says where it is mounted"
            raise Refused("404", text)
        node = self._node
        hello = Hello(
            path=parts.path,
            query={**dict(parse_qsl(parts.query, keep_blank_values=True)), **request.query},
            headers={name.lower(): value for name, value in request.headers.items()},
            remote="memory",
            carrier=found.route.carrier,
            subprotocols=tuple(request.subprotocols),
            address=found.address,
            parts=found.parts,
            seed=secrets.token_bytes(32),
            sign=node.id,
            key=node.key,
            clock=node.wall() - node.now(),
            time=node.wall(),
            limits=node.limits,
            user=self._user,
            hops=0 if self._user is None else 1,  # somebody else has asked who it is
        )
        admitted = await self._admit(found.wire, hello)
        if isinstance(admitted, Answer):
            if admitted.code is not None:
                raise Closed(admitted.code, admitted.reason)
            raise Refused(str(admitted.status), admitted.body.decode(errors="replace").strip())
        pipe = Pipe(node, admitted.opening.subprotocol)
        self.pipes.append(pipe)
        session = node.open(
            found.wire, hello, admitted.opening, admitted.machine, admitted.user, pipe.server
        )
        pipe.server.attach(session)
        return pipe.client

    async def _admit(self, wire: Wire, hello: Hello) -> Admitted | Answer:
        if self._user is None:
            admission = await admit(self._node, wire, hello)
            assert isinstance(admission, Admitted | Answer)  # one node, and no requests: a pipe
            return admission
        opening = wire.open(hello)
        if isinstance(opening, Answer):
            return opening
        assert opening.machine is not None
        return Admitted(opening, opening.machine, self._user)
